"""What a member is taken for, and what changes that: one table.

                 RAISED  ACCUSED      CONFIRMED  EXPIRED      BURIED  DEPARTED  HEARD
    ALIVE        ALIVE   SUSPECT      .          .            DEAD    LEFT      ALIVE
    SUSPECT      ALIVE   SUSPECT      DEAD       UNREACHABLE  DEAD    LEFT      SUSPECT
    UNREACHABLE  ALIVE   UNREACHABLE  DEAD       UNREACHABLE  DEAD    LEFT      SUSPECT
    DEAD         ALIVE   DEAD         .          .            DEAD    LEFT      DEAD
    LEFT         ALIVE   LEFT         .          .            LEFT    LEFT      LEFT

Only a higher incarnation, which the member alone can give itself, makes it ALIVE again (RAISED);
within one incarnation members agree because ALIVE < SUSPECT < DEAD < LEFT never goes back.
UNREACHABLE is one node's own finding: others are told SUSPECT. A dot is what cannot happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType

__all__ = ["TRANSITIONS", "Event", "Status"]


class Status(IntEnum):
    """What a member is taken for. Numbers travel, all but UNREACHABLE's."""

    ALIVE = 1
    SUSPECT = 2  # somebody's own probe failed; to be tried last
    DEAD = 3  # enough members' own probes failed
    LEFT = 4  # it said so itself
    UNREACHABLE = 5  # for this node: its probes fail, and too few others confirm that


class Event(Enum):
    RAISED = "raised"  # a higher incarnation is known
    ACCUSED = "accused"  # an own probe failed, ours or another member's
    CONFIRMED = "confirmed"  # the suspicion's time is up, and enough others accuse
    EXPIRED = "expired"  # the suspicion's time is up, our own probe failed, too few others accuse
    BURIED = "buried"  # somebody saw it confirmed
    DEPARTED = "departed"
    HEARD = "heard"  # a datagram or frame of its own


def _row(before: Status, text: str) -> dict[tuple[Status, Event], Status]:
    return {
        (before, event): Status[word]
        for event, word in zip(Event, text.split(), strict=True)
        if word != "."
    }


TRANSITIONS: Mapping[tuple[Status, Event], Status] = MappingProxyType(
    _row(Status.ALIVE, "ALIVE SUSPECT . . DEAD LEFT ALIVE")
    | _row(Status.SUSPECT, "ALIVE SUSPECT DEAD UNREACHABLE DEAD LEFT SUSPECT")
    | _row(Status.UNREACHABLE, "ALIVE UNREACHABLE DEAD UNREACHABLE DEAD LEFT SUSPECT")
    | _row(Status.DEAD, "ALIVE DEAD . . DEAD LEFT DEAD")
    | _row(Status.LEFT, "ALIVE LEFT . . LEFT LEFT LEFT")
)
