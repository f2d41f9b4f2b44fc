"""Imports run one way: each module imports lower layers only. The order stands here as data."""

from __future__ import annotations

from pathlib import Path

from tests.support.imports import Layers, c_includes, cython_imports, python_imports, violations

SOURCES = Path(__file__).resolve().parent.parent / "src"
NATIVE = SOURCES / "lsmkv" / "_native"

NATIVE_LAYERS: Layers = (
    {"memory", "failure", "types", "trace", "segment", "summary", "arrays"},
    {"cursor", "buffers", "hashing", "codec", "vfs", "row_cache"},
    {"bloom", "block", "memtable", "merge", "merkle", "record", "vfs_fault", "resp"},
    {"log", "table", "resp_writer", "resp_reply"},
    {"commit", "batch", "slices", "version", "gate"},
    {"readstate", "job"},
    {"scan"},
    {"store"},
    {"columns"},
    {"snapshot", "upsert", "registers"},
)

PYTHON_LAYERS: Layers = (
    {"errors"},
    {"options", "filenames", "version", "throttle", "background", "codecs"},  # pure
    {"_native"},
    {"manifest_format", "picker", "statistics", "batch", "views", "keys"},
    {"manifest", "pressure", "tree"},
    {"compaction", "recovery", "checkpoint", "salvage", "salvage_log", "lost", "edits"},
    {"engine", "repair", "verify"},
    {"opening", "verify_live"},
    {"db", "kernel"},
    {"api"},
    {""},  # the public names
    {"cli.escaping", "cli.output", "cli.progress", "cli.library_index"},
    {"cli.piece", "cli.records", "cli.arguments"},
    {"cli.dump_log", "cli.dump_manifest", "cli.dump_table"},
    {"cli.demo", "cli.dump", "cli.reading", "cli.upkeep", "cli.writing"},
    {"cli.commands"},
    {"cli.main"},
)

# Files of one component may include each other.
KERNEL_COMPONENTS: Layers = (
    {"status", "constants", "allocator", "coding", "arena", "key_buffer", "gate"}
    | {"crc32c", "murmur3", "bloom", "cursor", "array_cursor", "merge_hook"},
    {"vfs", "vfs_buffer", "fork", "bus_guard", "vfs_posix", "vfs_posix_log"}
    | {"vfs_memory", "vfs_memory_crash", "vfs_memory_tree", "vfs_fault", "vfs_fault_plan"},
    {"codec", "codec_zstd"},
    {"node", "block_format", "block_fold", "block", "block_builder", "cache", "block_pool"},
    {"row_cache"},
    {"siphash", "merkle"},
    {"record_format", "record_check", "record_merge"},
    {"register", "crc16"},
    {"resp", "resp_inline", "resp_input", "resp_request", "resp_reply", "resp_writer"},
    {"memtable", "memtable_tree", "memtable_cursor"},
    {"log", "log_reader", "log_writer", "log_replay", "commit_group"},
    {"merge", "view"},
    {"table", "table_format", "table_builder", "table_check", "table_cursor", "table_index"}
    | {"table_index_builder", "table_open", "table_reader", "table_tail_writer", "table_writer"}
    | {"file_pool"},
    {"version", "run_cursor"},
    {"job", "columns", "column_load", "column_read", "column_scan"},
)


def short(module: str) -> str:
    """The name without `lsmkv.`; the package itself is the empty name."""
    return module.removeprefix("lsmkv").removeprefix(".")


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = sorted([*SOURCES.rglob("*.py"), *SOURCES.rglob("*.pyx"), *SOURCES.rglob("*.pxd")])
MODULES = {module_name(path) for path in PATHS}


def imports_of(path: Path) -> set[str]:
    read = python_imports if path.suffix == ".py" else cython_imports
    return {short(name) for name in read(path.read_text(encoding="utf-8"), MODULES)}


def gather(paths: list[Path]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in paths:
        found.setdefault(short(module_name(path)), set()).update(imports_of(path))
    return found


def test_python_modules_import_lower_layers_only():
    imports = {
        name: {"_native" if target.startswith("_native") else target for target in targets}
        for name, targets in gather(PATHS).items()
        if not name.startswith("_native") and name != "cli"
    }
    assert violations(imports | {"_native": set()}, PYTHON_LAYERS) == []


def test_native_modules_import_lower_layers_and_of_python_the_errors_only():
    imports: dict[str, set[str]] = {}
    for name, targets in gather(PATHS).items():
        if name.startswith("_native."):
            outside = {target for target in targets if not target.startswith("_native.")}
            assert outside <= {"errors"}, name
            imports[name.removeprefix("_native.")] = {
                target.removeprefix("_native.") for target in targets - outside
            }
    assert violations(imports, NATIVE_LAYERS) == []


def test_kernels_include_lower_components_only():
    imports: dict[str, set[str]] = {}
    for path in sorted(NATIVE.glob("kernels/*.[ch]")):
        imports.setdefault(path.stem, set()).update(c_includes(path.read_text()))
    assert violations(imports, KERNEL_COMPONENTS, within_layer=True) == []


def test_kernels_know_no_python():
    for path in NATIVE.glob("kernels/*.[ch]"):
        assert "Python.h" not in path.read_text(), path.name


def test_violations_are_found():
    layers: Layers = ({"a"}, {"b", "c"})
    assert violations({"a": set(), "b": {"a"}, "c": set()}, layers) == []
    assert violations({"a": {"b"}, "b": set(), "c": set()}, layers) == ["a imports b"]
    assert violations({"a": set(), "b": {"c"}, "c": set()}, layers) == ["b imports c"]
    assert violations({"a": set(), "b": {"c"}, "c": set()}, layers, within_layer=True) == []
    assert violations({"a": set(), "b": set(), "x": set()}, layers) == [
        "x stands in no layer",
        "c does not exist",
    ]


def test_every_form_of_import_is_seen():
    modules = {"lsmkv", "lsmkv.db", "lsmkv.errors", "lsmkv._native.log"}
    text = """
from typing import TYPE_CHECKING
import lsmkv.db
from lsmkv import errors
from lsmkv.errors import Error
if TYPE_CHECKING:
    from lsmkv.hidden import Thing
def f():
    from lsmkv._native import log
"""
    assert python_imports(text, modules) == {"lsmkv.db", "lsmkv.errors", "lsmkv._native.log"}
    assert python_imports("from lsmkv import open", modules) == {"lsmkv"}
    text = (
        "from lsmkv._native.log cimport LogWriter\nfrom lsmkv.errors import Error\ncimport lsmkv.x"
    )
    assert cython_imports(text, modules) == {"lsmkv._native.log", "lsmkv.errors", "lsmkv.x"}
    assert c_includes('#include <stdio.h>\n#include "log.h"\n') == {"log"}
