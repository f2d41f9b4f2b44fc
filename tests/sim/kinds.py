"""The kinds of faults, by name."""

from __future__ import annotations

from enum import Enum

__all__ = ["DESTRUCTIVE", "FAULT_KINDS", "FaultKind"]


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
    # --- in stages
    IN_TURN = "owners ill in turn"


FAULT_KINDS = tuple(FaultKind)

# Those after which a machine may lack what was synced there.
DESTRUCTIVE = frozenset(
    {FaultKind.WIPE, FaultKind.OLD_COPY, FaultKind.DAMAGED_FILE, FaultKind.IN_TURN}
)
