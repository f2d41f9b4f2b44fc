"""What KV.CLUSTER and KV.EXPLAIN answer, as pages for people. Pure: JSON in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lsmkv_cluster.placement.members import PLAIN_FACE

__all__ = [
    "explain_page",
    "hints_page",
    "keyspaces_page",
    "moves_line",
    "partition_page",
    "plan_page",
    "repair_page",
    "replicas_text",
    "ring_page",
    "size_text",
    "status_page",
    "table",
]

Json = Mapping[str, Any]

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
VALUE_SHOWN = 60  # characters


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as they have to be; those with numbers stand to the right."""
    body = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    is_number = [
        bool(body) and all(_is_number(row[index]) for row in body) for index in range(len(head))
    ]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in (list(head), *body)
    ]


def _is_number(cell: str) -> bool:
    """Also with a unit; an address is none."""
    return cell == "-" or (cell[:1].isdigit() and ":" not in cell)


def size_text(size_bytes: int) -> str:
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size_bytes} B" if unit == 0 else f"{size:.1f} {UNITS[unit]}"


def replicas_text(replicas: Mapping[str, int]) -> str:
    """N, by data centre."""
    parts = [f"{dc} {count}" for dc, count in replicas.items() if count]
    total = sum(replicas.values())
    return f"N = {total}" if len(parts) < 2 else f"N = {total} ({', '.join(parts)})"


# --- the members


def status_page(status: Json, loads: Mapping[str, int], notes: Mapping[str, str]) -> list[str]:
    """`loads`: bytes that a member says it stores, by name; `notes`: what else is known of it."""
    moving = status["moving"]
    names = {member["id"]: member["name"] for member in status["members"]}
    head = (
        f"cluster {status['cluster_id'][:8]}, epoch {status['epoch']}, {status['partitions']} "
        f"partitions, {replicas_text(status['replicas'])}; "
        + (f"{moving} partitions move" if moving else "nothing moves")
        + f"; as {names.get(status['me'], 'a node')} sees it"
    )
    columns = ["state", "name", "dc", "rack", "weight", "owns %", "copies", "load", "address"]
    members = sorted(status["members"], key=lambda each: (each["dc"], each["rack"], each["name"]))
    rows = [_member_row(member, loads) for member in members]
    if notes:
        columns.append("")
        for row, member in zip(rows, members, strict=True):
            row.append(notes.get(member["name"], ""))
    return [head, *table(columns, rows)]


def _member_row(member: Json, loads: Mapping[str, int]) -> list[str]:
    name = member["name"]
    return [
        _state_text(member),
        name,
        member["dc"],
        member["rack"],
        str(member["weight"]),
        f"{100 * member['owns']:.1f}",
        str(member["partitions"]),
        size_text(loads[name]) if name in loads else "-",
        member["addresses"].get(PLAIN_FACE, "-"),
    ]


def _state_text(member: Json) -> str:
    """As others see it, and what it is in the document if that is not the ordinary thing."""
    seen = {"alive": "up", "dead": "down"}.get(member["status"], str(member["status"]))
    state = str(member["state"]).lower()
    return seen if state == "serving" else f"{seen} {state}"


# --- who owns what


def ring_page(ring: Json) -> list[str]:
    partitions = ring["partitions"]
    firsts: dict[str, int] = {member["name"]: 0 for member in ring["members"]}
    copies, coming = dict(firsts), dict(firsts)
    for partition in partitions:
        for index, name in enumerate(partition["owners"]):
            copies[name] += 1
            firsts[name] += index == 0
        for name in set(partition["becoming"]) - set(partition["owners"]):
            coming[name] += 1
    moving = sum(partition["phase"] != "SETTLED" for partition in partitions)
    head = (
        f"epoch {ring['epoch']}, {len(partitions)} partitions, {replicas_text(ring['replicas'])}"
        + (f"; {moving} move" if moving else "")
    )
    rows = [
        [each["name"], each["dc"], each["rack"], each["host"]]
        + [str(count[each["name"]]) for count in (copies, firsts, coming)]
        for each in ring["members"]
    ]
    columns = ["name", "dc", "rack", "host", "copies", "first owner of", "coming"]
    return [head, *table(columns, rows)]


