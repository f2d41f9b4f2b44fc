"""One question has exactly one end, whatever the network does; frames fit their lanes; what one
machine asks reaches the same machine of the peer, until the deadline and not after it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from lsmkv_cluster.driver_ports import FrameOut
from lsmkv_cluster.operations import Machine, Operation, OperationStatus, opcode
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Asked, Now, Reply, Unanswered
from lsmkv_cluster.transport.flights import FlightLimits, Flights, FlightSettings
from lsmkv_cluster.transport.traffic import (
    CALL_ID,
    EARLY_MAX,
    REQUEST_LIFETIME_MAX_MS,
    Incoming,
    Traffic,
)
from lsmkv_cluster.transport.wire import (
    LANE_LIMITS,
    Frame,
    FrameDecoder,
    FrameKind,
    Lane,
    encode_frame,
)

CLUSTER = bytes(range(16))
ME, PEER, STRANGER = b"me", b"peer", b"stranger"
READ, HINT = opcode(Machine.REPLICA, 2), opcode(Machine.HINTS, 1)
GOSSIP = opcode(Machine.MEMBERSHIP, 1)
MACHINES = {Machine.REPLICA, Machine.HINTS, Machine.MEMBERSHIP}
WALL_MS = 1_700_000_000_000


def make_traffic(
    epoch: int = 1, offset_ms: int = 0, first_call_id: int = 1000, flights: Flights | None = None
) -> Traffic:
    return Traffic(CLUSTER, epoch, MACHINES, lambda _: offset_ms, first_call_id, flights=flights)


def boundless() -> Flights:
    limits = FlightLimits(1 << 20, 1 << 40)
    return Flights(FlightSettings(limits, limits, limits))


def at(ms: int, wall_ms: int | None = None) -> Now:
    return Now(ms, WALL_MS + ms if wall_ms is None else wall_ms)


def ask(payload: bytes = b"x", **more: object) -> Ask:
    given: dict[str, object] = {"to": PEER, "lane": Lane.DATA, "opcode": READ, "deadline_ms": 100,
                                "token": payload, **more}  # fmt: skip
    return Ask(payload=payload, **given)  # type: ignore[arg-type]


def frames_of(traffic: Traffic, *asks: Ask, now: Now = at(0)) -> list[FrameOut]:
    for one in asks:
        traffic.ask(one.opcode >> 8, one)
    return traffic.flush(now)


def requests(traffic: Traffic, now: Now, frame: Frame, peer: MemberId = ME) -> list[Asked]:
    into = Incoming({}, {})
    traffic.receive(now, peer, frame, into)
    assert not into.answers
    for machine, asked in into.requests.items():
        assert all(one.opcode >> 8 == machine for one in asked)
    return [one for asked in into.requests.values() for one in asked]


def answers(traffic: Traffic, frame: Frame, peer: MemberId = PEER) -> list[Answered | Unanswered]:
    into = Incoming({}, {})
    traffic.receive(at(1), peer, frame, into)
    assert not into.requests
    return [one for given in into.answers.values() for one in given]


def ends(traffic: Traffic, ms: int) -> list[Answered | Unanswered]:
    into = Incoming({}, {})
    traffic.expire(at(ms), into)
    return [one for given in into.answers.values() for one in given]


def only(frames: list[FrameOut]) -> Frame:
    [(_, frame)] = frames
    return frame


def is_idle(traffic: Traffic) -> bool:
    return not (traffic._pending or traffic._packets or traffic._unsent) and (
        traffic.next_deadline() is None
    )


# --- there and back ------------------------------------------------------------------------------


def test_a_question_and_its_answer():
    here, there = make_traffic(), make_traffic()
    frame = only(frames_of(here, ask(b"q", flags=4, token="t")))
    [asked] = requests(there, at(7), frame)
    assert (asked.peer, asked.opcode, asked.payload, asked.flags) == (ME, READ, b"q", 4)
    there.reply(Reply(asked.reply_to, 66, b"a"))
    [(to, response)] = there.flush(at(8))
    assert (to, response.kind, response.lane) == (ME, FrameKind.RESPONSE, Lane.DATA)
    assert answers(here, response) == [Answered("t", PEER, 66, b"a")]
    assert ends(here, 1000) == []
    assert is_idle(here)
    assert is_idle(there)


def test_all_for_one_peer_lane_and_deadline_share_a_frame():
    here = make_traffic()
    frames = frames_of(
        here,
        ask(b"1"),
        ask(b"2", opcode=HINT),
        ask(b"3", lane=Lane.BULK),
        ask(b"4", to=STRANGER),
        ask(b"5", deadline_ms=101),
        ask(b"6"),
    )
    shown = [
        (to, frame.lane, [operation.payload[8:] for operation in frame.operations])
        for to, frame in frames
    ]
    assert shown == [
        (PEER, Lane.DATA, [b"1", b"2", b"6"]),
        (PEER, Lane.BULK, [b"3"]),
        (STRANGER, Lane.DATA, [b"4"]),
        (PEER, Lane.DATA, [b"5"]),
    ]
    assert here.flush(at(0)) == []


def test_answers_go_to_the_machine_that_asked():
    here, there = make_traffic(), make_traffic()
    frame = only(frames_of(here, ask(b"1"), ask(b"2", opcode=HINT)))
    for asked in requests(there, at(0), frame):
        there.reply(Reply(asked.reply_to, OperationStatus.DONE, asked.payload))
    into = Incoming({}, {})
    here.receive(at(1), PEER, only(there.flush(at(1))), into)
    assert {m: [a.token for a in given] for m, given in into.answers.items()} == {
        Machine.REPLICA: [b"1"],
        Machine.HINTS: [b"2"],
    }


# --- answers that are none -----------------------------------------------------------------------


def response_to(here: Traffic, there: Traffic) -> Frame:
    [asked] = requests(there, at(0), only(frames_of(here, ask())))
    there.reply(Reply(asked.reply_to, OperationStatus.DONE, b"a"))
    return only(there.flush(at(0)))


def test_an_answer_is_taken_once():
    here = make_traffic()
    response = response_to(here, make_traffic())
    assert len(answers(here, response)) == 1
    assert answers(here, response) == []


def test_an_answer_of_somebody_else_is_not_taken():
    here = make_traffic()
    response = response_to(here, make_traffic())
    assert answers(here, response, STRANGER) == []
    assert len(answers(here, response)) == 1


def test_an_answer_after_the_deadline_is_not_taken():
    here = make_traffic()
    response = response_to(here, make_traffic())
    assert ends(here, 99) == []
    assert ends(here, 100) == [Unanswered(b"x", PEER)]
    assert answers(here, response) == []


def test_an_answer_to_an_earlier_run_is_not_taken():
    response = response_to(make_traffic(first_call_id=1 << 50), make_traffic())
    here = make_traffic()
    frames_of(here, ask())
    assert answers(here, response) == []
    assert ends(here, 100) == [Unanswered(b"x", PEER)]


@pytest.mark.parametrize("kind", [FrameKind.REQUEST, FrameKind.RESPONSE])
@pytest.mark.parametrize("size", range(CALL_ID.size))
def test_payloads_without_a_call_id_are_left(kind, size):
    here = make_traffic()
    frame = Frame(kind, Lane.DATA, CLUSTER, (Operation(READ, bytes(size)),), 1, WALL_MS)
    assert requests(here, at(0), frame) == []
    assert here.flush(at(0)) == []


@pytest.mark.parametrize("kind", [FrameKind.HELLO, FrameKind.REFUSAL])
def test_frames_of_the_handshake_are_none_of_its_business(kind):
    here = make_traffic()
    frame = Frame(kind, Lane.DATA, CLUSTER, (Operation(READ, bytes(9)),), 1, WALL_MS)
    assert requests(here, at(0), frame) == []
    assert here.flush(at(0)) == []


# --- what is refused at once ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "epoch", "status"),
    [
        (READ, 1, None),
        (GOSSIP, 2, None),  # who must be able to speak across epochs
        (opcode(Machine.COORDINATOR, 1), 1, OperationStatus.UNKNOWN_OPCODE),
        (opcode(Machine.COORDINATOR, 1), 2, OperationStatus.UNKNOWN_OPCODE),
        (0x7F01, 1, OperationStatus.UNKNOWN_OPCODE),
    ],
)
def test_other_epochs_and_unknown_machines(code, epoch, status):
    here, there = make_traffic(epoch), make_traffic()
    asked = requests(there, at(0), only(frames_of(here, ask(opcode=code))))
    assert len(asked) == (status is None)
    if status is not None:
        assert answers(here, only(there.flush(at(0)))) == [Answered(b"x", PEER, status, b"")]


def test_a_request_of_a_newer_epoch_waits_for_the_document():
    """Whoever is behind does not refuse: it asks for the document and then does what it says."""
    ahead, here = make_traffic(epoch=3), make_traffic(epoch=1)
    frame = only(frames_of(ahead, ask(opcode=READ)))
    assert requests(here, at(0), frame) == []
    assert here.flush(at(0)) == []
    assert here.take_newer() == (b"me", 3)
    assert here.take_newer() is None, "once"
    for epoch, count in ((2, 0), (3, 1), (4, 0)):
        into = Incoming({}, {})
        here.adopt(epoch, into)
        found = list(into.requests.get(READ >> 8, []))
        assert len(found) == count
        assert all(asked.epoch == 3 for asked in found)
    assert here.take_newer() is None


def test_a_request_of_an_older_epoch_is_told_so_to_its_machine():
    ahead, here = make_traffic(epoch=3), make_traffic(epoch=1)
    [asked] = requests(ahead, at(0), only(frames_of(here, ask(opcode=READ))))
    assert asked.epoch == 1
    assert ahead.take_newer() is None


def test_what_waits_for_a_document_expires_and_goes_with_its_connection():
    ahead, here = make_traffic(epoch=2), make_traffic(epoch=1)
    frames = [only(frames_of(ahead, ask(opcode=READ, deadline_ms=ms))) for ms in (400, 900)]
    for frame in frames:
        assert requests(here, at(0), frame) == []
    here.expire(at(500), Incoming({}, {}))
    into = Incoming({}, {})
    here.adopt(2, into)
    assert [asked.deadline_ms for asked in into.requests[READ >> 8]] == [900]
    again = make_traffic(epoch=1)
    assert requests(again, at(0), frames[1]) == []
    again.lost(b"me", Incoming({}, {}))
    into = Incoming({}, {})
    again.adopt(2, into)
    assert into.requests == {}


def test_only_so_many_requests_wait_for_a_document():
    ahead, here = make_traffic(epoch=2), make_traffic(epoch=1)
    for _ in range(EARLY_MAX):
        assert requests(here, at(0), only(frames_of(ahead, ask(opcode=READ)))) == []
    assert here.flush(at(0)) == []
    assert requests(here, at(0), only(frames_of(ahead, ask(opcode=READ)))) == []
    [operation] = only(here.flush(at(0))).operations
    assert operation.status == OperationStatus.OVERLOADED


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("offset_ms", [0, 5_000, -3_600_000])
def test_deadlines_travel_as_wall_time_and_arrive_as_monotonic_time(offset_ms):
    """The asker's clock is ahead by the offset; its monotonic time is of no account."""
    here, there = make_traffic(), make_traffic(offset_ms=offset_ms)
    sent = Now(ms=1_000_000, wall_ms=WALL_MS + offset_ms)
    frame = only(frames_of(here, ask(deadline_ms=sent.ms + 400), now=sent))
    [asked] = requests(there, Now(ms=50, wall_ms=WALL_MS + 100), frame)
    assert asked.deadline_ms == 50 + 300


