"""`lsmkv config`: the settings that a daemon started the same way would have, and why."""

from __future__ import annotations

import argparse
import os

from lsmkv.cli.arguments import Commands, add_command, add_json
from lsmkv.cli.output import Output
from lsmkv_cluster.config.origins import configure
from lsmkv_cluster.config.setting_flags import add_setting_flags, given_flags
from lsmkv_cluster.config.settings_table import as_json, as_toml, with_origins

__all__ = ["register", "run_config"]


def register(commands: Commands) -> None:
    parser = add_command(
        commands,
        "config",
        run_config,
        "show the settings of the daemon",
        "Takes the flags of `serve`, LSMKV_* variables and the file of --config, and prints what "
        "they come to, as a TOML file.",
        database=False,
    )
    parser.add_argument(
        "--show-origin", action="store_true", help="a table instead, with where each came from"
    )
    add_json(parser)
    add_setting_flags(parser)


def run_config(arguments: argparse.Namespace) -> int:
    configuration = configure(given_flags(arguments), os.environ)
    configuration.check()
    output = Output()
    if arguments.json:
        output.json(as_json(configuration))
    elif arguments.show_origin:
        for line in with_origins(configuration):
            output.line(line)
    else:
        for line in as_toml(configuration).splitlines():
            output.line(line)
    return 0
