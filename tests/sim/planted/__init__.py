"""All planted bugs, by subject: importing this package enters them in CANARIES."""

from tests.sim.canaries import CANARIES
from tests.sim.planted import (
    collecting,
    deciding,
    expiring,
    filling,
    healing,
    hints,
    membership,
    minting,
    moving,
    reading,
    writing,
)

__all__ = [
    "CANARIES",
    "collecting",
    "deciding",
    "expiring",
    "filling",
    "healing",
    "hints",
    "membership",
    "minting",
    "moving",
    "reading",
    "writing",
]
