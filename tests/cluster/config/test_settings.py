"""The table of settings: complete, consistent with the engine, and checked as a whole."""

from __future__ import annotations

import argparse
import dataclasses
import re
from pathlib import Path

import pytest

import lsmkv
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.settings import DaemonSettings, all_settings, engine_options
from lsmkv_cluster.coordination.replica_messages import KEY_SIZE_MAX
from lsmkv_cluster.coordination.requests import VALUE_SIZE_MAX
from lsmkv_cluster.errors import ConfigError
from lsmkv_cluster.transport.traffic import REQUEST_LIFETIME_MAX_MS

DATA = Path("data")
ISSUED = """--data --listen --cluster-listen --peer-listen --http --announce --join --staged
    --node-id --dc --rack --host --weight --config"""


def test_flags_variables_and_keys_are_one_name():
    for name, setting in all_settings().items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert setting.flag.removeprefix("--").replace("-", "_") == name
        assert setting.variable.removeprefix("LSMKV_").lower() == name
    assert set(ISSUED.split()) <= {setting.flag for setting in all_settings().values()}


def test_every_default_is_one_that_its_kind_takes():
    for setting in all_settings().values():
        if not setting.is_required:
            assert setting.kind.read(setting.kind.show(setting.default)) == setting.default
    assert [setting.name for setting in all_settings().values() if setting.is_required] == ["data"]


def test_help_is_one_line_and_fit_for_argparse():
    parser = argparse.ArgumentParser()
    for setting in all_settings().values():
        assert "\n" not in setting.help
        parser.add_argument(setting.flag, help=setting.help)
    parser.format_help()


def test_by_default_nothing_listens_where_others_could_come():
    settings = DaemonSettings(data=DATA)
    addresses = [settings.listen, settings.cluster_listen, settings.peer_listen, settings.http]
    assert addresses == [Endpoint("127.0.0.1", port) for port in (7379, 7380, 17379, 8379)]


def test_engine_options_are_options_of_the_engine_within_its_ranges():
    """A node has its machine to itself more often than a library has, and caches more blocks."""
    defaults = lsmkv.Options(**engine_options(DaemonSettings(data=DATA)))
    assert defaults == lsmkv.Options(block_cache_size=128 << 20, row_cache_size=384 << 20)
    for name in engine_options(DaemonSettings(data=DATA)):
        kind = all_settings()[name].kind
        for limit in (kind.low, kind.high):  # type: ignore[attr-defined]
            lsmkv.Options(**{name: limit})


def test_limits_are_within_those_of_the_machines():
    settings = all_settings()
    assert settings["key_bytes_max"].kind.high <= KEY_SIZE_MAX  # type: ignore[attr-defined]
    assert settings["value_bytes_max"].kind.high == VALUE_SIZE_MAX  # type: ignore[attr-defined]
    timeout = settings["request_timeout_ms"].kind
    assert timeout.high <= REQUEST_LIFETIME_MAX_MS  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"staged": True}, "staged"),
        ({"http": Endpoint("127.0.0.1", 7379)}, "http"),
        ({"announce": Endpoint("0.0.0.0", 7379)}, "announce"),
        ({"announce_peer": Endpoint("host", 0)}, "announce_peer"),
        ({"command_bytes_max": 1 << 20}, "command_bytes_max"),
        ({"output_buffers_total_bytes_max": 1 << 20}, "output_buffers_total_bytes_max"),
        ({"tls_ca": Path("ca.pem")}, ""),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        dataclasses.replace(DaemonSettings(data=DATA), **changes)
    assert raised.value.key == key


def test_free_ports_may_be_asked_for_on_all_addresses():
    free = Endpoint("127.0.0.1", 0)
    DaemonSettings(data=DATA, listen=free, cluster_listen=free, peer_listen=free, http=free)


def test_the_file_of_the_cluster_lies_in_the_data_directory_unless_said_otherwise():
    assert DaemonSettings(data=DATA).cluster_path == DATA / "cluster.toml"
    other = DaemonSettings(data=DATA, cluster_file=Path("/etc/lsmkv/cluster.toml"))
    assert other.cluster_path == Path("/etc/lsmkv/cluster.toml")
