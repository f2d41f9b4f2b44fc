"""The kinds of faults and of changes, by name."""

from __future__ import annotations

from enum import Enum

__all__ = ["CHANGE_KINDS", "DESTRUCTIVE", "FAULT_KINDS", "ChangeKind", "FaultKind"]


class FaultKind(Enum):
    # --- the network
    LOSS = "datagrams lost"
    DUPLICATION = "datagrams doubled"
    REORDERING = "datagrams reordered"
    CORRUPTION = "datagrams damaged"
    STREAM_CORRUPTION = "frames damaged"
    RESET = "connections reset"
    SLOW_LINK = "slow link"
    NODE_CUT = "one node cut off"
    HALVES = "halves"
    ONE_WAY = "one-way cut"
    BRIDGE = "bridge"
    RING = "majorities ring"
    FLAPPING = "flapping link"
    CENTRE_CUT = "data centre cut off"
    CLIENT_CUT = "clients cut off"
    # --- processes and clocks
    KILL = "kill"
    KILL_ALL = "kill of all"
    RESTART = "clean restart"
    PAUSE = "pause"
    SLOW_PROCESSOR = "slow processor"
    CLOCK_JUMP = "clock jump"
    COORDINATOR_DEATH = "death in mid-write"
    # --- power and disks
    POWER_LOSS = "power loss"
    POWER_LOSS_ALL = "power loss of all"
    FULL_DISK = "full disk"
    SLOW_DISK = "slow disk"
    FAILED_SYNC = "failed sync"
    WIPE = "disk wiped"
    OLD_COPY = "disk restored from an old copy"
    DAMAGED_FILE = "one file damaged"
    # --- in stages, and long ones
    ABSENCE = "long absence"
    IN_TURN = "owners ill in turn"


class ChangeKind(Enum):
    """What operators do (changes.py)."""

    JOIN = "a node joins"
    JOIN_TWO = "two nodes join"
    LEAVE = "a node leaves"
    REPLACE = "a dead node is replaced"
    RETURN = "a removed node comes back"
    REWEIGH = "another weight"
    REPLICAS = "another number of copies"
    RIVALS = "two operators at once"


CHANGE_KINDS = tuple(ChangeKind)
FAULT_KINDS = tuple(FaultKind)

# Those after which a machine may lack what was synced there.
DESTRUCTIVE = frozenset(
    {FaultKind.WIPE, FaultKind.OLD_COPY, FaultKind.DAMAGED_FILE, FaultKind.IN_TURN}
)
