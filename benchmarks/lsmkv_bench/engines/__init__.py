"""The databases that can be measured, by name, and which of them are installed here."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from dataclasses import dataclass

from lsmkv_bench.engines.interface import Engine


@dataclass(frozen=True)
class EngineEntry:
    """Where an engine comes from. `command`: it is a program, not a module."""

    module: str
    adapter: str = ""  # the class in lsmkv_bench.engines.<module>
    install: str = "pip install 'lsmkv[bench]'"
    command: str = ""

    @property
    def is_installed(self) -> bool:
        if self.command:
            return shutil.which(self.command) is not None
        return importlib.util.find_spec(self.module) is not None


ENGINES = {
    "lsmkv": EngineEntry("lsmkv", "LsmkvEngine"),
    "plyvel": EngineEntry("plyvel", "PlyvelEngine"),
    "rocksdict": EngineEntry("rocksdict", "RocksdictEngine"),
    "lmdb": EngineEntry("lmdb", "LmdbEngine"),
    "sqlite3": EngineEntry("sqlite3", "Sqlite3Engine", "a Python with sqlite3"),
    "db_bench": EngineEntry("db_bench", install="apt install rocksdb-tools", command="db_bench"),
}


def installed(names: list[str]) -> list[str]:
    """Those of the names that can be measured here."""
    return [name for name in names if ENGINES[name].is_installed]


def make_engine(name: str) -> Engine:
    """The adapter of an installed engine."""
    entry = ENGINES[name]
    module = importlib.import_module(f"lsmkv_bench.engines.{entry.module}")
    engine: Engine = getattr(module, entry.adapter)()
    return engine
