"""Settings as flags of a command: made from the table, and found again in what was given.

Flags keep their text: origins.py reads them as it reads variables and files, so one message says
what is wrong with any of them.
"""

from __future__ import annotations

import argparse

from lsmkv_cluster.config.setting_kinds import EndpointList, Switch
from lsmkv_cluster.config.settings import Setting, all_settings

__all__ = ["add_setting_flags", "given_flags"]

DEST_PREFIX = "setting_"


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting, in the groups of the table."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for setting in all_settings().values():
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group.lower())
        _add(groups[setting.group], setting)


def _add(group: argparse._ArgumentGroup, setting: Setting) -> None:
    kind = setting.kind
    dest = DEST_PREFIX + setting.name
    help = setting.help.replace("%", "%%")
    default = "" if setting.is_required else kind.show(setting.default)
    if default and not isinstance(kind, Switch):
        help += f" (default: {default})"
    if isinstance(kind, Switch):
        action = argparse.BooleanOptionalAction
        group.add_argument(
            setting.flag, dest=dest, action=action, default=argparse.SUPPRESS, help=help
        )
    elif isinstance(kind, EndpointList):
        group.add_argument(
            setting.flag, dest=dest, action="extend", nargs="+", metavar=kind.placeholder,
            default=argparse.SUPPRESS, help=help,
        )  # fmt: skip
    else:
        group.add_argument(
            setting.flag, dest=dest, metavar=kind.placeholder, default=argparse.SUPPRESS, help=help
        )


def given_flags(arguments: argparse.Namespace) -> dict[str, object]:
    """By the names of settings."""
    return {
        name.removeprefix(DEST_PREFIX): value
        for name, value in vars(arguments).items()
        if name.startswith(DEST_PREFIX)
    }
