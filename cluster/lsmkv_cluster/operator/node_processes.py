"""Nodes as processes of this machine, for the demo: started, killed, paused, started again.

Each has a directory, and keeps its ports once it has them, so others find it after a restart. What
it logs is in `log` in its directory. Nobody but us sends it signals: it is no member of our
process group, or Ctrl-C would reach it, too.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lsmkv import Error
from lsmkv_cluster.config.endpoints import Endpoint, parse_endpoint

__all__ = ["NodeProcess", "Ports"]

STOP_S = 20.0  # for a clean end, then it is killed
LOOK_EVERY_S = 0.05  # whether it listens
LOG_TAIL = 5  # lines that are shown of a node that could not start
PROGRAM = "import sys; from lsmkv.cli import main; sys.exit(main.main())"
ANY = Endpoint("127.0.0.1", 0)
SIZES = ("--block-cache-size", "16MiB", "--write-buffer-size", "8MiB")  # many on one machine

_GREETING = re.compile(r"clients (\S+), cluster clients (\S+), nodes (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens."""

    plain: Endpoint = ANY
    cluster: Endpoint = ANY
    peers: Endpoint = ANY


@dataclass(slots=True)
class NodeProcess:
    """`announce` is where the others find it: a proxy, of which it knows nothing."""

    name: str
    dc: str
    data: Path
    cluster_file: Path
    announce: Endpoint
    ports: Ports = field(default_factory=Ports)
    is_paused: bool = False
    _process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def state(self) -> str:
        if not self.is_running:
            return "killed"
        return "paused" if self.is_paused else "running"

    def start(self, join: Endpoint | None = None, *, staged: bool = False) -> None:
        """Waits until it listens. Error shows the end of its log."""
        self.data.mkdir(parents=True, exist_ok=True)
        log, said = self.data / "log", self.data / "greeting"
        # Files, as a pipe that nobody reads any more would end it.
        with log.open("ab") as stderr, said.open("wb") as stdout:
            self._process = subprocess.Popen(
                self._command(join, staged=staged),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=_environment(),
                start_new_session=True,
            )
        self.is_paused = False
        while (found := _GREETING.search(said.read_text(encoding="utf-8"))) is None:
            if not self.is_running:
                tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:]
                raise Error("\n".join([f"{self.name} could not start:", *tail]))
            time.sleep(LOOK_EVERY_S)
        self.ports = Ports(*map(parse_endpoint, found.groups()))

    def _command(self, join: Endpoint | None, *, staged: bool) -> Sequence[str]:
        command = [
            sys.executable, "-c", PROGRAM, "serve", "--data", str(self.data),
            "--node-id", self.name, "--dc", self.dc, "--cluster-file", str(self.cluster_file),
            "--listen", str(self.ports.plain), "--cluster-listen", str(self.ports.cluster),
            "--peer-listen", str(self.ports.peers), "--announce-peer", str(self.announce),
            "--http", "off", *SIZES,
        ]  # fmt: skip
        if join is not None:
            command += ["--join", str(join)]
        return [*command, "--staged"] if staged else command

    # --- what happens to it

    def kill(self) -> None:
        """At once, as a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        self._signal(signal.SIGCONT)
        self.is_paused = False

    def ask_to_end(self) -> None:
        """Cleanly; `ended` waits for it."""
        if self.is_running:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)

    def ended(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def _environment() -> dict[str, str]:
    """Settings for other nodes are none for these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LSMKV_")}
