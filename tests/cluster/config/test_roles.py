"""Read, write and admin: each may what those below it may."""

from __future__ import annotations

from lsmkv_cluster.config.roles import Role


def test_a_role_allows_itself_and_what_is_below_it():
    allowed = {(role, needed) for role in Role for needed in Role if role.allows(needed)}
    assert allowed == {
        (Role.READ, Role.READ),
        (Role.WRITE, Role.READ),
        (Role.WRITE, Role.WRITE),
        (Role.ADMIN, Role.READ),
        (Role.ADMIN, Role.WRITE),
        (Role.ADMIN, Role.ADMIN),
    }
