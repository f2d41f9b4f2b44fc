"""What is explored, by name: which calls, crashes and moves there are, and how answers are heard.

Every scope but `sloppy` is strict. `everything` is that of the design: two writes, a delete, a
transition, a crash. The smaller ones can be seen to their end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lsmkv_cluster.coordination.requests import Verb
from lsmkv_cluster.placement.keyspaces import Mode
from tests.model.setting import Broken, Call, Setting

__all__ = ["COMPANIONS", "FAST", "SCOPES", "Companion"]

X = Call(Verb.PUT, b"x")
Y = Call(Verb.SET, b"y")
DELETE = Call(Verb.DELETE)
DELETE_X = Call(Verb.DELETE, after=0)
GET = Call(Verb.GET)

SCOPES: dict[str, Setting] = {
    # Nothing moves.
    "write": Setting((X,), moves=False, crashes=1, is_eager=False),
    "write and delete": Setting((X, DELETE), moves=False, is_eager=False),
    "write, delete, crash": Setting((X, DELETE), moves=False, crashes=1),
    "write and read": Setting((X, GET), moves=False),
    "two writes and a delete": Setting((X, Y, DELETE), moves=False),
    "two writes, a delete, a crash": Setting((X, Y, DELETE), moves=False, crashes=1),
    # c leaves, d comes.
    "move": Setting((), crashes=1),
    "write, move": Setting((X,)),
    "write, move, crash": Setting((X,), crashes=1),
    "write, move, answers apart": Setting((X,), is_eager=False),
    "write, delete of it, move": Setting((X, DELETE_X)),
    "write, read, move": Setting((X, GET)),
    "everything": Setting((X, Y, DELETE), crashes=1),
    "sloppy": Setting((X, Y, DELETE), mode=Mode.SLOPPY),
}

# What is explored at every test, and how far.
FAST: dict[str, int] = {
    "write": 10_000,  # all there are
    "write and delete": 20_000,  # all
    "write, delete, crash": 6_000,
    "write and read": 6_000,
    "move": 10_000,  # all
    "write, move": 8_000,
    "everything": 20_000,
    "sloppy": 8_000,
}


@dataclass(frozen=True)
class Companion:
    """A rule switched off, where that is seen soonest, and what is seen."""

    setting: Setting
    fault: str


def _move(broken: Broken, *calls: Call, crashes: int = 0) -> Setting:
    return Setting(calls, broken=broken, crashes=crashes)


def _at(call: Call, names: str) -> Call:
    return replace(call, at=names)


NOT_FOUND = "is acknowledged, and not found by"

COMPANIONS: dict[str, Companion] = {
    "replicas take old epochs": Companion(
        _move(Broken(takes_old_epochs=True), _at(X, "a")), NOT_FOUND
    ),
    "exchanges in old epochs": Companion(
        _move(Broken(exchanges_in_old_epochs=True), _at(X, "a")), NOT_FOUND
    ),
    "a copy is filled from one owner": Companion(
        _move(Broken(fills_from_one=True), _at(X, "a")), NOT_FOUND
    ),
    "a coming copy is whole at once": Companion(
        _move(Broken(is_whole_at_once=True), _at(X, "a")), NOT_FOUND
    ),
    "settled before the old owners know of the switch": Companion(
        _move(Broken(settles_at_once=True), _at(X, "a")), NOT_FOUND
    ),
    "a write needs one row": Companion(_move(Broken(needs_one_row=True), _at(X, "a")), NOT_FOUND),
    "an epoch is kept after a crash": Companion(
        Setting(
            (_at(X, "a"), replace(_at(Y, "a"), after=0), _at(DELETE, "a")),
            moves=False,
            crashes=1,
            broken=Broken(keeps_epoch=True),
        ),
        "a dot is used twice",
    ),
    "a write counts before it is synced": Companion(
        Setting((X,), moves=False, crashes=1, broken=Broken(acknowledges_unsynced=True)), NOT_FOUND
    ),
}
