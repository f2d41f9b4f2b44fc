"""Ctrl-C at a chosen moment: raises KeyboardInterrupt where the interpreter could run a handler.

CPython looks for signals when a call has returned, when a function is entered and when a loop jumps
back. `Interrupter` counts these moments in the frames of chosen modules and raises at one of them,
once, so that a test can try every single one without sending a signal.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any

# After these, by the source of CPython 3.11 to 3.13, signal handlers may run.
_CHECKED = {"CALL", "CALL_KW", "CALL_FUNCTION_EX", "RESUME", "JUMP_BACKWARD"}


class Interrupter:
    """Counts moments in the modules `names`; raises at moment `at`: the first is 1, 0 is none."""

    def __init__(self, names: Collection[str], at: int = 0) -> None:
        self._names = names
        self._at = at
        self._previous: dict[FrameType, str] = {}
        self._moments: dict[tuple[str, int], list[int]] = {}  # by place in the code
        self.count = 0
        self.place = ""

    def moments(self) -> list[int]:
        """The first and the last moment at every place that was reached."""
        return sorted(
            {at for reached in self._moments.values() for at in (reached[0], reached[-1])}
        )

    def run(self, work: Callable[[], None]) -> bool:
        """Do `work` under watch; True if it was interrupted."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            work()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
            self._previous.clear()
        return False

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "call":
            if frame.f_globals.get("__name__") not in self._names:
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            self._previous[frame] = "RESUME"  # which comes before the first event
        elif event == "opcode":
            self._opcode(frame)
        return self._trace

    def _opcode(self, frame: FrameType) -> None:
        code = frame.f_code.co_code
        previous = self._previous.get(frame)
        self._previous[frame] = dis.opname[code[frame.f_lasti]]
        if previous not in _CHECKED:
            return
        self.count += 1
        place = (frame.f_code.co_qualname, frame.f_lasti)
        self._moments.setdefault(place, []).append(self.count)
        if self.count == self._at:
            self.place = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
            raise KeyboardInterrupt