def test_a_frame_that_lay_about_has_expired():
    """However late it is read: the deadline is a point in time (scenario pause_past_election)."""
    frame = only(frames_of(make_traffic(), ask(deadline_ms=400)))
    [asked] = requests(make_traffic(), Now(ms=0, wall_ms=WALL_MS + 60_000), frame)
    assert asked.deadline_ms < 0


def test_no_request_lives_longer_than_any_may():
    frame = only(frames_of(make_traffic(), ask(deadline_ms=10 * REQUEST_LIFETIME_MAX_MS)))
    [asked] = requests(make_traffic(), at(5), frame)
    assert asked.deadline_ms == 5 + REQUEST_LIFETIME_MAX_MS


def test_a_deadline_before_the_year_1970_can_be_sent():
    frame = only(frames_of(make_traffic(), ask(deadline_ms=10), now=Now(1000, 100)))
    assert frame.deadline_ms == 1
    encode_frame(frame)


def test_the_next_deadline_is_that_of_what_is_open():
    here, there = make_traffic(), make_traffic()
    frames = frames_of(here, ask(b"1", deadline_ms=50), ask(b"2", deadline_ms=70))
    assert here.next_deadline() == 50
    [asked] = requests(there, at(0), frames[0].frame)
    there.reply(Reply(asked.reply_to, OperationStatus.DONE))
    answers(here, only(there.flush(at(0))))
    assert here.next_deadline() == 70
    assert ends(here, 70) == [Unanswered(b"2", PEER)]
    assert is_idle(here)


