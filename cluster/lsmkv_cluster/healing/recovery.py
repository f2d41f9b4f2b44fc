"""Which copies here are whole, and what brings the others back.

A copy that may lack something answers no reader ("nothing here" would be a lie); it takes writes,
and anti-entropy fills it first. What it lacks decides when it is whole again:

    lack       how                                      whole after an exchange with
    UNSYNCED   an end that was not clean: it may have   every co-owner that can be reached, one at
               lost unsynced writes, or this be an      least: what strict writes promised is here
               old copy of which nobody has heard       or with one of them
    LOST       wiped, an old disk, a damaged log,       every co-owner, also those that are away
               given up as unreadable
    coming     this node is to be an owner              as many old owners as it takes to meet all
                                                        that was written (transition_rules.py)

An exchange counts whether or not the other side is whole: what it has is here then. So stores that
have all been wiped fill each other, and none waits for ever. A partition without co-owners is whole
at once, with an alarm.

Everything is marked on stable storage before it can be forgotten: at the start, and an unreadable
partition before it is dropped; and the mark goes after what was learned is synced (anti-entropy
merges synced) and before the first reader is answered. A kill before the marks are written forgets
nothing: the next start is no clean one either, peers find an old or new disk again, and the driver
remembers repairs.

When the topology changes, coming copies begin empty: `prepare` drops what there may be, marked,
before the document is adopted; `follow` after it drops what is not kept here any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Alarm, Effect, Now, Stored, StoreOrder
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Discard,
    Done,
    Lack,
    MakeRoom,
    Release,
    Suspect,
)
from lsmkv_cluster.versions.actor import ActorSource

__all__ = ["Lack", "Recovery"]

LOOK_INTERVAL_MS = 500
DISCARD_AGAIN_MS = 1_000  # when a partition cannot be read again; doubled each time
DISCARD_AGAIN_MAX_MS = 600_000


class _Suspected(NamedTuple):
    partitions: tuple[int, ...]
    lack: Lack


class _Discarded(NamedTuple):
    partition: int
    space: Space


class _Prepared(NamedTuple):
    partitions: tuple[int, ...]


class _Released(NamedTuple):
    pass


class _Completed(NamedTuple):
    partition: int
    episode: int


class _Filling:
    """A copy that is not whole. `episode` tells one from the next of the same partition."""

    __slots__ = ("discard_ms", "episode", "is_completing", "is_discarded", "lack", "met")

    def __init__(self, lack: Lack, episode: int, is_discarded: bool = True) -> None:
        self.lack = lack
        self.episode = episode
        self.met: set[MemberId] = set()
        self.is_discarded = is_discarded  # and may be filled
        self.is_completing = False
        self.discard_ms: int | None = None  # when it is to be dropped, if not yet


class Recovery:
    """`co_owners` maps each partition that this node keeps to the others that are read;
    `is_filled(partition, met)` tells of a coming copy whether it is, None of any other."""

    def __init__(
        self,
        co_owners: dict[int, frozenset[MemberId]],
        is_reachable: Callable[[MemberId], bool],
        is_filled: Callable[[int, Collection[MemberId]], bool | None],
        actors: ActorSource,
    ) -> None:
        self._co_owners = co_owners
        self._is_reachable = is_reachable
        self._is_filled = is_filled
        self._actors = actors
        self._filling: dict[int, _Filling] = {}
        self._episodes = 0
        self._look_ms: int | None = None
        self._begun: list[int] = []
        self._whole: list[int] = []
        self._unmarked: dict[int, Lack] = {}
        self._must_mark = False  # them again, as the store did not
        self._discards: dict[int, int] = {}  # in a row, of each partition
        self._preparing: dict[int, bool | None] = {}  # empty; None: that is to be ordered
        self._must_release = False

    # --- what others ask

    def is_ready(self, partition: int) -> bool:
        """What is being emptied for another document is not, whatever it was before."""
        return (
            partition in self._co_owners
            and partition not in self._filling
            and partition not in self._preparing
        )

    @property
    def is_filling(self) -> bool:
        return bool(self._filling)

    def wanting(self) -> list[int]:
        """The partitions that are to be compared with their co-owners first."""
        return [p for p, filling in self._filling.items() if filling.is_discarded]

    def take_begun(self) -> list[int]:
        """The partitions that have become wanting since the last time: what was exchanged before
        does not count for them."""
        begun, self._begun = self._begun, []
        return begun

    def take_whole(self) -> list[int]:
        """The partitions that have become whole since the last time."""
        whole, self._whole = self._whole, []
        return whole

    # --- what happened

    def start(
        self,
        now: Now,
        lack: Lack | None,
        marked: Mapping[int, Lack],
        damaged: Iterable[int],
        damaged_hints: Iterable[int],
    ) -> list[Effect]:
        """`lack` of all copies; `marked` were so before this start."""
        for partition in self._co_owners:
            known = marked.get(partition)
            worst = max((each for each in (lack, known) if each is not None), default=None)
            if worst is not None:
                self._fill(partition, worst)
                if worst is not known:
                    self._unmarked[partition] = worst
        effects = self._write_marks()
        for partition in sorted(damaged):
            effects += self.unreadable(now, partition)
        for partition in sorted(damaged_hints):
            effects += self.unreadable_hints(partition)
        return effects

    def prepare(self, partitions: Collection[int]) -> list[Effect]:
        """A document that makes these copies come is to be adopted; `is_prepared` tells when it may
        be. Called again for a newer one in its place."""
        self._preparing = {p: self._preparing.get(p) for p in partitions}
        return self._prepare_rest()

    @property
    def is_prepared(self) -> bool:
        return all(self._preparing.values())

    def _prepare_rest(self) -> list[Effect]:
        waiting = tuple(p for p, is_empty in self._preparing.items() if is_empty is None)
        self._preparing.update(dict.fromkeys(waiting, False))
        return [StoreOrder(_Prepared(waiting), MakeRoom(waiting))] if waiting else []

    def follow(self, co_owners: dict[int, frozenset[MemberId]]) -> list[Effect]:
        """The document was adopted: what was prepared is coming."""
        self._co_owners = co_owners
        for partition in [p for p in self._filling if p not in co_owners]:
            del self._filling[partition]
            self._discards.pop(partition, None)
        for known in (self._unmarked, self._preparing):
            for partition in [p for p in known if p not in co_owners]:
                del known[partition]
        coming, self._preparing = list(self._preparing), {}
        for partition in coming:
            self._fill(partition, Lack.LOST)
            self._unmarked.pop(partition, None)
        self._look_ms = 0
        return self.release()

    def release(self) -> list[Effect]:
        """Drop what is not kept here, or what a kill left of it."""
        self._must_release = False
        return [StoreOrder(_Released(), Release(frozenset({*self._co_owners, *self._preparing})))]

    def lost_everything(self) -> list[Effect]:
        """The disk turned out to be an old copy."""
        for partition in self._co_owners:
            self._fill(partition, Lack.LOST)
        self._unmarked = dict.fromkeys(self._filling, Lack.LOST)
        return self._write_marks()

    def _write_marks(self) -> list[Effect]:
        effects: list[Effect] = []
        for lack in Lack:
            partitions = tuple(p for p, unmarked in self._unmarked.items() if unmarked is lack)
            if partitions:
                token = _Suspected(partitions, lack)
                effects.append(StoreOrder(token, Suspect(partitions, lack)))
        return effects

    def unreadable(self, now: Now, partition: int) -> list[Effect]:
        """What is stored of a partition cannot be read: give it up and have it filled again. At
        once, but later each time if that does not help."""
        known = self._filling.get(partition)
        if partition not in self._co_owners or (known is not None and not known.is_discarded):
            return []
        self._fill(partition, Lack.LOST, is_discarded=False)
        if partition in self._unmarked:
            self._unmarked[partition] = Lack.LOST
        self._actors.distrust_epochs()
        count = self._discards.get(partition, 0)
        self._discards[partition] = count + 1
        text = f"partition {partition} cannot be read: it is filled from its other owners"
        effects: list[Effect] = [Alarm(text)]
        if count == 0:
            effects.append(_discard(partition))
        else:
            delay_ms = min(DISCARD_AGAIN_MS << min(count, 16), DISCARD_AGAIN_MAX_MS)
            self._filling[partition].discard_ms = now.ms + delay_ms
        return effects

    def unreadable_hints(self, partition: int) -> list[Effect]:
        token = _Discarded(partition, Space.HINT)
        return [
            Alarm(f"hints of partition {partition} cannot be read: they are given up"),
            StoreOrder(token, Discard(partition, Space.HINT)),
        ]

    def met(self, now: Now, partition: int, peer: MemberId) -> list[Effect]:
        """An exchange with a co-owner has ended: all that it has is here, and synced."""
        filling = self._filling.get(partition)
        if filling is None or not filling.is_discarded:
            return []
        filling.met.add(peer)
        return self._complete(partition, filling)

    def _fill(self, partition: int, lack: Lack, is_discarded: bool = True) -> None:
        self._episodes += 1
        self._filling[partition] = _Filling(lack, self._episodes, is_discarded)
        if is_discarded:
            self._begun.append(partition)
        self._look_ms = 0

    def _complete(self, partition: int, filling: _Filling) -> list[Effect]:
        if filling.is_completing or not self._is_whole(partition, filling):
            return []
        if partition in self._preparing:  # it is being emptied for another document
            return []
        filling.is_completing = True
        token = _Completed(partition, filling.episode)
        effects: list[Effect] = [StoreOrder(token, Complete(partition))]
        if not self._co_owners[partition]:
            effects.append(Alarm(f"partition {partition} has no other owner to be filled from"))
        return effects

    def _is_whole(self, partition: int, filling: _Filling) -> bool:
        is_filled = self._is_filled(partition, filling.met)
        if is_filled is not None:
            return is_filled
        others = self._co_owners[partition]
        if filling.lack is Lack.LOST:
            return filling.met >= others
        needed = {peer for peer in others if self._is_reachable(peer)}
        return filling.met >= needed and (bool(filling.met) or not others)

    # --- the machine

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        effects: list[Effect] = []
        for token, result in results:
            is_done = isinstance(result, Done)
            if isinstance(token, _Discarded):
                effects += self._discarded(token, is_done)
            elif isinstance(token, _Completed):
                self._completed(token, is_done)
            elif isinstance(token, _Suspected):
                effects += self._marked(now, token, is_done)
            elif isinstance(token, _Prepared):
                effects += self._were_prepared(now, token.partitions, is_done)
            elif not is_done:
                self._must_release = True
                self._look_ms = now.ms + LOOK_INTERVAL_MS
        return effects

    def _were_prepared(self, now: Now, partitions: tuple[int, ...], is_done: bool) -> list[Effect]:
        for partition in self._preparing.keys() & set(partitions):
            self._preparing[partition] = True if is_done else None
        if is_done:
            return []
        self._look_ms = now.ms + LOOK_INTERVAL_MS
        return [Alarm(f"room for {len(partitions)} partitions that come could not be made")]

    def _marked(self, now: Now, token: _Suspected, is_done: bool) -> list[Effect]:
        if not is_done:
            self._must_mark = True
            self._look_ms = now.ms + LOOK_INTERVAL_MS
            return [Alarm("what is incomplete could not be marked")]
        for partition in token.partitions:
            if self._unmarked.get(partition) is token.lack:
                del self._unmarked[partition]
        return []

    def _discarded(self, token: _Discarded, is_done: bool) -> list[Effect]:
        """What could not be dropped is filled as it is: who still cannot read it says so again."""
        filling = self._filling.get(token.partition)
        if token.space is Space.DATA and filling is not None:
            filling.is_discarded = True
            self._begun.append(token.partition)
            self._look_ms = 0
        if is_done:
            return []
        return [Alarm(f"partition {token.partition} cannot be read, nor given up")]

    def _completed(self, token: _Completed, is_done: bool) -> None:
        filling = self._filling.get(token.partition)
        if filling is None or filling.episode != token.episode:
            return
        if is_done:
            del self._filling[token.partition]
            self._whole.append(token.partition)
            self._discards.pop(token.partition, None)
        else:
            filling.is_completing = False

    def tick(self, now: Now) -> list[Effect]:
        """Reachability changes without telling."""
        if self._look_ms is None or now.ms < self._look_ms:
            return []
        is_waiting = self._filling or self._preparing
        self._look_ms = now.ms + LOOK_INTERVAL_MS if is_waiting else None
        effects: list[Effect] = []
        if self._must_mark:
            self._must_mark = False
            effects += self._write_marks()
        effects += self._prepare_rest()
        if self._must_release:
            effects += self.release()
        for partition, filling in self._filling.items():
            if filling.is_discarded:
                effects += self._complete(partition, filling)
            elif filling.discard_ms is not None and now.ms >= filling.discard_ms:
                filling.discard_ms = None
                effects.append(_discard(partition))
        return effects

    def next_deadline(self) -> int | None:
        return self._look_ms

    def asked(self, now: Now, requests: Sequence[object]) -> list[Effect]:
        raise AssertionError("nobody asks a recovery")

    def answered(self, now: Now, answers: Sequence[object]) -> list[Effect]:
        raise AssertionError("a recovery asks nobody")


def _discard(partition: int) -> StoreOrder:
    return StoreOrder(_Discarded(partition, Space.DATA), Discard(partition))
