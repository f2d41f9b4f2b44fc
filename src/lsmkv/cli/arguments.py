"""Arguments that several commands share, and what they mean in bytes.

Keys and values in arguments are UTF-8 text unless --hex, --base64 or --escaped says otherwise. The
same switch decides how results are written; --escaped is the form in which `scan` prints.
"""

from __future__ import annotations

import argparse
import base64
from collections.abc import Callable
from typing import Any, TypeAlias

from lsmkv.cli.escaping import escape, unescape

__all__ = [
    "Commands",
    "UsageError",
    "add_command",
    "command_group",
    "is_command_group",
    "add_form",
    "add_json",
    "add_range",
    "decode_argument",
    "encode_result",
    "range_keywords",
]

# The object on which a package's register() adds its commands.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

Run = Callable[[argparse.Namespace], int]


class UsageError(Exception):
    """Arguments that make no sense together; the command exits with 2."""


def add_command(
    commands: Commands, name: str, run: Run, summary: str, details: str = "", database: bool = True
) -> argparse.ArgumentParser:
    """A command whose first argument is a database, unless `database` is false."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {details}".strip(),
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    if database:
        parser.add_argument("database", metavar="DB", help="directory of the database")
    return parser


def command_group(commands: Commands, name: str, summary: str) -> Commands:
    """The sub-commands of `name`; made by whoever asks first, so that packages can share one."""
    parser = commands.choices.get(name)
    if parser is None:
        parser = commands.add_parser(name, help=summary, description=f"{summary}.")
        group = parser.add_subparsers(dest=f"{name}_command", metavar="COMMAND", required=True)
        parser.set_defaults(**{_group_name(name): group})
    found: Commands = parser.get_default(_group_name(name))
    return found


def is_command_group(commands: Commands, name: str) -> bool:
    """Whether other packages may add to it."""
    return commands.choices[name].get_default(_group_name(name)) is not None


def _group_name(name: str) -> str:
    return f"{name}_commands"


# --- forms of keys and values --------------------------------------------------------------------


def add_form(parser: argparse.ArgumentParser) -> None:
    """--hex, --base64, --escaped."""
    group = parser.add_mutually_exclusive_group()
    for form, (_, _, meaning) in _FORMS.items():
        group.add_argument(
            f"--{form}",
            dest="form",
            action="store_const",
            const=form,
            help=f"keys and values are {meaning}",
        )


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_range(parser: argparse.ArgumentParser, prefix: bool = True) -> None:
    """--start, --stop, --prefix."""
    parser.add_argument("--start", metavar="KEY", help="first key (default: the very first)")
    parser.add_argument("--stop", metavar="KEY", help="the key to stop before (default: none)")
    if prefix:
        parser.add_argument("--prefix", metavar="KEY", help="only keys that begin so")


def range_keywords(arguments: argparse.Namespace) -> dict[str, Any]:
    """start, stop and prefix as scan() and compact() take them; those not given are left out."""
    return {
        name: decode_argument(arguments, text)
        for name in ("start", "stop", "prefix")
        if (text := getattr(arguments, name, None)) is not None
    }


def decode_argument(arguments: argparse.Namespace, text: str) -> bytes:
    """The bytes that `text` stands for."""
    if arguments.form is None:
        return text.encode("utf-8", "surrogateescape")
    decode, _, _ = _FORMS[arguments.form]
    try:
        return decode(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not {arguments.form}: {error}") from None


def encode_result(arguments: argparse.Namespace, data: bytes) -> str:
    """`data` as one line of text, in the form that was asked for."""
    _, encode, _ = _FORMS[arguments.form or "escaped"]
    return encode(data)


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_FORMS: dict[str, tuple[Callable[[str], bytes], Callable[[bytes], str], str]] = {
    "hex": (bytes.fromhex, bytes.hex, "hexadecimal"),
    "base64": (_from_base64, _to_base64, "base64"),
    "escaped": (unescape, escape, r"text with \t \n \r \\ \xHH, as scan prints it"),
}
