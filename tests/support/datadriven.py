"""Scripts of commands with their expected output, for results that are best read as text.

A script is a text file of cases, separated by blank lines:

    # Comments and blank lines may stand before a case.
    command argument name=value
    any number of lines of input
    ----
    the expected output, up to the next blank line or the end

`run_script` gives each case to a handler and compares what it returns. With --rewrite it writes
that into the file instead: the diff is the review. Everything but the expected output is kept as
it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SEPARATOR = "----"


class ScriptError(Exception):
    """The script is not one, or the handler's output does not fit into it."""


@dataclass(frozen=True)
class Case:
    """One command. `arguments` are the bare words, `options` the name=value pairs after it."""

    command: str
    arguments: tuple[str, ...]
    options: dict[str, str]
    input: tuple[str, ...]
    expected: str
    line: int  # of the command, counted from 1
    head: tuple[str, ...] = field(default=(), repr=False)  # all lines up to and with the separator

    def integer(self, name: str, default: int) -> int:
        return int(self.options.get(name, default))


def parse_script(text: str) -> Iterator[Case]:
    """The cases in order. ScriptError names the line that cannot be understood."""
    lines = text.splitlines()
    index = 0
    while True:
        head_start = index
        while index < len(lines) and (not lines[index].strip() or lines[index].startswith("#")):
            index += 1
        if index == len(lines):
            return
        command_line = index
        while index < len(lines) and lines[index] != SEPARATOR:
            if not lines[index].strip():
                raise ScriptError(f"line {command_line + 1}: no {SEPARATOR} after this command")
            index += 1
        if index == len(lines):
            raise ScriptError(f"line {command_line + 1}: no {SEPARATOR} after this command")
        separator = index
        index += 1
        while index < len(lines) and lines[index].strip():
            index += 1
        command, *words = lines[command_line].split()
        yield Case(
            command=command,
            arguments=tuple(word for word in words if "=" not in word),
            options=dict(word.split("=", 1) for word in words if "=" in word),
            input=tuple(lines[command_line + 1 : separator]),
            expected="\n".join(lines[separator + 1 : index]),
            line=command_line + 1,
            head=tuple(lines[head_start : separator + 1]),
        )


def run_script(path: Path, handler: Callable[[Case], str], rewrite: bool = False) -> None:
    """Runs every case. AssertionError names file, line and both outputs of the first difference."""
    text = path.read_text(encoding="ascii")
    written: list[str] = []
    count = 0
    for case in parse_script(text):
        count += 1
        actual = "\n".join(line.rstrip() for line in handler(case).strip("\n").split("\n"))
        if "\n\n" in f"\n{actual}\n" and actual:
            raise ScriptError(f"{path.name}:{case.line}: the output has a blank line")
        if rewrite:
            written += [*case.head, *([actual] if actual else [])]
            continue
        assert actual == case.expected, (
            f"{path.name}:{case.line}: {case.command}\n"
            f"expected:\n{case.expected}\nactual:\n{actual}\n"
            "(run with --rewrite to accept)"
        )
    if count == 0:
        raise ScriptError(f"{path.name}: no case in it")
    if rewrite:
        path.write_text("\n".join(written) + "\n", encoding="ascii")


def scripts(directory: Path) -> list[Path]:
    """The scripts of a directory; never none, so that a test over them cannot pass empty."""
    found = sorted(directory.glob("*.txt"))
    if not found:
        raise ScriptError(f"no scripts in {directory}")
    return found
