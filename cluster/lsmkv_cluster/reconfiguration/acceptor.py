"""One voter's memory in the decision on the next document: what it has promised and accepted.

Single-decree Paxos, once for each epoch. Pure: a state and a question give a state and an answer;
who keeps the state has it on stable storage before the answer leaves (document_keeper.py). As long
as no voter forgets, two majorities have a member in common that remembers, and so no two documents
are ever chosen for one epoch.

    question            if                          answer
    prepare, ballot b   b >= promised               Promise: promised = b
    accept, b and d     b >= promised               Accepted: promised = accepted = b, document = d
    either              b < promised                Outbid
    either              epoch < votes_from          NoVote

A voter that has forgotten, or may have, does not vote: in this epoch if its note cannot be read; if
its whole disk is an old copy, until others have told how far it can have been (revoting.py).

The note, in terms of coding.py:

    u8     version: 1
    u64    the epoch that is to be decided
    u64    the highest ballot promised, 0: none
    u64    the ballot of the document accepted last, 0: none
    u64    the first epoch in which it has a vote
    sized  the document accepted last
    u32    CRC-32C of all that
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from crc32c import crc32c

from lsmkv_cluster.coding import U64_MAX, Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.reconfiguration.paxos_messages import (
    DOCUMENT_SIZE_MAX,
    Accepted,
    NoVote,
    Outbid,
    Promise,
)

__all__ = ["NEVER", "Acceptor", "recovered"]

NEVER = U64_MAX  # as votes_from: not as long as nobody has told
NOTE_VERSION = 1
_CHECKSUM_SIZE = 4


@dataclass(frozen=True, slots=True)
class Acceptor:
    """`epoch` is the one that is to be decided."""

    epoch: int
    promised: int = 0
    accepted: int = 0
    document: bytes = b""
    votes_from: int = 0

    @property
    def has_vote(self) -> bool:
        return self.epoch >= self.votes_from

    def prepare(self, ballot: int) -> tuple[Acceptor, Promise | Outbid | NoVote]:
        if not self.has_vote:
            return self, NoVote()
        if ballot < self.promised:
            return self, Outbid(self.promised)
        return replace(self, promised=ballot), Promise(self.accepted, self.document)

    def accept(self, ballot: int, document: bytes) -> tuple[Acceptor, Accepted | Outbid | NoVote]:
        if not self.has_vote:
            return self, NoVote()
        if ballot < self.promised or (ballot == self.accepted and document != self.document):
            return self, Outbid(self.promised)
        state = replace(self, promised=ballot, accepted=ballot, document=document)
        return state, Accepted()

    def deciding(self, epoch: int) -> Acceptor:
        """What it is in the decision on `epoch`: nothing of another one matters there."""
        return self if epoch == self.epoch else Acceptor(epoch, votes_from=self.votes_from)

    def encode(self) -> bytes:
        writer = Writer().u8(NOTE_VERSION).u64(self.epoch).u64(self.promised).u64(self.accepted)
        data = writer.u64(self.votes_from).sized(self.document, DOCUMENT_SIZE_MAX).finish()
        return data + crc32c(data).to_bytes(_CHECKSUM_SIZE, "little")

    @staticmethod
    def decode(note: bytes) -> Acceptor:
        """Malformed for all but what `encode` writes."""
        data, checksum = note[:-_CHECKSUM_SIZE], note[-_CHECKSUM_SIZE:]
        if crc32c(data).to_bytes(_CHECKSUM_SIZE, "little") != checksum:
            raise Malformed("a note with a wrong checksum")
        reader = Reader(data)
        if (version := reader.u8()) != NOTE_VERSION:
            raise Malformed(f"a note of version {version}")
        epoch, promised, accepted, votes_from = reader.u64s(4)
        document = reader.sized(DOCUMENT_SIZE_MAX)
        reader.end()
        return Acceptor(epoch, promised, accepted, document, votes_from)


def recovered(note: bytes | None, epoch: int) -> Acceptor:
    """The voter of a store that was opened with this note; `epoch` is to be decided next.

    None is the note of who was never asked. One that cannot be read was about this epoch or an
    earlier one: a document is durable before anybody votes on the one after it.
    """
    if note is None:
        return Acceptor(epoch)
    try:
        state = Acceptor.decode(note)
    except Malformed:
        return Acceptor(epoch, votes_from=epoch + 1)
    if state.epoch > epoch:  # the documents in between are lost
        return Acceptor(epoch, votes_from=max(state.epoch + 1, state.votes_from))
    return state.deciding(epoch)
