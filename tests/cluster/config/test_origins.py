"""The most important source wins, every origin is named, and nothing unknown is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.origins import Configuration, Origin, Source, configure
from lsmkv_cluster.config.settings import DaemonSettings, all_settings
from lsmkv_cluster.errors import ConfigError

FILE = Path("/etc/lsmkv/node.toml")


def read(document: dict[str, Any]) -> Any:
    def read_file(path: Path) -> dict[str, Any]:
        assert path == FILE
        return document

    return read_file


def configured(
    flags: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    document: dict[str, Any] | None = None,
) -> Configuration:
    given = {"config": str(FILE)} if document is not None else {}
    return configure(given | (flags or {}), environment or {}, read(document or {}))


def test_flag_beats_variable_beats_file_beats_default():
    sources: list[Any] = [{"rack": "r-flag"}, {"LSMKV_RACK": "r-env"}, {"rack": "r-file"}]
    origins = [
        Origin(Source.FLAG, "--rack"),
        Origin(Source.ENVIRONMENT, "LSMKV_RACK"),
        Origin(Source.FILE, str(FILE), "rack"),
    ]
    values = ["r-flag", "r-env", "r-file", "rack1"]
    for first in range(4):
        given = [{} if index < first else source for index, source in enumerate(sources)]
        chosen = configured(*given).chosen["rack"]
        assert chosen.value == values[first]
        expected = origins[first:] or [Origin(Source.DEFAULT)]
        assert (chosen.origin, chosen.overruled) == (expected[0], tuple(expected[1:]))


def test_every_setting_can_be_set_from_every_source():
    """Whatever a setting is called in one place, it is the same setting in the others."""
    for name, setting in all_settings().items():
        text = "x:1" if setting.is_required else setting.kind.show(setting.default) or "x:1"
        ways: list[Any] = [({name: text}, None, None), (None, {setting.variable: text}, None)]
        if setting.is_in_files:
            ways.append((None, None, {name: text}))
        if name == "config":
            continue
        for way in ways:
            assert configured(*way).chosen[name].origin.source is not Source.DEFAULT, name


def test_the_file_may_be_named_by_a_variable():
    found = configure({}, {"LSMKV_CONFIG": str(FILE)}, read({"dc": "east"}))
    assert found.chosen["dc"].value == "east"


def test_without_a_file_none_is_read():
    def fail(path: Path) -> dict[str, object]:
        raise AssertionError(path)

    assert configure({}, {}, fail).chosen["dc"].value == "dc1"


def test_paths_in_a_file_are_relative_to_it_and_others_are_not():
    chosen = configured(
        {"data": "data"}, None, {"users_file": "users.toml", "cluster_file": "/abs/c.toml"}
    ).chosen
    assert chosen["users_file"].value == FILE.parent / "users.toml"
    assert chosen["cluster_file"].value == Path("/abs/c.toml")
    assert chosen["data"].value == Path("data")


def test_settings_are_made_of_what_was_chosen():
    settings = configured(
        {"data": "d", "join": ["a:1", "b:2"], "staged": True},
        {"LSMKV_HTTP": "off"},
        {"block_cache_size": "1GiB", "log_format": "json"},
    ).settings()
    assert settings == DaemonSettings(
        data=Path("d"),
        config=FILE,
        join=(Endpoint("a", 1), Endpoint("b", 2)),
        staged=True,
        http=None,
        block_cache_size=1 << 30,
        log_format="json",
    )


@pytest.mark.parametrize(
    ("flags", "environment", "document", "where", "key", "words"),
    [
        ({"weight": "x"}, {}, None, "--weight", "", "a number from 0 to 10000, not 'x'"),
        ({}, {"LSMKV_WEIGHT": "x"}, None, "LSMKV_WEIGHT", "", "a number"),
        ({}, {}, {"weight": "x"}, str(FILE), "weight", "a number"),
        ({}, {}, {"wieght": 1}, str(FILE), "wieght", "did you mean weight?"),
        ({}, {}, {"config": "x"}, str(FILE), "config", "unknown setting"),
        ({}, {}, {"listen": {"port": 1}}, str(FILE), "listen", "HOST:PORT"),
        ({}, {"LSMKV_LISTN": "x:1"}, None, "LSMKV_LISTN", "", "did you mean LSMKV_LISTEN?"),
        ({}, {"LSMKV_DATA": ""}, None, "LSMKV_DATA", "", "cannot be empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    flags: Any, environment: Any, document: Any, where: str, key: str, words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        configured(flags, environment, document)
    assert (raised.value.where, raised.value.key) == (where, key)
    assert words in str(raised.value)


def test_what_is_missing_and_what_does_not_go_together_is_named():
    found = configured()
    found.check()
    with pytest.raises(ConfigError, match="data: missing: --data or LSMKV_DATA"):
        found.settings()
    with pytest.raises(ConfigError, match="environment LSMKV_STAGED: staged: "):
        configured(None, {"LSMKV_STAGED": "1"}).check()


def test_a_service_of_this_name_is_not_taken_for_settings():
    """Kubernetes sets these in every container; a port that somebody meant is still an error."""
    service = {
        "LSMKV_SERVICE_HOST": "10.96.0.7",
        "LSMKV_SERVICE_PORT": "7379",
        "LSMKV_SERVICE_PORT_RESP": "7379",
        "LSMKV_PORT": "tcp://10.96.0.7:7379",
        "LSMKV_PORT_7379_TCP": "tcp://10.96.0.7:7379",
        "LSMKV_PORT_7379_TCP_PROTO": "tcp",
        "LSMKV_PORT_7379_TCP_PORT": "7379",
        "LSMKV_PORT_7379_TCP_ADDR": "10.96.0.7",
    }
    configured(None, service)
    for name in ("LSMKV_PORT", "LSMKV_HTTP_PORT"):
        with pytest.raises(ConfigError, match=name):
            configured(None, {name: "7379"})


def test_variables_of_others_are_none_of_our_business():
    configured(None, {"PATH": "x", "LSMKVX": "x", "LSMKV_DEBUG": "1"})
