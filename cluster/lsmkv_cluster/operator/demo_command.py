"""`lsmkv demo cluster`: a cluster of local processes, under load, with a prompt to break it.

The prompt waits in the main thread, which Ctrl-C reaches; everything else runs on an event loop in
another. However it ends, no process is left.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from lsmkv import Error
from lsmkv.cli.arguments import Commands, UsageError, add_command, command_group
from lsmkv.cli.library_index import source_files
from lsmkv.cli.output import Output
from lsmkv.cli.progress import Progress
from lsmkv_cluster.client.loop_thread import LoopThread
from lsmkv_cluster.operator.demo_index import index_of
from lsmkv_cluster.operator.demo_load import Load
from lsmkv_cluster.operator.demo_nodes import REPLICAS, DemoNodes
from lsmkv_cluster.operator.demo_script import HELP, TOUR, DemoScript

__all__ = ["register"]

NODES_MIN, NODES_MAX = 3, 15
NAMES_DEFAULT = 2000
AT_ONCE = 500  # keys that are loaded between two looks at the progress bar
PROMPT = "cluster> "
ENDINGS = (signal.SIGTERM, signal.SIGHUP)  # as Ctrl-C


def register(commands: Commands) -> None:
    """Add `demo cluster`."""
    demos = command_group(commands, "demo", "show what lsmkv does, on real data")
    demo = add_command(
        demos,
        "cluster",
        run_demo,
        "run a cluster of local processes, and break it",
        "Starts nodes in two data centres, loads an index of the Python standard library, keeps a "
        "light load running and shows what becomes of it while nodes are killed, paused, cut off, "
        "added and removed.",
        database=False,
    )
    demo.add_argument(
        "--nodes", type=int, default=5, metavar="N", help="three fifths in the east (default: 5)"
    )
    demo.add_argument(
        "--script", metavar="FILE", help="what would be typed at the prompt; - is standard input"
    )
    demo.add_argument("--tour", action="store_true", help="a script of our own, half a minute")
    demo.add_argument("--keep", metavar="DIR", help="keep the data, the logs and cluster.toml here")
    demo.add_argument(
        "--names", type=int, default=NAMES_DEFAULT, metavar="N",
        help=f"names of the index to load, classes first (default: {NAMES_DEFAULT})",
    )  # fmt: skip
    demo.add_argument("--source", metavar="DIR", help="index the Python files here instead")


def run_demo(arguments: argparse.Namespace) -> int:
    if not NODES_MIN <= arguments.nodes <= NODES_MAX:
        raise UsageError(f"--nodes {arguments.nodes}: {NODES_MIN} to {NODES_MAX}")
    if arguments.script is not None and arguments.tour:
        raise UsageError("--script or --tour, not both")
    script = _script(arguments)
    kept = Path(arguments.keep) if arguments.keep else None
    if kept is not None and kept.exists() and any(kept.iterdir()):
        raise Error(f"{kept} is not empty: choose another --keep, or delete it")
    path = kept or Path(tempfile.mkdtemp(prefix="lsmkv-demo-"))
    output = _Live()
    before = {number: signal.signal(number, _interrupt) for number in ENDINGS}
    try:
        _run(arguments, path, script, output)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if kept is None:
            shutil.rmtree(path, ignore_errors=True)
        else:
            output.line(f"kept in {kept}; each node's log is beside its data")
    return 0


class _Live(Output):
    """Whoever reads it is to see what happens when it happens, through a pipe, too."""

    def line(self, text: str = "") -> None:
        super().line(text)
        sys.stdout.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _script(arguments: argparse.Namespace) -> list[str] | None:
    """None: ask a person."""
    if arguments.tour:
        return TOUR.splitlines()
    if arguments.script == "-":
        return sys.stdin.read().splitlines()
    if arguments.script is not None:
        return Path(arguments.script).read_text(encoding="utf-8").splitlines()
    return None if sys.stdin.isatty() else TOUR.splitlines()


def _run(
    arguments: argparse.Namespace, path: Path, script: list[str] | None, output: Output
) -> None:
    loop = LoopThread("lsmkv-demo")
    nodes = loop.run(_made(path))
    load: Load | None = None
    try:
        copies = " and ".join(f"{count} in the {dc}" for dc, count in REPLICAS)
        output.line(f"{arguments.nodes} nodes; N = 3: of each key {copies}; reads and writes: 2")
        with ThreadPoolExecutor(1) as threads:
            indexing = threads.submit(_index, arguments)  # meanwhile
            loop.run(nodes.start(arguments.nodes, output.line))
        for node in nodes.nodes.values():
            output.line(f"  {node.name}  {node.dc}  clients {node.ports.plain}")
        first = next(iter(nodes.nodes.values())).ports.plain
        names = _loaded(indexing.result(), arguments.names, loop, nodes, output)
        output.line(f"try it:  redis-cli -h {first.host} -p {first.port} get OrderedDict")
        load = Load(nodes.client, names)
        loop.run(_start(load))
        _carry_out(loop, DemoScript(nodes, load, output.line), script, output)
    finally:
        if load is not None:
            loop.run(load.stop())
        loop.run(nodes.stop())
        loop.stop()


async def _made(path: Path) -> DemoNodes:
    return DemoNodes(path)


async def _start(load: Load) -> None:
    load.start()


def _index(arguments: argparse.Namespace) -> dict[bytes, bytes]:
    root = Path(arguments.source or sysconfig.get_paths()["stdlib"])
    return index_of(root, source_files(root))


def _loaded(
    index: dict[bytes, bytes], count: int, loop: LoopThread, nodes: DemoNodes, output: Output
) -> list[bytes]:
    names = list(index)[: max(0, count)]
    with Progress("loading", len(names), unit="names") as progress:
        for start in range(0, len(names), AT_ONCE):
            part = names[start : start + AT_ONCE]
            loop.run(nodes.client.put_many((name, index[name]) for name in part))
            progress.update(start + len(part), start + len(part))
        seconds, rate = progress.seconds, progress.rate
    output.line(
        f"loaded {len(names):,} of the {len(index):,} names in the standard library, each with "
        f"its first places, in {seconds:.1f} s, {rate:,.0f}/s"
    )
    return names


def _carry_out(
    loop: LoopThread, demo: DemoScript, script: list[str] | None, output: Output
) -> None:
    if script is None:
        output.line("What can be done to it:")
        output.line(HELP)
    for line in script if script is not None else _typed(output):
        if script is not None:
            output.line()
            output.line(f"{PROMPT}{line}")
        if not loop.run(demo.run(line)):
            return


def _typed(output: Output) -> Iterator[str]:
    try:
        import readline  # noqa: F401  importing it gives input() line editing
    except ImportError:
        pass
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            output.line()
            return
