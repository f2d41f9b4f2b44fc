"""`lsmkv serve`: one node, in the foreground, until it is told to end.

status 0   ended because it was told to, by SIGTERM, SIGINT or a client
       1   could not start, or has failed; the message says why
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

from lsmkv.cli.arguments import Commands
from lsmkv.cli.output import Output
from lsmkv_cluster.config.origins import configure
from lsmkv_cluster.config.setting_flags import add_setting_flags, given_flags
from lsmkv_cluster.config.settings import DaemonSettings

__all__ = ["register"]

SERVING_S = 10.0  # until it is said that the node listens; it may take longer to serve
GARBAGE_THRESHOLD = 50_000  # objects more than before, until cycles are looked for


def register(commands: Commands) -> None:
    parser = commands.add_parser(
        "serve",
        help="run a node: a server for clients of Redis, alone or in a cluster",
        description="Runs one node in the foreground. Without --join it is a cluster of one, which "
        "grows when other nodes join it.",
        epilog="Each setting is also a variable LSMKV_NAME, and a key of the file that --config "
        "names; `lsmkv config --show-origin` tells which won.",
    )
    add_setting_flags(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = configure(given_flags(arguments), os.environ).settings()
    _start_logging(settings)
    _run_loop(_serve(settings))
    return 0


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it is installed: about twice as many commands a second."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def _serve(settings: DaemonSettings) -> None:
    from lsmkv_cluster.serving.daemon import Daemon  # other commands need not wait for it

    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.request_stop)
    await daemon.start()
    # What is here now stays; of what comes and goes with requests nearly nothing is cyclic.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    await daemon.until_serving(SERVING_S)
    output = Output()
    for line in daemon.greeting():
        output.line(line)
    output.flush()
    await daemon.run()


# --- logging


class _JsonFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = (
            f"{_time_of(record)} {record.levelname.lower():<8} {record.name}: {record.getMessage()}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time_of(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03}Z"


def _start_logging(settings: DaemonSettings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if settings.log_format == "json" else _TextFormatter())
    logger = logging.getLogger("lsmkv")
    logger.handlers[:] = [handler]
    logger.setLevel(settings.log_level.upper())
    logger.propagate = False
