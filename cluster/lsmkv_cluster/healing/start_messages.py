"""What a store tells its peers when it starts, what they have seen of it, and what they note.

Payloads, in terms of coding.py:

    announcement, opcode 0x0103                 answer, the same opcode
    u32  incarnation of the store               u64  the largest start number seen before
    u64  start number                           u64  the nonce of that start
    u64  nonce of this run                      u64  the largest sequence seen before
    u64  sequence of the engine at the start

    note of a peer, in the store under "start/" and its member id
    u32  incarnation, u64 start number, u64 nonce: the start that was announced last
    u64  the largest sequence seen of it
    u64 u64 u64  what was seen before it, as in the answer

    note of the own starts, in the store under "starts"
    u8   how many follow, the last 64 at most; each: u64 start number, u64 nonce

Example, the announcement of start 3 of incarnation 42, nonce 9, sequence 258:

    2a000000 03000000 00000000 09000000
    00000000 02010000 00000000
"""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import Machine, opcode

__all__ = ["START", "Announcement", "OwnStarts", "Seen", "SeenBefore"]

START = opcode(Machine.CONNECTION, 3)
OWN_STARTS_MAX = 64


@dataclass(frozen=True, slots=True)
class Announcement:
    incarnation: int
    start_number: int
    nonce: int
    sequence: int

    def encode(self) -> bytes:
        writer = Writer().u32(self.incarnation).u64(self.start_number)
        return writer.u64(self.nonce).u64(self.sequence).finish()

    @staticmethod
    def decode(payload: bytes) -> Announcement:
        reader = Reader(payload)
        announcement = Announcement(reader.u32(), reader.u64(), reader.u64(), reader.u64())
        reader.end()
        return announcement


@dataclass(frozen=True, slots=True)
class SeenBefore:
    start_number: int
    nonce: int
    sequence: int

    def encode(self) -> bytes:
        return Writer().u64(self.start_number).u64(self.nonce).u64(self.sequence).finish()

    @staticmethod
    def decode(payload: bytes) -> SeenBefore:
        reader = Reader(payload)
        seen = SeenBefore(reader.u64(), reader.u64(), reader.u64())
        reader.end()
        return seen


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a peer's store: the start that it announced, and the most that came before.
    Sequences are those of one incarnation: another one counts anew."""

    announced: Announcement = Announcement(0, 0, 0, 0)
    before: SeenBefore = SeenBefore(0, 0, 0)

    def follow(self, told: Announcement) -> Seen:
        """After this announcement. The same one again changes nothing."""
        last = self.announced
        if (last.start_number, last.nonce) == (told.start_number, told.nonce):
            return self
        known = last.sequence if last.incarnation == told.incarnation else 0
        announced = Announcement(
            told.incarnation,
            max(told.start_number, last.start_number),
            told.nonce,
            max(told.sequence, known),
        )
        return Seen(announced, SeenBefore(last.start_number, last.nonce, known))

    def encode(self) -> bytes:
        return self.announced.encode() + self.before.encode()

    @staticmethod
    def decode(note: bytes) -> Seen:
        size = len(Seen().announced.encode())
        return Seen(Announcement.decode(note[:size]), SeenBefore.decode(note[size:]))


@dataclass(frozen=True, slots=True)
class OwnStarts:
    """The starts of this very disk, by number; of the oldest nothing is known any more."""

    nonces: tuple[tuple[int, int], ...] = ()  # start number and nonce, ascending

    def begin(self, start_number: int, nonce: int) -> OwnStarts:
        before = [start for start in self.nonces if start[0] < start_number]
        return OwnStarts((*before, (start_number, nonce))[-OWN_STARTS_MAX:])

    def know(self, seen: SeenBefore) -> bool:
        """Whether that start can have been one of this disk."""
        return dict(self.nonces).get(seen.start_number, seen.nonce) == seen.nonce

    def encode(self) -> bytes:
        writer = Writer().u8(len(self.nonces))
        for number, nonce in self.nonces:
            writer.u64(number).u64(nonce)
        return writer.finish()

    @staticmethod
    def decode(note: bytes) -> OwnStarts:
        reader = Reader(note)
        count = reader.u8()
        if count > OWN_STARTS_MAX:
            raise Malformed(f"a note of {count} starts")
        numbers = reader.u64s(2 * count)
        reader.end()
        return OwnStarts(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
