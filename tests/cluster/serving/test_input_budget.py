"""What clients have begun to send takes a bounded amount of memory; who ends it gets through."""

from __future__ import annotations

from collections.abc import Callable

from lsmkv_cluster.serving.input_budget import LARGE_SIZE, STALLED_S, InputBudget

SIZE_MAX = 10 * LARGE_SIZE
LARGE = 4 * LARGE_SIZE


class Client:
    def __init__(self) -> None:
        self.reconsidered = 0
        self.why = ""

    def reconsider_reading(self) -> None:
        self.reconsidered += 1

    def give_up(self, why: str) -> None:
        self.why = why


class Lab:
    def __init__(self, size: int) -> None:
        self.later: list[Callable[[], None]] = []
        self.budget = InputBudget(SIZE_MAX, self.later.append)
        self.clients = [Client() for _ in range(4)]
        for client in self.clients:
            self.budget.holds(client, size)

    def readable(self) -> list[bool]:
        return [self.budget.may_read(client) for client in self.clients]


def test_small_commands_never_count() -> None:
    lab = Lab(LARGE)
    small = Client()
    assert not lab.budget.holds(small, LARGE_SIZE)
    assert lab.budget.is_tight
    assert lab.budget.may_read(small)


def test_all_are_read_from_while_there_is_room() -> None:
    lab = Lab(2 * LARGE_SIZE)
    assert lab.budget.total == 8 * LARGE_SIZE
    assert lab.readable() == [True] * 4


def test_when_there_is_none_they_have_turns_until_few_are_left() -> None:
    lab = Lab(LARGE)
    assert lab.readable() == [True, True, False, False]
    lab.budget.holds(lab.clients[0], 0)  # it has come in whole
    assert lab.readable() == [True, True, True, False]
    [reconsider] = lab.later
    reconsider()
    assert [client.reconsidered for client in lab.clients] == [0, 1, 1, 0]
    lab.budget.holds(lab.clients[1], 10)
    assert not lab.budget.is_tight
    assert lab.readable() == [True] * 4


def test_who_sends_nothing_in_its_turn_makes_room() -> None:
    lab = Lab(LARGE)
    lab.budget.look(0.0)
    lab.budget.holds(lab.clients[1], LARGE + 1)
    lab.budget.look(STALLED_S + 0.1)
    assert [bool(client.why) for client in lab.clients] == [True, False, False, False]
    assert lab.later
    lab.budget.look(STALLED_S + 0.2)  # the turn of the third has just begun
    assert not lab.clients[2].why
    lab.budget.look(2 * STALLED_S + 0.3)
    assert lab.clients[2].why
    assert lab.clients[1].why
    assert not lab.budget.is_tight
    assert not lab.clients[3].why


def test_who_sends_nothing_may_take_its_time_if_nobody_waits() -> None:
    lab = Lab(2 * LARGE_SIZE)
    lab.budget.look(0.0)
    lab.budget.look(1000.0)
    assert not any(client.why for client in lab.clients)