# --- lost connections ----------------------------------------------------------------------------


def test_what_was_asked_of_a_lost_peer_ends_and_the_rest_goes_on():
    here = make_traffic()
    frames_of(here, ask(b"sent"), ask(b"other", to=STRANGER))
    here.ask(Machine.REPLICA, ask(b"waits"))
    into = Incoming({}, {})
    here.lost(PEER, into)
    assert into.answers == {
        Machine.REPLICA: [Unanswered(b"waits", PEER, True), Unanswered(b"sent", PEER, False)]
    }
    assert here.flush(at(0)) == []
    assert ends(here, 100) == [Unanswered(b"other", STRANGER)]
    assert is_idle(here)


def test_what_has_expired_unsent_does_not_end_again_with_the_connection():
    here = make_traffic()
    here.ask(Machine.REPLICA, ask())
    assert ends(here, 100) == [Unanswered(b"x", PEER)]
    into = Incoming({}, {})
    here.lost(PEER, into)
    assert into.answers == {}


# --- the limits of frames ------------------------------------------------------------------------


@pytest.mark.parametrize("lane", Lane)
def test_frames_are_cut_to_the_limits_of_their_lane(lane):
    limits = LANE_LIMITS[lane]
    choose = random.Random(lane)
    sizes = [choose.randrange(limits.body_size_max // 3) for _ in range(20)]
    sizes.append(limits.body_size_max - 16)  # all that fits
    here, there = make_traffic(flights=boundless()), make_traffic()
    asks = [ask(bytes(size), lane=lane, token=n) for n, size in enumerate(sizes)]
    frames = [frame for _, frame in frames_of(here, *asks)]
    decoder = FrameDecoder(CLUSTER)
    decoder.admit(lane)
    for frame in frames:
        decoder.feed(encode_frame(frame))
        assert decoder.next_frame() == frame
    arrived = [len(asked.payload) for frame in frames for asked in requests(there, at(0), frame)]
    assert arrived == sizes
    assert len(frames) <= 2 * sum(sizes) // limits.body_size_max + 2


def test_a_frame_has_as_many_operations_as_its_lane_allows():
    count = LANE_LIMITS[Lane.CONTROL].operation_count_max
    here = make_traffic(flights=boundless())
    frames = frames_of(here, *[ask(b"", lane=Lane.CONTROL)] * (count + 1))
    assert [len(frame.operations) for _, frame in frames] == [count, 1]


def test_a_question_that_no_frame_can_carry_ends_as_never_sent():
    here = make_traffic()
    too_large = ask(bytes(LANE_LIMITS[Lane.DATA].body_size_max), token="t")
    frames = frames_of(here, ask(b"1"), too_large, ask(b"2"), now=at(3))
    assert [operation.payload[8:] for operation in only(frames).operations] == [b"1", b"2"]
    assert here.next_deadline() == 3
    assert ends(here, 3) == [Unanswered("t", PEER, True)]
    assert ends(here, 100) == [Unanswered(b"1", PEER), Unanswered(b"2", PEER)]
    assert is_idle(here)


# --- how much is on its way ----------------------------------------------------------------------

TWO = FlightSettings(
    control=FlightLimits(2, 1000), data=FlightLimits(2, 1000), bulk=FlightLimits(2, 1000)
)


def test_what_is_too_much_for_a_peer_is_not_sent_and_its_asker_hears_so_at_once():
    here = make_traffic(flights=Flights(TWO))
    asks = [ask(b"%d" % n) for n in range(4)] + [ask(b"other", to=STRANGER)]
    to_peer, to_other = frames_of(here, *asks, now=at(3))
    assert [operation.payload[8:] for operation in to_peer.frame.operations] == [b"0", b"1"]
    assert to_other.to == STRANGER
    assert here.next_deadline() == 3
    assert ends(here, 3) == [Unanswered(b"2", PEER, True), Unanswered(b"3", PEER, True)]
    assert len(ends(here, 100)) == 3
    assert is_idle(here)


def test_a_full_lane_stops_no_other():
    here = make_traffic(flights=Flights(TWO))
    bulk = [ask(b"b%d" % n, lane=Lane.BULK) for n in range(10)]
    frames = frames_of(here, *bulk, ask(b"d"), ask(b"c", lane=Lane.CONTROL))
    counts = {frame.lane: len(frame.operations) for _, frame in frames}
    assert counts == {Lane.BULK: 2, Lane.DATA: 1, Lane.CONTROL: 1}


@pytest.mark.parametrize("how", ["answered", "expired", "lost", "lost before it was sent"])
def test_whatever_has_an_end_makes_room(how):
    here, there = make_traffic(flights=Flights(TWO)), make_traffic()
    into = Incoming({}, {})
    for _ in range(5):
        if how == "lost before it was sent":
            for n in range(3):
                here.ask(Machine.REPLICA, ask(b"%d" % n))
            here.lost(PEER, into)
            assert here.flush(at(0)) == []
            continue
        [(_, frame)] = frames_of(here, ask(b"1"), ask(b"2"), ask(b"3"))
        assert len(ends(here, 0)) == 1
        assert len(frame.operations) == 2
        if how == "lost":
            here.lost(PEER, into)
        elif how == "expired":
            assert len(ends(here, 100)) == 2
        else:
            for asked in requests(there, at(0), frame):
                there.reply(Reply(asked.reply_to, OperationStatus.DONE))
            assert len(answers(here, only(there.flush(at(0))))) == 2
    assert is_idle(here)


def test_what_was_not_sent_says_so_also_when_its_connection_is_lost_meanwhile():
    here = make_traffic(flights=Flights(TWO))
    frames_of(here, ask(b"1"), ask(b"2"), ask(b"3"))
    into = Incoming({}, {})
    here.lost(PEER, into)
    assert into.answers[Machine.REPLICA] == [
        Unanswered(b"1", PEER),
        Unanswered(b"2", PEER),
        Unanswered(b"3", PEER, True),
    ]


def test_an_answer_that_no_frame_can_carry_is_not_sent():
    here, there = make_traffic(), make_traffic()
    [asked] = requests(there, at(0), only(frames_of(here, ask())))
    there.reply(Reply(asked.reply_to, OperationStatus.DONE, bytes(16 << 20)))
    assert there.flush(at(0)) == []
    assert is_idle(there)


# --- any network ---------------------------------------------------------------------------------


@dataclass
class Node:
    traffic: Traffic
    skew_ms: int
    held: list[Asked] = field(default_factory=list)  # to be answered some time, or never

    def now(self, ms: int) -> Now:
        return Now(ms, WALL_MS + ms + self.skew_ms)


class Storm:
    """Three nodes that ask each other at random over a network that loses, doubles, delays and
    sends to the wrong node."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        skews = {name: self.choose.randrange(-500, 500) for name in (b"a", b"b", b"c")}
        self.nodes = {
            name: Node(
                Traffic(
                    CLUSTER,
                    1,
                    MACHINES,
                    lambda peer, me=name: skews[peer] - skews[me],  # type: ignore[misc]
                    self.choose.getrandbits(62),
                ),
                skew,
            )
            for name, skew in skews.items()
        }
        self.wire: list[tuple[MemberId, MemberId, Frame]] = []
        self.asked: dict[int, tuple[MemberId, MemberId]] = {}  # token: who, whom
        self.ended: dict[int, Answered | Unanswered] = {}
        self.ms = 0

    def step(self) -> None:
        self.ms += self.choose.randrange(20)
        name = self.choose.choice(sorted(self.nodes))
        node = self.nodes[name]
        into = Incoming({}, {})
        self._deliver(name, node, into)
        if self.choose.random() < 0.05:
            node.traffic.lost(self.choose.choice([n for n in self.nodes if n != name]), into)
        node.traffic.expire(node.now(self.ms), into)
        self._take(name, node, into)
        for _ in range(self.choose.randrange(4)):
            self._ask(name, node)
        while node.held and self.choose.random() < 0.6:
            asked = node.held.pop(self.choose.randrange(len(node.held)))
            node.traffic.reply(Reply(asked.reply_to, OperationStatus.DONE, asked.payload))
        for to, frame in node.traffic.flush(node.now(self.ms)):
            for _ in range(self.choose.choice([0, 1, 1, 1, 2])):
                self.wire.append((name, to, frame))

    def _ask(self, name: MemberId, node: Node) -> None:
        token = len(self.asked)
        to = self.choose.choice([n for n in self.nodes if n != name])
        deadline_ms = self.ms + self.choose.randrange(1, 300)
        self.asked[token] = name, to
        code = self.choose.choice([READ, HINT])
        payload = b"%d" % token
        node.traffic.ask(code >> 8, Ask(to, Lane.DATA, code, payload, deadline_ms, token))

    def _deliver(self, name: MemberId, node: Node, into: Incoming) -> None:
        """Some of what is under way to this node, and a little of what is not, by mistake."""
        self.choose.shuffle(self.wire)
        under_way, self.wire = self.wire, []
        for sender, to, frame in under_way:
            if to == name and self.choose.random() < 0.7:
                node.traffic.receive(node.now(self.ms), sender, frame, into)
            elif sender != name and self.choose.random() < 0.05:
                node.traffic.receive(node.now(self.ms), to, frame, into)
            else:
                self.wire.append((sender, to, frame))

    def _take(self, name: MemberId, node: Node, into: Incoming) -> None:
        for asked in [one for given in into.requests.values() for one in given]:
            if asked.deadline_ms > self.ms:
                node.held.append(asked)
        for end in [one for given in into.answers.values() for one in given]:
            asker, whom = self.asked[end.token]
            assert end.token not in self.ended
            assert (name, end.peer) == (asker, whom)
            if isinstance(end, Answered):
                assert end.payload == b"%d" % end.token
            self.ended[end.token] = end

    def finish(self) -> None:
        for name, node in self.nodes.items():
            while (deadline_ms := node.traffic.next_deadline()) is not None:
                self.ms = max(self.ms, deadline_ms)
                into = Incoming({}, {})
                node.traffic.expire(node.now(self.ms), into)
                assert into.answers
                self._take(name, node, into)
            node.traffic.flush(node.now(self.ms))
            assert is_idle(node.traffic)


@pytest.mark.parametrize("seed", range(20))
def test_every_question_has_exactly_one_end(seed):
    storm = Storm(seed)
    for _ in range(400):
        storm.step()
    storm.finish()
    assert storm.ended.keys() == storm.asked.keys()
    kinds = [type(end) for end in storm.ended.values()]
    assert kinds.count(Answered) > 20
    assert kinds.count(Unanswered) > 20
