"""Every command of the engine, in the order in which --help lists them."""

from __future__ import annotations

from lsmkv.cli import demo, dump, reading, upkeep, writing
from lsmkv.cli.arguments import Commands

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add them. Called by main, and found through the entry-point group `lsmkv.commands`."""
    writing.register(commands)
    reading.register(commands)
    upkeep.register(commands)
    dump.register(commands)
    demo.register(commands)
