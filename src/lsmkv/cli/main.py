"""The `lsmkv` command: finds the sub-commands, runs one, turns errors into a line and a status.

    0    done
    1    an error, a missing key, damage found; the message is on standard error
    2    wrong usage
    130  interrupted; 141  the reader of our output went away

A package adds commands through the entry-point group `lsmkv.commands`: each entry is a function
that gets the object on which to call add_parser(). A command's parser sets `run`, a function from
the parsed arguments to the status. Packages are asked only where one of ours is not meant anyway:
a key that is read need not wait for their imports.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from lsmkv.cli import commands as own_commands
from lsmkv.cli.arguments import Commands, UsageError, is_command_group
from lsmkv.cli.output import note
from lsmkv.errors import Error

__all__ = ["main", "build_parser"]

ENTRY_POINT_GROUP = "lsmkv.commands"
OWN_ENTRY_POINT = "engine"

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: that of the process); the exit status."""
    try:
        return _run(argv)
    except BrokenPipeError:
        _silence_standard_output()
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        note("interrupted")
        return EXIT_INTERRUPTED
    except UsageError as error:
        note(f"lsmkv: {error}")
        return EXIT_USAGE
    except MemoryError:
        note("lsmkv: out of memory")
        return EXIT_ERROR
    except (Error, OSError, ValueError) as error:
        note(f"lsmkv: {_message(error)}")
        return EXIT_ERROR


def _run(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    try:
        arguments = build_parser(next(iter(words), "")).parse_args(words)
    except SystemExit as exit_request:  # after --help, --version, wrong usage
        sys.stdout.flush()
        return exit_request.code if isinstance(exit_request.code, int) else EXIT_USAGE
    status: int = arguments.run(arguments)
    sys.stdout.flush()
    return status


def build_parser(first: str = "") -> argparse.ArgumentParser:
    """The parser with every command that is installed; where the first word is a command of ours,
    it may have ours alone."""
    parser = argparse.ArgumentParser(
        prog="lsmkv",
        description="An embedded, ordered, durable key-value store.",
        epilog="'lsmkv COMMAND --help' says more about one command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lsmkv {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    own_commands.register(commands)
    if first in commands.choices and not is_command_group(commands, first):
        return parser
    # By name, so that a distribution that is found twice on the path registers once.
    found = {entry.name: entry for entry in metadata.entry_points(group=ENTRY_POINT_GROUP)}
    for name, entry in sorted(found.items()):
        if name != OWN_ENTRY_POINT:  # ours are there even when the package is not installed
            _load(entry, commands)
    return parser


def _load(entry: metadata.EntryPoint, commands: Commands) -> None:
    """Another package's failure must not take the engine's commands away."""
    try:
        entry.load()(commands)
    except Exception as error:  # noqa: BLE001
        note(f"lsmkv: the commands of {entry.value} are not available: {error}")


def _version() -> str:
    try:
        return metadata.version("lsmkv")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        if isinstance(error.filename, str | bytes):
            return f"{os.fsdecode(error.filename)}: {error.strerror}"
        return error.strerror
    return str(error) or type(error).__name__


def _silence_standard_output() -> None:
    """What is buffered has nowhere to go; without this, interpreter exit would try again."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
