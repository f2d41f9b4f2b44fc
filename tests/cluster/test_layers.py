"""The cluster's modules import lower layers only, and none of them can reach the outside world.

A new module gets a place in LAYERS. What a machine may not do it cannot do by accident: no sockets,
no clock, no threads, no files, no global random numbers. What ALLOWED and OUTSIDE name is none.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.imports import Layers, all_imports, violations

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "lsmkv_cluster"
SOURCES = sorted((ROOT / "cluster" / PACKAGE).rglob("*.py"))

# Lowest first; an indented line belongs to the layer above it.
ORDER = """
admission assignment cluster_keys demo_index endpoints glob_match hlc http_port input_budget
    keeper_settings key_locks local_health loop_thread member_status metrics outcomes passwords
    read_queue redis_numbers refusals replay_window replies roles scan_pages suspicion timers vclock
errors membership_settings node_processes record reply_reader retrying sockets
calling coding deletion files keyspaces link_cuts members operations slots toml_fields
    visible
antientropy_messages antientropy_sync_messages cluster_pages datagram dissemination
    engine_key gossip_messages hint_budget latency node_file owners pace pipelines quorum
    record_format ring routes session setting_kinds site start_messages telling users wire
antientropy_exchange balance context datagram_port fair flights handshake own_state pool
    scan_cursor server_identity settings topology
actor announcing cluster_file dispatching evidence exposure founding handover host minting
    origins paxos_messages repair_pairs savings setting_flags topology_format view
acceptor cluster_map crdt firsts proposer settings_table storage_orders tls
backlog certificates config_command damage hint_pass hint_survey key_listing partition_trees
    peer_connection planner ports redirection replica_messages resolve security store_failures
    store_marks
adoption antientropy_repair_messages asking_nodes certificate_files copies deadlines
    deletions hints merging peer_clocks peer_links peers recovery repair_rounds replica requests
    revoting rounds_served scan_messages starting store_runner stored_values system_clock
    tombstone_messages topology_changes voter write_back
calls change_commands changes clock_watch collect_answers document_fetch init_command
    listing_answers looking_commands member_table open_orders paxos_answers proposals
    repair_command repair_records repair_request rules store token_listing tombstone_limits
    transition_rules
antientropy_answers collecting conductor confirming driver_ports gossip member_report minter
    prober queries read_state readdressing repair repair_schedule store_opening
asking callers commanding document_keeper driver expiring explaining handing_over hearsay
    scanner scrub traffic write_state
antientropy commands_page entrance exactness levels_text membership names options reading
    table_rows tombstones verdicts writing
change_json changing client_commands command_docs connection_commands coordinator info_text
    items keyspace_commands server_commands
async_client boot edited_strings explanation joining key_times lock_scripts plain_strings
    sets_and_hashes transactions walking whole_keys
admin_commands blocking_client cluster_commands demo_load demo_nodes keys_table kv_commands
    parts parts_table server_table strings_table
cluster_table demo_script node
catalogue demo_command local_node
executor express reports running_node
hosting inquiries resp_connection
resp_port
client_ports
node_metrics
daemon
serve_command
command_line
"""
LAYERS: Layers = tuple(
    set(line.split()) for line in ORDER.replace("\n    ", " ").split("\n") if line
)

# The engine's public names and the surface that it made for the cluster.
ENGINE = {"lsmkv", "lsmkv.kernel"}
COMMAND_LINE = {  # for operator/
    "lsmkv.cli.arguments",
    "lsmkv.cli.library_index",
    "lsmkv.cli.output",
    "lsmkv.cli.progress",
}
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
    "scanning",
    "config",
    "resp",
    "client",
    "serving",
    "operator",
)

# Where there are sockets, clocks and threads.
OUTSIDE = (".client.", ".serving.")

# What is there to reach it says so here.
ALLOWED = {
    "certificate_files": {"datetime", "pathlib"},
    "asking_nodes": {"asyncio", "pathlib", "ssl"},
    "certificates": {"datetime"},
    "change_commands": {"time"},
    "files": {"os", "pathlib", "tempfile"},
    "cluster_file": {"pathlib", "secrets"},
    "config_command": {"os"},
    "demo_command": {"concurrent", "pathlib", "shutil", "signal", "tempfile"},
    "demo_index": {"pathlib"},
    "demo_load": {"asyncio", "random", "time"},
    "demo_nodes": {"asyncio", "pathlib"},
    "demo_script": {"asyncio", "time"},
    "init_command": {"datetime", "pathlib"},
    "link_cuts": {"asyncio"},
    "node_file": {"pathlib", "secrets"},
    "node_processes": {"os", "pathlib", "signal", "subprocess", "time"},
    "origins": {"pathlib"},
    "security": {"ssl"},
    "repair_command": {"time"},
    "serve_command": {"asyncio", "os", "signal", "time", "uvloop"},
    "passwords": {"secrets"},
    "setting_kinds": {"pathlib"},
    "settings": {"pathlib"},
    "tls": {"pathlib", "ssl"},
    "users": {"pathlib", "secrets"},
}


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
        allowed = ENGINE | COMMAND_LINE if ".operator." in name else ENGINE
        assert engine <= allowed, name


def test_they_cannot_reach_the_outside_world():
    for name, targets in IMPORTS.items():
        if any(package in name for package in OUTSIDE):
            continue
        banned = BANNED - ALLOWED.get(name.rsplit(".", 1)[-1], set())
        assert {target.split(".")[0] for target in targets} & banned == set(), name


def test_the_engine_does_not_import_the_cluster():
    for path in sorted((ROOT / "src").rglob("*.py*")):
        if path.suffix in (".py", ".pyx", ".pxd", ".pyi"):
            assert PACKAGE not in path.read_text(encoding="utf-8"), path.name


def test_packages_themselves_hold_nothing():
    """The outermost finds the names for programs when they are asked for: importing a machine
    brings no client."""
    for path in SOURCES:
        if path.stem == "__init__":
            allowed = {"importlib", "typing"} if path.parent.name == PACKAGE else set()
            assert all_imports(path.read_text(encoding="utf-8"), MODULES) <= allowed, path
    code = f"import sys, {PACKAGE}.node; print(*(m for m in sys.modules if '.client' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == []


def test_every_file_is_small():
    sizes = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > FILE_LINES_MAX} == {}


def test_an_import_of_anything_is_seen():
    ring = "lsmkv_cluster.placement.ring"
    text = "import socket\nfrom os.path import join\nfrom lsmkv_cluster.placement import ring\n"
    assert all_imports(text, {ring}) == {"socket", "os.path", ring}
    assert all_imports("def f():\n    import time\n", set()) == {"time"}
