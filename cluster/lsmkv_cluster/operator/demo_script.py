"""What is typed at the prompt of the cluster demo, or stands in a script: one line, one thing.

Each line is carried out and told before the next. What goes wrong is told, too, and ends nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from lsmkv import Error
from lsmkv_cluster.client.outcomes import Refused, Unknown
from lsmkv_cluster.operator.cluster_pages import explain_page, moves_line, plan_page, status_page
from lsmkv_cluster.operator.demo_load import Load
from lsmkv_cluster.operator.demo_nodes import DemoNodes

__all__ = ["HELP", "TOUR", "DemoScript"]

HELP = """\
  get KEY, set KEY VALUE        through the Python client
  explain KEY                   what each owner has, and what a read makes of it
  status [N]                    all members, as one of them sees them
  kill N, pause N               kill -9, or freeze, a node
  cut A B                       A and B, nodes or east and west, do not hear each other
  heal                          mend and start everything again
  repair                        compare all copies with each other now
  add, remove N                 a node more, a node less; partitions move
  wait [SECONDS]                watch the load: calls of each second
  check                         is every acknowledged write still there?
  quit                          end all nodes (so do end of input and Ctrl-C)"""

TOUR = """\
status
get OrderedDict
explain OrderedDict
cut east west       # two of three copies are in the east, where this client is
set greeting hello
explain greeting    # who is cut off does not answer
heal
repair              # compares all copies now; by itself that comes every ten minutes
explain greeting    # and all owners have it
kill n2             # a write needs two of three copies: all goes on
heal
check
status
"""

COMMENT = re.compile(r"(^|\s)#(\s.*|$)")
AFTER_TROUBLE_S = 3  # that the load is shown after something was broken


class DemoScript:
    """`line` writes one of the output."""

    def __init__(self, nodes: DemoNodes, load: Load, line: Callable[[str], None]) -> None:
        self._nodes = nodes
        self._load = load
        self._line = line
        self._known: dict[str, tuple[int, int, Callable[..., Awaitable[None]]]] = {
            "get": (1, 1, self._get),
            "set": (2, 2, self._set),
            "explain": (1, 1, self._explain),
            "status": (0, 1, self._status),
            "kill": (1, 1, self._kill),
            "pause": (1, 1, self._pause),
            "cut": (2, 2, self._cut),
            "heal": (0, 0, self._heal),
            "repair": (0, 0, self._repair),
            "add": (0, 0, self._add),
            "remove": (1, 1, self._remove),
            "wait": (0, 1, self._wait),
            "check": (0, 0, self._check),
            "help": (0, 0, self._help),
        }

    async def run(self, text: str) -> bool:
        """One line; whether there may be more. What follows a # between blanks is a comment."""
        words = COMMENT.sub("", text).strip().split(maxsplit=2)
        if not words:
            return True
        name, *args = words
        if name in ("quit", "exit"):
            return False
        least, most, act = self._known.get(name, (0, 2, self._help))
        if not least <= len(args) <= most:
            act, args = self._help, []
        elif act == self._help:
            args = []
        try:
            await act(*args)
        except (Error, OSError, ValueError) as error:
            self._line(f"{type(error).__name__}: {error}")
        return True

    async def _help(self) -> None:
        self._line(HELP)

    # --- keys

    async def _get(self, key: str) -> None:
        item = await self._nodes.client.get(_bytes(key))
        for value in item.values:
            self._lines(value.decode("utf-8", "backslashreplace").splitlines())
        if not item:
            self._line("(nothing)")
        elif len(item.values) > 1:
            self._line(f"({len(item.values)} values that were written at the same time)")

    async def _set(self, key: str, value: str) -> None:
        await self._nodes.client.put(_bytes(key), _bytes(value))
        self._line("OK")

    async def _explain(self, key: str) -> None:
        self._lines(explain_page(await self._nodes.client.explain(_bytes(key))))

    # --- nodes

    async def _status(self, at: str = "") -> None:
        nodes = self._nodes
        node = nodes.node(at) if at else nodes.some_running()
        status = await nodes.report("STATUS", at=node)
        notes = {each.name: each.state for each in nodes.nodes.values()}
        self._lines(status_page(status, {}, notes))
        if nodes.cuts:
            self._line(f"cut: {', '.join(nodes.cuts)}")

    async def _kill(self, text: str) -> None:
        node = self._nodes.node(text)
        await asyncio.to_thread(node.kill)
        await self._trouble(f"{node.name} has been killed")

    async def _pause(self, text: str) -> None:
        node = self._nodes.node(text)
        node.pause()
        await self._trouble(f"{node.name} stands still")

    async def _cut(self, one: str, other: str) -> None:
        some, others = self._nodes.side(one), self._nodes.side(other)
        self._nodes.cut(some, others)
        await self._trouble(f"{', '.join(some)} and {', '.join(others)} do not hear each other")

    async def _trouble(self, what: str) -> None:
        self._line(what)
        await self._wait(str(AFTER_TROUBLE_S))

    async def _heal(self) -> None:
        started = await self._nodes.heal()
        self._line("cables mended" + (f"; {', '.join(started)} started again" if started else ""))
        await self._watched_until(self._nodes.well())
        self._line("all hear each other, and nobody has hints left")

    async def _repair(self) -> None:
        count = await self._nodes.repair()
        self._line(f"all copies compared; {count:,} records were given to who lacked them")

    async def _add(self) -> None:
        node = await self._nodes.add()
        self._line(f"{node.name} has joined in {node.dc}: clients {node.ports.plain}")
        await self._moved()

    async def _remove(self, text: str) -> None:
        node = self._nodes.node(text)
        what = "leave" if node.state == "running" else "remove"
        plan = await self._nodes.change({"change": what, "member": node.name}, subject="PLAN")
        self._lines(plan_page(plan))
        await self._nodes.remove(node)
        await self._moved()
        await self._nodes.forget(node)
        self._line(f"{node.name} is no member any more")

    async def _moved(self) -> None:
        """Shows the load, and how far it is, until nothing moves."""
        await self._watched_until(self._nodes.settled(), self._tell_moves)
        self._line("nothing moves any more")

    async def _tell_moves(self) -> None:
        self._line(moves_line(await self._nodes.report("MOVES")))

    async def _watched_until(
        self, end: Coroutine[Any, Any, None], tell: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """The load, second by second, and what is told beside it."""
        ending = asyncio.ensure_future(end)
        while not ending.done():
            await self._wait("1")
            if tell is not None and not ending.done():
                await tell()
        await ending

    # --- the load

    async def _wait(self, seconds: str = "5") -> None:
        for _ in range(max(1, min(3600, int(seconds)))):
            self._load.take()
            await asyncio.sleep(1.0)
            self._line(self._load.take().text(time.strftime("%H:%M:%S")))

    async def _check(self) -> None:
        await self._load.stop()
        self._load.take()
        try:
            lost = await self._load.lost()
        except (Refused, Unknown) as error:
            self._line(f"not all can be read now: {error}")
            return
        finally:
            self._load.start()
        total = self._load.total
        self._line(
            f"{total.writes:,} acknowledged writes to {self._load.acknowledged} keys: "
            f"{len(lost)} lost; {total.writes_refused} refused, {total.writes_unknown} unknown"
        )

    def _lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._line(line)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