def partition_page(ring: Json) -> list[str]:
    """Of one key or slot."""
    first, last = ring["slots"]
    lines = [
        f"slot {ring['slot']}, partition {ring['partition']} (slots {first} to {last})",
        f"owners {', '.join(ring['owners'])}; {ring['phase'].lower()}",
    ]
    if ring["becoming"]:
        lines.append(f"becoming {', '.join(ring['becoming'])}")
    return lines


# --- changes


def plan_page(plan: Json) -> list[str]:
    lines = [
        plan["text"],
        f"{plan['partitions_moving']} partitions move; {plan['copies']} copies to make, about "
        f"{size_text(plan['bytes'])}",
    ]
    gains: dict[str, int] = {}
    losses: dict[str, int] = {}
    for move in plan["moves"]:
        for names, counts in ((move["gains"], gains), (move["losses"], losses)):
            for name in names:
                counts[name] = counts.get(name, 0) + 1
    members = sorted({*gains, *losses})
    if members:
        rows = [[each, str(gains.get(each, 0)), str(losses.get(each, 0))] for each in members]
        lines += table(["name", "gains", "loses"], rows)
    return lines


def moves_line(moves: Json) -> str:
    phases = moves["phases"]
    if not phases:
        return f"epoch {moves['epoch']}: nothing moves"
    coming = ", ".join(f"{name} {count}" for name, count in sorted(moves["coming"].items()))
    told = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))
    return f"epoch {moves['epoch']}: {told}" + (f"; coming: {coming}" if coming else "")


# --- keys


def explain_page(report: Json) -> list[str]:
    keyspace = report["keyspace"]
    lines = [
        f"{report['key']!r}: slot {report['slot']}, partition {report['partition']}, epoch "
        f"{report['epoch']}{', moving' if report['is_moving'] else ''}; coordinator "
        f"{report['coordinator']}",
        f"keyspace {keyspace['prefix']!r}: read {keyspace['read']}, write {keyspace['write']}, "
        f"{keyspace['mode'].lower()}, resolve {keyspace['resolve']}",
    ]
    rows = []
    for owner in report["owners"]:
        clock = ", ".join(f"{actor}:{count}" for actor, count in owner["clock"].items())
        name = owner["member"]
        if owner["stands_in_for"]:
            name += f" (for {owner['stands_in_for']})"
        rows.append(
            [name, owner["answer"], f"{owner['ms']:.1f}", str(owner["bytes"]),
             str(owner["siblings"]), "yes" if owner["is_behind"] else "", clock or "-"]
        )  # fmt: skip
    lines += table(["owner", "answer", "ms", "bytes", "items", "behind", "clock"], rows)
    for item in report["items"]:
        holders = ", ".join(item["held_by"])
        lines.append(f"{item['dot']}  {_shown(item['value'])}  held by {holders}")
    reads = report["reads_as"]
    what = reads["type"] if reads["value"] is None else f"{reads['type']} {_shown(reads['value'])}"
    lines.append(f"reads as {what}; repairs {', '.join(report['repair']) or 'nobody'}")
    return lines


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= VALUE_SHOWN else f"{shown[:VALUE_SHOWN]}..."


# --- the rest


def hints_page(hints: Mapping[str, Json]) -> list[str]:
    """By the member that has them."""
    rows = [
        [
            name,
            str(each["count"]),
            size_text(each["size_bytes"]),
            "complete" if each["is_counted"] else "being counted",
        ]
        for name, each in hints.items()
    ]
    return table(["name", "hints", "size", "counted"], rows)


def repair_page(state: Json) -> list[str]:
    lines = [
        f"{state['done']:,} of {state['partitions']:,} partitions compared in {state['rounds']:,} "
        f"rounds: {state['pulled']:,} records came here, {state['pushed']:,} went to others"
    ]
    lines += [
        f"not with {name}: {count:,} partitions, as it cannot be reached, or takes no part"
        for name, count in state["missing"].items()
    ]
    return lines


def keyspaces_page(keyspaces: Sequence[Json]) -> list[str]:
    rows = [
        [repr(each["prefix"]), each["read"], each["write"], each["mode"].lower(), each["resolve"],
         "yes" if each["besteffort"] else "no"]
        for each in keyspaces
    ]  # fmt: skip
    return table(["prefix", "read", "write", "mode", "resolve", "best effort"], rows)
