"""Which value each setting has, and where it came from.

    flag  >  variable LSMKV_*  >  key of the TOML file  >  default

The file is the one that --config or LSMKV_CONFIG names. What nobody knows is an error, in the file
as among the variables: a misspelt limit must not be no limit. Paths in the file are relative to its
directory, all others to the working directory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from lsmkv_cluster.config.files import read_toml
from lsmkv_cluster.config.settings import (
    ENVIRONMENT_PREFIX,
    DaemonSettings,
    Setting,
    all_settings,
)
from lsmkv_cluster.config.toml_fields import did_you_mean
from lsmkv_cluster.errors import ConfigError

__all__ = ["Chosen", "Configuration", "Origin", "Source", "configure"]

OTHER_VARIABLES = frozenset({"LSMKV_CODEC", "LSMKV_DEBUG"})  # of the engine and its build
CONFIG = "config"

# Kubernetes describes a service of this name to every container so; what else ends in PORT is not
# an address of a protocol.
_SERVICE = re.compile(r"LSMKV_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?)=.*")
_LINK = re.compile(
    r"LSMKV_(\w+_)?PORT((_\d+_(TCP|UDP))?=(tcp|udp)://.*|_\d+_(TCP|UDP)_(PROTO|PORT|ADDR)=.*)"
)


class Source(StrEnum):
    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origin:
    source: Source
    where: str = ""  # flag, variable, or file
    key: str = ""  # in the file

    def __str__(self) -> str:
        named = ": ".join(part for part in (self.where, self.key) if part)
        return f"{self.source} {named}" if named else self.source.value


@dataclass(frozen=True, slots=True)
class Chosen:
    """`overruled`: sources that named it, too, the most important first."""

    setting: Setting
    value: object
    origin: Origin
    overruled: tuple[Origin, ...] = ()

    @property
    def is_missing(self) -> bool:
        return self.setting.is_required and self.origin.source is Source.DEFAULT


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every setting, in the order of the table."""

    chosen: Mapping[str, Chosen]

    def settings(self) -> DaemonSettings:
        """ConfigError where one is missing, or two do not go together."""
        for name, chosen in self.chosen.items():
            if chosen.is_missing:
                setting = chosen.setting
                raise ConfigError(f"missing: {setting.flag} or {setting.variable}", "", name)
        return self._settings({})

    def check(self) -> None:
        """As `settings`, but what is missing may be."""
        missing = [name for name, chosen in self.chosen.items() if chosen.is_missing]
        self._settings(dict.fromkeys(missing, Path()))

    def _settings(self, instead: dict[str, Any]) -> DaemonSettings:
        values: dict[str, Any] = {name: chosen.value for name, chosen in self.chosen.items()}
        try:
            return DaemonSettings(**values | instead)
        except ConfigError as error:
            where = str(self.chosen[error.key].origin) if error.key in self.chosen else ""
            raise ConfigError(error.message, where, error.key) from None


def configure(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    read: Callable[[Path], Mapping[str, object]] = read_toml,
) -> Configuration:
    """`flags`: those that were given, by the names of their settings. ConfigError says what is
    wrong, and where."""
    _check_variables(environment)
    sources = [_of_flags(flags), _of_environment(environment)]
    path = next((found[CONFIG].value for found in sources if CONFIG in found), None)
    if isinstance(path, Path):
        sources.append(_of_file(path, read(path)))
    return Configuration({name: _choose(setting, sources) for name, setting in _all()})


@dataclass(frozen=True, slots=True)
class _Given:
    value: object
    origin: Origin


def _all() -> list[tuple[str, Setting]]:
    return list(all_settings().items())


def _choose(setting: Setting, sources: list[dict[str, _Given]]) -> Chosen:
    given = [found[setting.name] for found in sources if setting.name in found]
    if not given:
        return Chosen(setting, setting.default, Origin(Source.DEFAULT))
    overruled = tuple(other.origin for other in given[1:])
    return Chosen(setting, given[0].value, given[0].origin, overruled)


def _of_flags(flags: Mapping[str, object]) -> dict[str, _Given]:
    return {
        name: _read(setting, flags[name], Origin(Source.FLAG, setting.flag))
        for name, setting in _all()
        if name in flags
    }


def _of_environment(environment: Mapping[str, str]) -> dict[str, _Given]:
    return {
        name: _read(
            setting, environment[setting.variable], Origin(Source.ENVIRONMENT, setting.variable)
        )
        for name, setting in _all()
        if setting.variable in environment
    }


def _check_variables(environment: Mapping[str, str]) -> None:
    known = {setting.variable for _, setting in _all()} | OTHER_VARIABLES
    for name, value in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            if any(pattern.fullmatch(f"{name}={value}") for pattern in (_SERVICE, _LINK)):
                continue
            raise ConfigError(f"unknown variable{did_you_mean(name, known)}", name)


def _of_file(path: Path, document: Mapping[str, object]) -> dict[str, _Given]:
    known = {name: setting for name, setting in _all() if setting.is_in_files}
    found = {}
    for key, value in document.items():
        if key not in known:
            raise ConfigError(f"unknown setting{did_you_mean(key, known)}", str(path), key)
        given = _read(known[key], value, Origin(Source.FILE, str(path), key))
        if isinstance(given.value, Path):
            given = _Given(path.parent / given.value, given.origin)
        found[key] = given
    return found


def _read(setting: Setting, value: object, origin: Origin) -> _Given:
    try:
        read = setting.kind.read(value)
    except ValueError as error:
        raise ConfigError(str(error), origin.where, origin.key) from error
    if read is None and setting.is_required:
        raise ConfigError("it cannot be empty", origin.where, origin.key)
    return _Given(read, origin)
