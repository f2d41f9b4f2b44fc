"""Each setting is a flag; what was given comes back as text, what was not does not come back."""

from __future__ import annotations

import argparse

from lsmkv_cluster.config.setting_flags import add_setting_flags, given_flags
from lsmkv_cluster.config.settings import all_settings


def given(*argv: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    add_setting_flags(parser)
    return given_flags(parser.parse_args(argv))


def test_nothing_is_given_by_default_and_other_flags_are_not_settings():
    assert given() == {}
    assert given("--json") == {}


def test_what_is_given_comes_back_by_the_name_of_the_setting():
    assert given("--data", "d", "--cluster-listen", "x:1") == {"data": "d", "cluster_listen": "x:1"}
    assert given("--join", "a:1", "b:2", "--join", "c:3") == {"join": ["a:1", "b:2", "c:3"]}
    assert given("--no-staged", "--tls-clients") == {"staged": False, "tls_clients": True}


def test_every_setting_has_a_flag_and_its_default_stands_in_the_help():
    parser = argparse.ArgumentParser()
    add_setting_flags(parser)
    text = " ".join(parser.format_help().split())
    for setting in all_settings().values():
        assert f"{setting.flag}" in text
    assert "(default: 127.0.0.1:7379)" in text
    assert "(default: 384MiB)" in text
