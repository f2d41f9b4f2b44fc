"""Users: who knows the password gets the role, nobody else gets any; a wrong file is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lsmkv_cluster.config import users as users_module
from lsmkv_cluster.config.files import write_file
from lsmkv_cluster.config.passwords import PasswordHash, hash_password
from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.config.users import (
    CLUSTER_USER,
    DEFAULT_USER,
    User,
    Users,
    load_users,
    user_line,
)
from lsmkv_cluster.errors import ConfigError

ADA = User("ada", Role.ADMIN, hash_password(b"lovelace"))
ANYBODY = User(DEFAULT_USER, Role.READ, hash_password(b"open"))


@pytest.fixture
def users() -> Users:
    return Users({user.name: user for user in (ADA, ANYBODY)})


def test_the_role_of_who_knows_the_password(users: Users) -> None:
    assert users.check("ada", b"lovelace") is Role.ADMIN
    assert users.check(DEFAULT_USER, b"open") is Role.READ


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", b"open"),
        ("ada", b""),
        ("ada", b"lovelace\0"),
        ("Ada", b"lovelace"),
        ("bob", b"lovelace"),
        ("ada\udcff", b"lovelace"),
        ("", b""),
    ],
)
def test_nobody_else_has_one(users: Users, name: str, password: bytes) -> None:
    assert users.check(name, password) is None
    assert users.recall(name, password) is None


def test_what_was_right_once_is_recalled_and_nothing_else_is(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert users.recall("ada", b"lovelace") is None
    users.check("ada", b"lovelace")

    def fail(hashed: PasswordHash, password: bytes) -> bool:
        raise AssertionError("recalling is slow")

    monkeypatch.setattr(PasswordHash, "matches", fail)
    assert users.recall("ada", b"lovelace") is Role.ADMIN
    assert users.recall("ada", b"lovelac") is None
    assert users.recall("adal", b"ovelace") is None
    assert users.recall(DEFAULT_USER, b"lovelace") is None


def test_only_so_many_are_remembered(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users_module, "REMEMBERED_MAX", 1)
    users.check("ada", b"lovelace")
    users.check(DEFAULT_USER, b"open")
    assert users.recall("ada", b"lovelace") is None
    assert users.recall(DEFAULT_USER, b"open") is Role.READ


def test_a_name_that_does_not_exist_costs_as_much(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    matches = PasswordHash.matches

    def counted(hashed: PasswordHash, password: bytes) -> bool:
        asked.append((hashed.log_n, hashed.r, hashed.p))
        return matches(hashed, password)

    monkeypatch.setattr(PasswordHash, "matches", counted)
    users.check("ada", b"x")
    users.check("nobody", b"x")
    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_who_has_the_key_of_the_cluster_is_an_administrator(users: Users) -> None:
    cluster = Users({ADA.name: ADA}, cluster_password=b"key")
    for ask in (cluster.check, cluster.recall):
        assert ask(CLUSTER_USER, b"key") is Role.ADMIN
        assert ask(CLUSTER_USER, b"") is None
        assert ask(CLUSTER_USER, b"lovelace") is None
    for ask in (users.check, users.recall):
        assert ask(CLUSTER_USER, b"") is None
    with pytest.raises(ConfigError):
        user_line(CLUSTER_USER, Role.READ, b"x")


def test_lines_make_a_file(tmp_path: Path) -> None:
    lines = [user_line("ada", Role.ADMIN, b"one"), user_line("b-o.b", Role.WRITE, b"two")]
    path = tmp_path / "users.toml"
    write_file(path, "\n".join(lines).encode())
    users = load_users(path)
    assert len(users) == 2
    assert users.check("ada", b"one") is Role.ADMIN
    assert users.check("b-o.b", b"two") is Role.WRITE


def test_no_line_for_a_name_or_password_that_cannot_be():
    with pytest.raises(ConfigError):
        user_line("with space", Role.READ, b"x")
    with pytest.raises(ValueError):
        user_line("ada", Role.READ, b"")


LINE = user_line("ada", Role.ADMIN, b"one")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", ""),
        ("ada = 1", "ada"),
        (LINE.replace("admin", "root"), "ada.role"),
        (LINE.replace("role", "rol"), "ada.role"),
        (LINE.replace("{", "{ x = 1,"), "ada.x"),
        (LINE.replace("scrypt", "plain"), "ada.password"),
        (LINE.replace("ada", "'a b'"), "a b"),
        (LINE.replace("ada", "cluster"), "cluster"),
    ],
)
def test_a_wrong_file_is_refused_and_its_hashes_are_not_shown(
    tmp_path: Path, text: str, key: str
) -> None:
    path = tmp_path / "users.toml"
    write_file(path, text.encode())
    with pytest.raises(ConfigError) as raised:
        load_users(path)
    assert (raised.value.where, raised.value.key) == (str(path), key)
    assert "$" not in str(raised.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "users.toml"
    write_file(path, LINE.encode())
    os.chmod(path, 0o640)
    with pytest.raises(ConfigError, match="others may read it"):
        load_users(path)
