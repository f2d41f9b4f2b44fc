"""The cluster's modules import lower layers only, and none of them can reach the outside world.

A new module gets a place in LAYERS. What a machine may not do it cannot do by accident: no sockets,
no clock, no threads, no files, no global random numbers.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.imports import Layers, all_imports, violations

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "lsmkv_cluster"
SOURCES = sorted((ROOT / "cluster" / PACKAGE).rglob("*.py"))

# Lowest first; an indented line belongs to the layer above it.
ORDER = """
admission assignment hlc keeper_settings local_health member_status refusals replay_window
    replies suspicion timers vclock
errors membership_settings record reply_reader
coding deletion keyspaces members operations slots visible
antientropy_messages antientropy_sync_messages datagram dissemination engine_key
    gossip_messages hint_budget latency owners pace quorum record_format ring site
    start_messages wire
antientropy_exchange balance context fair flights handshake own_state topology
actor evidence handover minting paxos_messages repair_pairs savings topology_format view
acceptor crdt firsts proposer storage_orders
backlog damage hint_pass hint_survey partition_trees planner ports replica_messages resolve
    store_failures store_marks
adoption antientropy_repair_messages copies deletions hints merging peer_clocks peers
    recovery repair_rounds replica requests revoting rounds_served starting tombstone_messages
    topology_changes voter write_back
calls changes clock_watch collect_answers deadlines document_fetch member_table open_orders
    paxos_answers proposals repair_records rules store token_listing tombstone_limits
    transition_rules
antientropy_answers collecting conductor confirming driver_ports gossip member_report minter
    prober read_state repair repair_schedule store_opening
asking callers document_keeper expiring handing_over hearsay scrub traffic writing
antientropy membership reading tombstones
coordinator
boot
parts
node
"""
LAYERS: Layers = tuple(
    set(line.split()) for line in ORDER.replace("\n    ", " ").split("\n") if line
)

# The engine's public names and the surface that it made for the cluster.
ENGINE = {"lsmkv", "lsmkv.kernel"}
BANNED = {
    "asyncio",
    "concurrent",
    "datetime",
    "io",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
    "uvloop",
}

FILE_LINES_MAX = 400


# Lowest first. What lies in none of them (errors, coding, ports, node) may be below or above.
PACKAGES = (
    "placement",
    "versions",
    "transport",
    "storage",
    "swim",
    "coordination",
    "reconfiguration",
    "healing",
)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT / "cluster").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {dotted(path) for path in SOURCES if path.stem != "__init__"}
IMPORTS = {
    dotted(path): all_imports(path.read_text(encoding="utf-8"), MODULES)
    for path in SOURCES
    if path.stem != "__init__"
}


def test_no_two_modules_have_one_name():
    names = [name.rsplit(".", 1)[-1] for name in MODULES]
    assert sorted(names) == sorted(set(names))


def test_modules_import_lower_layers_only():
    own = {
        name.rsplit(".", 1)[-1]: {target.rsplit(".", 1)[-1] for target in targets & MODULES}
        for name, targets in IMPORTS.items()
    }
    assert violations(own, LAYERS) == []


def test_packages_import_lower_packages_only():
    for name, targets in IMPORTS.items():
        package = name.split(".")[1]
        if package not in PACKAGES:
            continue
        allowed = PACKAGES[: PACKAGES.index(package) + 1]
        used = {target.split(".")[1] for target in targets & MODULES} & set(PACKAGES)
        assert used <= set(allowed), name


def test_of_the_engine_they_import_the_public_names_and_the_kernel():
    for name, targets in IMPORTS.items():
        engine = {target for target in targets if target.split(".")[0] == "lsmkv"}
        assert engine <= ENGINE, name


def test_they_cannot_reach_the_outside_world():
    for name, targets in IMPORTS.items():
        assert {target.split(".")[0] for target in targets} & BANNED == set(), name


def test_the_engine_does_not_import_the_cluster():
    for path in sorted((ROOT / "src").rglob("*.py*")):
        if path.suffix in (".py", ".pyx", ".pxd", ".pyi"):
            assert PACKAGE not in path.read_text(encoding="utf-8"), path.name


def test_packages_themselves_hold_nothing():
    for path in SOURCES:
        if path.stem == "__init__":
            assert all_imports(path.read_text(encoding="utf-8"), MODULES) == set(), path


def test_every_file_is_small():
    sizes = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > FILE_LINES_MAX} == {}


def test_an_import_of_anything_is_seen():
    ring = "lsmkv_cluster.placement.ring"
    text = "import socket\nfrom os.path import join\nfrom lsmkv_cluster.placement import ring\n"
    assert all_imports(text, {ring}) == {"socket", "os.path", ring}
    assert all_imports("def f():\n    import time\n", set()) == {"time"}
