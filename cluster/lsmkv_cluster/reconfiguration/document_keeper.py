"""The topology document of one node: it votes on the next, has it changed, learns and adopts it.

    proposals    what this node puts forward          conductor        what is due, from reports
    voter        what it promises to others           document_fetch   what others know
    adoption     from learned to worked by

This machine ties them together: it takes messages apart and decides who may say what.

- Only members of the document that is worked by vote and are voted with, on the epoch after it. Who
  asks about an epoch that is decided gets the newest document instead of an answer; who is ahead is
  asked for what it has, before anybody votes.
- A document that is put forward must be the next one of exactly the document that is worked by.
- Documents are taken from everybody, and given to everybody: also to those who were removed, so
  that they learn it. Of two with one epoch, which only force can make, neither gives way; there is
  an alarm, and a document forced once more ends it.
- A forced document is published when it is on stable storage here: it is made only once.

Outputs (`take_outputs`): Adopting, Adopted (adoption.py), Changed (proposals.py).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

from lsmkv_cluster.errors import Malformed, TopologyError
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Effect,
    Now,
    Random,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.reconfiguration.acceptor import NEVER, recovered
from lsmkv_cluster.reconfiguration.adoption import (
    Adopted,
    Adopting,
    Adoption,
    Known,
    StoreDocument,
)
from lsmkv_cluster.reconfiguration.conductor import Conductor, Polling
from lsmkv_cluster.reconfiguration.document_fetch import DocumentFetch, Fetching
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_answers import heard_in, reply_of, report_in
from lsmkv_cluster.reconfiguration.paxos_messages import (
    ACCEPT,
    FETCH,
    PREPARE,
    PUBLISH,
    REPORT,
    Accept,
    Fetch,
    MemberReport,
    PaxosStatus,
    Prepare,
    Promise,
    decode_epoch,
    encode_epoch,
)
from lsmkv_cluster.reconfiguration.proposals import Changed, Outcome, Proposals, Proposing
from lsmkv_cluster.reconfiguration.revoting import Revoting, Surveying
from lsmkv_cluster.reconfiguration.topology_changes import Change, Following, Refused, follow
from lsmkv_cluster.reconfiguration.voter import Voter, Voting
from lsmkv_cluster.storage.storage_orders import Done
from lsmkv_cluster.transport.wire import Lane

__all__ = ["DocumentKeeper"]

RISKS = (
    "forced: what others have agreed on after epoch {epoch}, and what was written under that, may "
    "be lost; it must not be forced on two sides of a cut"
)


class _Publishing(NamedTuple):
    """The token of a question whose answer does not matter."""


class _Forcing(NamedTuple):
    token: Hashable
    known: Known
    text: str


class DocumentKeeper:
    """`stored_note` is what the store remembers as PAXOS_NOTE. `report` says how far this node is
    by the document that it works by. `is_reachable` is about peers."""

    def __init__(
        self,
        document: Topology,
        me: MemberId,
        is_reachable: Callable[[MemberId], bool],
        rng: Random,
        stored_note: bytes | None,
        settings: KeeperSettings | None = None,
        *,
        report: Callable[[], MemberReport],
        may_vote: Callable[[], bool] = lambda: True,
    ) -> None:
        settings = settings or KeeperSettings()
        self._me = me
        self._settings = settings
        self._report = report
        self._adoption = Adoption(Known.of(document), settings)
        self._voter = Voter(recovered(stored_note, document.epoch + 1))
        self._proposals = Proposals(me, self._voter, is_reachable, self._decided, rng, settings)
        self._conductor = Conductor(me, is_reachable, lambda: self.has_vote, report, settings)
        self._fetch = DocumentFetch(me, is_reachable, rng, settings)
        self._may_vote = may_vote
        self._revoting = Revoting(me, settings)
        if self._voter.state.votes_from == NEVER:
            self._revoting.begin()
        self._forcing: _Forcing | None = None
        self._twins: set[bytes] = set()  # hashes of documents that have the epoch of one of ours
        self._outputs: list[Adopting | Adopted | Changed] = []

    @property
    def document(self) -> Topology:
        """What this node works by."""
        return self._adoption.current.document

    @property
    def has_vote(self) -> bool:
        is_voter = self._me in self.document.voters and self._may_vote()
        return is_voter and self._voter.state.has_vote

    def take_outputs(self) -> list[Adopting | Adopted | Changed]:
        found, self._outputs = self._outputs, []
        return found

    # --- what the node and operators say

    def heard_epoch(self, now: Now, peer: MemberId, epoch: int) -> list[Effect]:
        """A frame of this epoch came."""
        return self._fetch.heard(now, peer, epoch, self._adoption.newest)

    def prepared(self, now: Now) -> list[Effect]:
        """The node has made room for the document of the last Adopting."""
        return self._ended(now, self._adoption.prepared())

    def distrust(self, now: Now) -> list[Effect]:
        """The disk is an old copy, or new: what was promised is not known, and others have to tell
        until when it may matter."""
        self._revoting.begin()
        return [Alarm("this node has no vote on the topology for now"), self._voter.distrust()]

    def change(self, now: Now, token: Hashable, change: Change) -> list[Effect]:
        self._proposals.change(now, token, change)
        return self._ended(now, [])

    def force(self, now: Now, token: Hashable, change: Change) -> list[Effect]:
        """A new generation, which nobody is asked about."""
        current = self._adoption.current
        if not self._adoption.is_settled or self._forcing is not None:
            text = "another document is being adopted: this can be asked for again after that"
            self._outputs.append(Changed(token, Outcome.REFUSED, current.epoch, text))
            return []
        found = follow(current.document, change, is_forced=True)
        if isinstance(found, Following):
            risks = RISKS.format(epoch=current.epoch)
            text = f"{found.text}; {risks}" if found.text else risks
            self._forcing = _Forcing(token, Known.of(found.document), text)
            self._adoption.learn(self._forcing.known)
            return self._ended(now, [])
        if isinstance(found, Refused):
            self._outputs.append(Changed(token, Outcome.REFUSED, current.epoch, found.why))
        else:
            self._outputs.append(Changed(token, Outcome.COMMITTED, current.epoch, found.text))
        return []

    # --- what others ask

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        effects: list[Effect] = []
        for request in requests:
            try:
                effects += self._answer(now, request)
            except (Malformed, TopologyError):
                effects.append(Reply(request.reply_to, OperationStatus.MALFORMED))
        return self._ended(now, effects)

    def _answer(self, now: Now, request: Asked) -> list[Effect]:
        match request.opcode:
            case code if code == PREPARE:
                prepare = Prepare.decode(request.payload)
                return self._asked_to_vote(now, request, prepare.epoch, prepare.ballot, None)
            case code if code == ACCEPT:
                accept = Accept.decode(request.payload)
                known = Known.read(accept.document)
                return self._asked_to_vote(now, request, accept.epoch, accept.ballot, known)
            case code if code == PUBLISH:
                effects = self._learn(Known.read(request.payload))
                return [*effects, Reply(request.reply_to, OperationStatus.DONE)]
            case code if code == FETCH:
                return self._asked_for_document(now, request, Fetch.decode(request.payload))
            case code if code == REPORT:
                epoch = decode_epoch(request.payload)
                self._conductor.polled(now, request.peer)
                payload = replace(self._report(), has_vote=self.has_vote).encode()
                reply = Reply(request.reply_to, OperationStatus.DONE, payload)
                return [reply, *self.heard_epoch(now, request.peer, epoch)]
        return [Reply(request.reply_to, OperationStatus.UNKNOWN_OPCODE)]

    def _asked_to_vote(
        self, now: Now, request: Asked, epoch: int, ballot: int, known: Known | None
    ) -> list[Effect]:
        """`known`: what is to be accepted; None: a promise is wanted."""
        current, newest = self._adoption.current, self._adoption.newest
        if epoch <= newest.epoch:
            return [Reply(request.reply_to, PaxosStatus.FURTHER, self._given.data)]
        if epoch != current.epoch + 1:
            behind = Reply(request.reply_to, PaxosStatus.BEHIND, encode_epoch(current.epoch))
            return [behind, *self.heard_epoch(now, request.peer, epoch - 1)]
        voters = current.document.voters
        if self._me not in voters or request.peer not in voters or not self._may_vote():
            return [Reply(request.reply_to, PaxosStatus.NO_VOTE)]
        if known is None:
            found = self._voter.prepare(request.reply_to, ballot)
        elif (known.epoch, known.document.parent) != (epoch, current.hash):
            return [Reply(request.reply_to, OperationStatus.MALFORMED)]
        else:
            found = self._voter.accept(request.reply_to, ballot, known.data)
        return [found if isinstance(found, StoreOrder) else reply_of(found)]

    def _asked_for_document(self, now: Now, request: Asked, fetch: Fetch) -> list[Effect]:
        given = self._given
        is_other = fetch.epoch == given.epoch and fetch.hash != given.hash
        payload = given.data if is_other or fetch.epoch < given.epoch else b""
        effects: list[Effect] = [Reply(request.reply_to, OperationStatus.DONE, payload)]
        if is_other:
            effects += self._met_twin(fetch.hash)
        return effects + self.heard_epoch(now, request.peer, fetch.epoch)

    # --- what others answer

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Effect]:
        effects: list[Effect] = []
        for answer in answers:
            token = answer.token
            if isinstance(token, Proposing):
                effects += self._answered_to_proposal(now, token, answer)
            elif isinstance(token, Polling):
                self._conductor.hear(token, answer.peer, report_in(answer))
            elif isinstance(token, Surveying):
                self._revoting.hear(answer.peer, report_in(answer))
            elif isinstance(token, Fetching):
                if isinstance(answer, Answered) and answer.is_done and answer.payload:
                    effects += self._learn_from(answer.payload)
                effects += self._fetch.ended(now, token, self._adoption.newest)
        return self._ended(now, effects)

    def _answered_to_proposal(
        self, now: Now, token: Proposing, answer: Answered | Unanswered
    ) -> list[Effect]:
        if isinstance(answer, Answered) and answer.status == PaxosStatus.FURTHER:
            effects = self._learn_from(answer.payload)
            effects += self._proposals.hear_further(now, self._adoption.newest.epoch)
            return effects + self._proposals.hear(now, token, answer.peer, None)
        heard = heard_in(token.stage, answer)
        if isinstance(heard, Promise) and heard.document and not self._may_follow(heard.document):
            heard = None
        return self._proposals.hear(now, token, answer.peer, heard)

    def _may_follow(self, data: bytes) -> bool:
        """Whether this can be the document after the one that is worked by."""
        current = self._adoption.current
        try:
            document = Known.read(data).document
        except TopologyError:
            return False
        return (document.epoch, document.parent) == (current.epoch + 1, current.hash)

    # --- documents

    @property
    def _given(self) -> Known:
        """What others get who want a document."""
        newest = self._adoption.newest
        is_being_forced = self._forcing is not None and self._forcing.known is newest
        return self._adoption.current if is_being_forced else newest

    def _learn_from(self, data: bytes) -> list[Effect]:
        try:
            return self._learn(Known.read(data))
        except TopologyError:
            return [Alarm("a topology that cannot be read came from another member")]

    def _learn(self, known: Known) -> list[Effect]:
        newest = self._adoption.newest
        if known.document.cluster_id != newest.document.cluster_id:
            return [Alarm("a topology of another cluster came from another member")]
        if known.epoch == newest.epoch and known.hash != newest.hash:
            return self._met_twin(known.hash)
        self._adoption.learn(known)
        if known.epoch == newest.epoch + 1 and known.document.parent != newest.hash:
            return self._met_twin(known.document.parent)
        return []

    def _met_twin(self, hash: bytes) -> list[Effect]:
        if hash in self._twins:
            return []
        self._twins.add(hash)
        text = "there are two topologies of one epoch, forced on two sides of a cut"
        return [Alarm(f"{text}: force the one that is to count once more")]

    def _decided(self, now: Now, known: Known) -> list[Effect]:
        before = self._adoption.current.document
        return self._learn(known) + self._publish(now, known, before)

    def _publish(self, now: Now, known: Known, before: Topology) -> list[Effect]:
        """Also to those who are no members any more: they have to know."""
        ids = {*before.members_by_id, *known.document.members_by_id} - {self._me}
        deadline_ms = now.ms + self._settings.answer_ms
        return [
            Ask(id, Lane.CONTROL, PUBLISH, known.data, deadline_ms, _Publishing())
            for id in sorted(ids)
        ]

    # --- the machine

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        effects: list[Effect] = []
        for token, result in results:
            is_done = isinstance(result, Done)
            if isinstance(token, StoreDocument):
                effects += self._document_stored(now, is_done)
            elif isinstance(token, Voting):
                vote = self._voter.stored(token, is_done=is_done)
                if isinstance(vote.to, Proposing):
                    effects += self._proposals.hear(now, vote.to, self._me, vote.answer)
                elif vote.to is not None:
                    effects.append(reply_of(vote))
        return self._ended(now, effects)

    def _document_stored(self, now: Now, is_done: bool) -> list[Effect]:
        before = self._adoption.current
        effects = self._adoption.stored(now, is_done=is_done)
        current, forcing = self._adoption.current, self._forcing
        if current is before:
            return effects
        self._voter.decide(current.epoch + 1)
        if forcing is not None:
            self._forcing = None
            outcome = Outcome.LOST
            if current is forcing.known:
                outcome = Outcome.COMMITTED
                effects += self._publish(now, current, before.document)
            self._outputs.append(Changed(forcing.token, outcome, current.epoch, forcing.text))
        return effects + self._proposals.hear_further(now, current.epoch)

    def tick(self, now: Now) -> list[Effect]:
        adoption = self._adoption
        effects = adoption.tick(now)
        self._proposals.tick(now, adoption.current)
        effects += self._conductor.tick(now, adoption.current.document)
        effects += self._fetch.tick(now, adoption.newest)
        effects += self._revoting.tick(now, adoption.current.document)
        return self._ended(now, effects)

    def _ended(self, now: Now, effects: list[Effect]) -> list[Effect]:
        """After every step: what has become possible is done."""
        adoption = self._adoption
        votes_from = self._revoting.votes_from(adoption.current.document)
        if votes_from is not None:
            effects.append(self._voter.trust_from(votes_from))
        if adoption.is_settled and self._may_vote():
            effects += self._proposals.go_on(now, adoption.current)
        if adoption.is_settled:
            fields = self._conductor.judge(adoption.current.document)
            if fields is not None:
                effects += self._proposals.conduct(now, adoption.current, fields)
        self._outputs += adoption.outputs
        self._outputs += self._proposals.outputs
        adoption.outputs, self._proposals.outputs = [], []
        return effects

    def next_deadline(self) -> int | None:
        is_settled = self._adoption.is_settled and self._may_vote()
        due = [
            self._adoption.next_deadline(),
            self._proposals.next_deadline(is_settled=is_settled),
            self._conductor.next_deadline(),
            self._fetch.next_deadline(),
            self._revoting.next_deadline(),
        ]
        return min(ms for ms in due if ms is not None)
