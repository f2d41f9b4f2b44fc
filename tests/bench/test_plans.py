"""Plans: engines alternate, rounds and cases are those asked for, done runs are left out."""

from __future__ import annotations

import json

import pytest

from lsmkv_bench import plans, workloads
from lsmkv_bench.plans import CONTROL, PlanError, Request, Step, make_plan, make_scale_plan
from lsmkv_bench.results import Case, Outcome, Run

ENGINES = ("lsmkv", "rocksdict", "lmdb")
SMALL = Case(100, "decimal", 100)


def run_of(step: Step, check: str = "1", seconds: float = 1.0) -> Run:
    outcomes = [
        Outcome(name, 10, seconds, 0.0, user_bytes=1000, check=check) for name in step.workloads
    ]
    return Run(step.engine, step.case, step.round, outcomes)


def test_engines_take_turns_in_every_round() -> None:
    plan = make_plan(Request(entries=100, rounds=3), ENGINES)
    assert [(step.round, step.engine) for step in plans.steps(plan)] == [
        (number, engine) for number in (1, 2, 3) for engine in ENGINES
    ]


def test_the_default_is_the_standard_case_in_five_rounds() -> None:
    [case] = make_plan(Request(), ENGINES).cases
    assert case.case == Case(1_000_000, "decimal", 100)
    assert case.rounds == 5
    assert set(case.workloads) <= set(workloads.WORKLOADS)


def test_slow_engines_take_part_in_the_first_rounds() -> None:
    both = ("lsmkv", "sqlite3")
    turns = [(step.round, step.engine) for step in plans.steps(make_plan(Request(), both))]
    assert turns == [
        (1, "lsmkv"),
        (1, "sqlite3"),
        (2, "lsmkv"),
        (2, "sqlite3"),
        (3, "lsmkv"),
        (4, "lsmkv"),
        (5, "lsmkv"),
    ]
    assert len(plans.steps(make_plan(Request(rounds=3), both))) == 6


def test_the_full_set_varies_sizes_and_keys_within_the_cap() -> None:
    plan = make_plan(Request(set="full"), ENGINES)
    assert plan.cases[0].workloads == tuple(workloads.WORKLOADS)
    varied = {(case.case.key_kind, case.case.value_size): case.case.entries for case in plan.cases}
    assert len(varied) == len(plan.cases) == 7
    assert varied["decimal", 1_000_000] == 255
    assert varied["realistic", 100] == 1_000_000


def test_workloads_are_chosen_by_name_or_beginning_in_their_own_order() -> None:
    [case] = make_plan(
        Request(workloads=("ycsb-a", "readseq", "fillsync"), entries=9), ENGINES
    ).cases
    assert case.workloads == (
        "fillsync1",
        "fillsync8",
        "readseq",
        "ycsb-a-uniform",
        "ycsb-a-zipfian",
    )
    [case] = make_plan(Request(workloads=("readrandom",)), ENGINES).cases
    assert case.workloads == ("readrandom",)
    with pytest.raises(PlanError, match="no such workload: readall"):
        make_plan(Request(workloads=("readall",)), ENGINES)


def test_only_installed_engines_are_planned() -> None:
    [case] = make_plan(Request(engines=("lsmkv", "plyvel"), entries=9), ENGINES).cases
    assert case.engines == ("lsmkv",)
    with pytest.raises(PlanError):
        make_plan(Request(engines=("plyvel",)), ENGINES)


def test_what_is_done_is_not_done_again() -> None:
    plan = make_plan(Request(entries=100, rounds=2), ENGINES)
    steps = plans.steps(plan)
    done = [run_of(step) for step in (steps[0], steps[4])]
    assert plans.left_to_do(steps, done) == [*steps[1:4], steps[5]]
    other = Run("lsmkv", Case(101, "decimal", 100), 1, [])
    assert plans.left_to_do(steps, [other]) == steps


def test_a_plan_compares_equal_after_json() -> None:
    values = make_plan(Request(set="full"), ENGINES).as_json()
    assert json.loads(json.dumps(values)) == values
    assert values != make_plan(Request(set="full", rounds=4), ENGINES).as_json()


def test_runs_that_disagree_are_named() -> None:
    steps = plans.steps(make_plan(Request(entries=9, workloads=("readseq",), rounds=1), ENGINES))
    same = [run_of(step) for step in steps]
    assert plans.disagreements(same) == []
    assert plans.disagreements([*same, run_of(steps[0], check="")]) == []
    [line] = plans.disagreements([*same[:2], run_of(steps[2], check="2")])
    assert line.startswith(
        "readseq (9-decimal-100): 1 by lsmkv round 1, rocksdict round 1; 2 by lmdb"
    )


def test_scale_has_fewer_rounds_for_more_entries_and_a_control_beside_lsmkv() -> None:
    plan = make_scale_plan((1_000_000, 10_000_000, 50_000_000), ENGINES, (), None)
    assert [case.rounds for case in plan.cases] == [5, 3, 1]
    assert plan.cases[0].engines == ("lsmkv", CONTROL, "rocksdict", "lmdb")
    control = next(step for step in plans.steps(plan) if step.engine == CONTROL)
    assert control.workloads == ("sustainedfill",)
    without = make_scale_plan((10,), ENGINES, ("readseq",), None)
    assert CONTROL not in without.cases[0].engines


def test_the_control_takes_the_pace_of_the_same_round() -> None:
    step = Step(CONTROL, SMALL, 2, ("sustainedfill",))
    ours = [
        run_of(Step("lsmkv", SMALL, number, ("readseq", "sustainedfill")), seconds=number)
        for number in (1, 2)
    ]
    assert plans.pace_of(step, ours) == 500
    assert plans.pace_of(step, ours[:1]) == 0


def test_the_time_left_is_estimated_engine_by_engine() -> None:
    left = [Step(engine, SMALL, 2, ()) for engine in ENGINES]
    assert plans.remaining_seconds(left, {}) is None
    durations = {("lsmkv", SMALL): [1.0, 3.0], ("rocksdict", SMALL): [11.0]}
    assert plans.remaining_seconds(left, durations) == 2 + 11 + 5
