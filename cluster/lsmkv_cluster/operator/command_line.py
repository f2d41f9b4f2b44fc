"""The commands of the cluster, found by `lsmkv` through the entry-point group lsmkv.commands."""

from __future__ import annotations

from lsmkv.cli.arguments import Commands, command_group
from lsmkv_cluster.operator import (
    change_commands,
    config_command,
    demo_command,
    init_command,
    looking_commands,
    repair_command,
    serve_command,
)

__all__ = ["register"]


def register(commands: Commands) -> None:
    serve_command.register(commands)
    config_command.register(commands)
    demo_command.register(commands)
    group = command_group(commands, "cluster", "make and run clusters")
    init_command.register(group)
    looking_commands.register(group)
    repair_command.register(group)
    change_commands.register(group)
