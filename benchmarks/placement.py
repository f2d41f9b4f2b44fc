"""Balance, moved data and speed of the cluster's planner, from 3 to 100 nodes.

    python -m benchmarks.placement [--partitions N] [--largest N] [--output FILE.png]

Every size is planned from nothing and then changed: a node joins, one leaves, one gets twice its
weight, five join at once. Weights are mixed (50, 100, 200), three copies of each partition, in four
layouts: one rack; five racks; two hosts' worth of nodes on each host; two data centres.

    off by      how far the node farthest from its fair share is from it, in partitions: owners, and
                first owners; below 1 is the best that whole partitions allow
    ideal       the fewest copies that any table makes which is fair and keeps the rules: what
                members lack or can no longer keep, or more where hosts and racks force it; then an
                independent check of the plan (tests/support/reference_placement.py) proves it, and
                a star says so
    moved       copies that the plan makes, and its ratio to the ideal

Exit status 1 when a node is off by one partition or more, or a change moves over 1.05 of the ideal.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from pathlib import Path

from tests.support.reference_placement import is_fewest

from lsmkv_cluster.placement.fair import fair_shares
from lsmkv_cluster.placement.members import MEMBER_ID_SIZE, Member
from lsmkv_cluster.placement.owners import Owners, no_owners
from lsmkv_cluster.placement.planner import plan, sites_of

SIZES = (3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 70, 100)
WEIGHTS = (100, 200, 100, 50, 100)
RATIO_MAX = 1.05
COPIES = 3


@dataclass(frozen=True)
class Layout:
    """Where the n-th node stands, and the copies in each data centre."""

    name: str
    place: Callable[[int], tuple[str, str, str]]  # dc, rack, host
    replicas: dict[str, int]

    def member(self, number: int) -> Member:
        dc, rack, host = self.place(number)
        name = f"n{number}"
        id = hashlib.blake2b(name.encode(), digest_size=MEMBER_ID_SIZE).digest()
        return Member(id, name, dc, rack, host, WEIGHTS[number % len(WEIGHTS)])


LAYOUTS = (
    Layout("one rack", lambda n: ("a", "r0", f"h{n}"), {"a": COPIES}),
    Layout("five racks", lambda n: ("a", f"r{n * 7 // 5 % 5}", f"h{n}"), {"a": COPIES}),
    Layout("shared hosts", lambda n: ("a", "r0", f"h{n // 2}"), {"a": COPIES}),
    Layout(
        "two centres",
        lambda n: ("ab"[n % 2], f"{'ab'[n % 2]}{n // 2 % 3}", f"h{n}"),
        {"a": COPIES, "b": COPIES},
    ),
)


@dataclass(frozen=True)
class Result:
    layout: str
    nodes: int
    change: str
    off_owners: float
    off_first: float
    ideal: int
    is_proved: bool  # the ideal is above the count
    moved: int
    most_in_one: int  # owners that change in one partition, at most
    seconds: float
    relaxed: int

    @property
    def ratio(self) -> float:
        return self.moved / self.ideal if self.ideal else float(self.moved > 0)

    @property
    def is_good(self) -> bool:
        return max(self.off_owners, self.off_first) < 1 and self.ratio <= RATIO_MAX


def measure(
    layout: Layout, change: str, before: Owners, members: Sequence[Member]
) -> tuple[Owners, Result]:
    started = time.perf_counter()
    made = plan(before, members, layout.replicas)
    seconds = time.perf_counter() - started
    off_owners = off_first = 0.0
    ideal = 0
    is_proved = False
    held = Counter(id for row in made.owners for id in row)
    for site in sites_of(members, layout.replicas):
        if not site.members:
            continue
        ids = {member.id for member in site.members}
        first = Counter(next((id for id in row if id in ids), None) for row in made.owners)
        had = Counter(id for row in before for id in row)
        fair = fair_shares(site, len(before))
        lack = kept = 0
        for member, copies, firsts in zip(site.members, fair.copies, fair.first, strict=True):
            off_owners = max(off_owners, abs(float(held[member.id] - copies)))
            off_first = max(off_first, abs(float(first[member.id] - firsts)))
            lack += max(0, floor(copies) - had[member.id])
            kept += min(ceil(copies), had[member.id])
        least = max(lack, site.copies * len(before) - kept)
        gains = sum(id in ids for move in made.moves for id in move.gains)
        if gains > least and is_fewest(site, before, made.owners):
            least, is_proved = gains, True
        ideal += least
    most = max((len(move.gains) for move in made.moves), default=0)
    return made.owners, Result(
        layout.name,
        len(members),
        change,
        off_owners,
        off_first,
        ideal,
        is_proved,
        made.copies_made,
        most,
        seconds,
        len(made.relaxed),
    )


def measure_size(layout: Layout, nodes: int, partitions: int) -> list[Result]:
    members = [layout.member(number) for number in range(nodes)]
    owners, first = measure(layout, "plan", no_owners(partitions), members)
    middle = nodes // 2
    heavier = replace(members[middle], weight=2 * members[middle].weight)
    changed = {
        "join": [*members, layout.member(nodes)],
        "leave": members[:middle] + members[middle + 1 :],
        "weight": [*members[:middle], heavier, *members[middle + 1 :]],
        "five join": [*members, *(layout.member(nodes + n) for n in range(5))],
    }
    return [first] + [measure(layout, name, owners, after)[1] for name, after in changed.items()]


HEADER = (
    "layout        nodes  change     off by: owners  first    ideal   moved   ratio"
    "  in one   seconds  relaxed"
)


def row(result: Result) -> str:
    return (
        f"{result.layout:<13} {result.nodes:5}  {result.change:<10} {result.off_owners:14.2f}"
        f"  {result.off_first:5.2f} {result.ideal:8}{'*' if result.is_proved else ' '}"
        f"{result.moved:7}  {result.ratio:6.3f}"
        f" {result.most_in_one:7} {result.seconds:9.2f} {result.relaxed:8}"
        f"{'' if result.is_good else '   <- out of bounds'}"
    )


def draw(results: Sequence[Result], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    for layout in LAYOUTS:
        of_layout = [result for result in results if result.layout == layout.name]
        nodes = sorted({result.nodes for result in of_layout if result.change == "plan"})
        worst = [
            max(max(r.off_owners, r.off_first) for r in of_layout if r.nodes == count)
            for count in nodes
        ]
        left.plot(nodes, worst, marker="o", label=layout.name)
        planned = [r.seconds for r in of_layout if r.change == "plan"]
        right.plot(nodes, planned, marker="o", label=layout.name)
        for change, marker in (("join", "^"), ("leave", "v"), ("weight", "s"), ("five join", "D")):
            some = [result for result in of_layout if result.change == change]
            middle.scatter([r.ideal for r in some], [r.moved for r in some], marker=marker, s=18)
    left.axhline(1, color="black", linestyle=":")
    left.set(title="farthest from fair, in partitions", xlabel="nodes", ylim=(0, 1.1))
    largest = max(result.ideal for result in results if result.change != "plan")
    middle.plot([1, largest], [1, largest], color="black", linestyle=":", label="ideal")
    middle.set(title="copies moved by a change", xlabel="ideal", ylabel="moved")
    middle.set(xscale="log", yscale="log")
    right.set(title="seconds of a plan from nothing", xlabel="nodes", ylim=(0, None))
    for axes in (left, middle, right):
        axes.legend()
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--partitions", type=int, default=1024)
    parser.add_argument("--largest", type=int, default=100, help="nodes, at most")
    parser.add_argument("--output", type=Path, help="draw the results into this PNG")
    options = parser.parse_args()
    results: list[Result] = []
    print(f"{options.partitions} partitions, {COPIES} copies, weights {WEIGHTS}")
    print(HEADER)
    for layout in LAYOUTS:
        for nodes in SIZES:
            if nodes <= options.largest:
                for result in measure_size(layout, nodes, options.partitions):
                    results.append(result)
                    print(row(result), flush=True)
    if options.output:
        draw(results, options.output)
    bad = [result for result in results if not result.is_good]
    proved = sum(result.is_proved for result in results)
    print(f"{len(results)} plans, {len(bad)} out of bounds, {proved} forced above the count (*)")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
