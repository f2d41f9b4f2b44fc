"""All planted bugs, by subject: importing this package enters them in CANARIES."""

from tests.sim.canaries import CANARIES
from tests.sim.planted import filling, healing, hints, membership, minting, reading, writing

__all__ = ["CANARIES", "filling", "healing", "hints", "membership", "minting", "reading", "writing"]
