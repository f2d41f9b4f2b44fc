"""Who may log in, and as what: a TOML file with one line for each user.

    default = { role = "read", password = "scrypt$..." }
    ada = { role = "admin", password = "scrypt$..." }

AUTH with a password alone means the user `default`, as in Redis. Who has not logged in may do
nothing; without a file of users there is no login, and exposure.py keeps others out.

A check is slow on purpose, and so it is for a name that does not exist. So that a pool of
connections does not pay for each, what was found right once is remembered, under a key of this
process: `recall` is quick and answers only that.

Whoever has the file of the cluster is an administrator without being listed: the user `cluster`,
whose password is a key made of the secret (cluster_keys.py). So a node can join, and commands on
the machine of a node find their way in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lsmkv_cluster.config.files import read_toml
from lsmkv_cluster.config.passwords import PasswordHash, hash_password, parse_hash
from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.config.toml_fields import TomlFields, toml_text
from lsmkv_cluster.errors import ConfigError, TopologyError
from lsmkv_cluster.placement.members import check_name

__all__ = ["CLUSTER_USER", "DEFAULT_USER", "User", "Users", "load_users", "user_line"]

DEFAULT_USER = "default"
CLUSTER_USER = "cluster"
USERS_MAX = 1024
REMEMBERED_MAX = 1024  # logins


@dataclass(frozen=True, slots=True)
class User:
    name: str
    role: Role
    password: PasswordHash


class Users:
    """May be asked from several threads at once. `cluster_password`: None, nobody has it."""

    def __init__(self, users: Mapping[str, User], cluster_password: bytes | None = None) -> None:
        self._cluster_password = cluster_password
        self._users = dict(users)
        self._nobody = hash_password(secrets.token_bytes(16))
        self._process_key = secrets.token_bytes(32)
        self._remembered: dict[bytes, Role] = {}

    def __len__(self) -> int:
        return len(self._users)

    def check(self, name: str, password: bytes) -> Role | None:
        """The role of who knows the password. Takes its time: not in an event loop."""
        if name == CLUSTER_USER:
            return self.recall(name, password)
        user = self._users.get(name)
        is_right = (user.password if user is not None else self._nobody).matches(password)
        if user is None or not is_right:
            return None
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[self._mark(name, password)] = user.role
        return user.role

    def recall(self, name: str, password: bytes) -> Role | None:
        """The same at once, if it was right before; None says nothing."""
        if name == CLUSTER_USER:  # the password is a random key: there is nothing to slow down
            expected = self._cluster_password
            is_right = expected is not None and hmac.compare_digest(expected, password)
            return Role.ADMIN if is_right else None
        return self._remembered.get(self._mark(name, password))

    def _mark(self, name: str, password: bytes) -> bytes:
        named = name.encode("utf-8", "surrogatepass")
        data = len(named).to_bytes(4, "big") + named + password
        return hashlib.blake2b(data, key=self._process_key).digest()


def load_users(path: Path, cluster_password: bytes | None = None) -> Users:
    """ConfigError names file and user; OSError as it comes."""
    where = str(path)
    fields = TomlFields(where, read_toml(path, is_secret=True))
    names = fields.names()
    if not 1 <= len(names) <= USERS_MAX:
        raise ConfigError(f"{len(names)} users instead of 1 to {USERS_MAX}", where)
    users = {name: _user(where, name, fields.table(name)) for name in names}
    return Users(users, cluster_password)


def _user(where: str, name: str, fields: TomlFields) -> User:
    _check_name(name, where)
    role, line = fields.text("role"), fields.text("password")
    fields.end()
    if role.upper() not in Role.__members__:
        raise fields.error("role", f"one of {', '.join(_ROLES)}, not {role!r}")
    try:
        password = parse_hash(line)
    except ValueError as error:
        raise fields.error("password", str(error)) from None
    return User(name, Role[role.upper()], password)


_ROLES = [role.name.lower() for role in Role]


def _check_name(name: str, where: str) -> None:
    try:
        check_name("user", name)
    except TopologyError as error:
        raise ConfigError(str(error), where, name) from None
    if name == CLUSTER_USER:
        raise ConfigError("this is who has the file of the cluster", where, name)


def user_line(name: str, role: Role, password: bytes) -> str:
    """A line for the file. ConfigError for a name that cannot be, ValueError for a password."""
    _check_name(name, "")
    hashed = toml_text(str(hash_password(password)))
    key = name if name.isalnum() else toml_text(name)
    return f"{key} = {{ role = {toml_text(role.name.lower())}, password = {hashed} }}"
