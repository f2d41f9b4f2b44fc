"""Verdicts in a file: one line of JSON each, below a first line that names the code they are of,
and the profile that drew the runs.

What is appended survives an interruption; a later run goes on with the seeds that are not there.
Verdicts of other code are worthless, so such a file is refused.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tests.sim.simulation import Verdict

__all__ = ["FOLDERS", "OtherSourcesError", "Results"]

FOLDERS = ("cluster", "src", "tests/sim")  # all that decides what a seed does


class OtherSourcesError(Exception):
    """The verdicts in the file are of other code, or of other runs."""


class Results:
    """`path` None: nothing is kept."""

    def __init__(self, path: Path | None, digest: str, profile: str = "swarm") -> None:
        self._path = path
        self._head = {"sources": digest, "profile": profile}
        self.known: dict[int, Verdict] = {}
        if path is not None and path.exists() and path.stat().st_size:
            self._read(path)
        elif path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self._head) + "\n", encoding="utf-8")

    def _read(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a last line that was cut off is not counted
        first, *lines = whole.splitlines()
        if json.loads(first) != self._head:
            raise OtherSourcesError(f"{path} holds verdicts of other sources")
        for line in lines:
            verdict = Verdict(**json.loads(line))
            self.known[verdict.seed] = verdict
        if whole != text:
            path.write_text(whole, encoding="utf-8")

    def add(self, verdict: Verdict) -> None:
        self.known[verdict.seed] = verdict
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(verdict)) + "\n")
