"""The rules of style hold in the whole tree, and each rule is seen to catch what it forbids.

The rules of ready-made checkers (ruff, mypy, cython-lint, stubtest) are in test_checkers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.support import style_rules as rules
from tests.support.style_rules import Complaints

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "lsmkv"
KERNELS = PACKAGE / "_native" / "kernels"
FOLDERS = [ROOT / name for name in ("src", "cluster", "tests", "benchmarks", "tools")]

PYTHON_COLUMNS = 100
C_COLUMNS = 110
PRINTING_FOLDERS = (PACKAGE / "cli", ROOT / "benchmarks", ROOT / "tools")


def files(*suffixes: str, folders: Iterable[Path] = FOLDERS) -> list[Path]:
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes]
    assert found, suffixes
    return sorted(found)


def complaints(paths: Iterable[Path], rule: Callable[[str], Complaints]) -> list[str]:
    """Where the rule is broken, as `file:line: what`."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in paths
        for line, what in rule(path.read_text(encoding="utf-8"))
    ]


def assert_none(found: list[str]) -> None:
    assert not found, "\n".join(["", *found])


PYTHON = [*files(".py"), ROOT / "setup.py"]
CYTHON = files(".pyx", ".pxd")
STUBS = files(".pyi")
C_SOURCES = files(".c", ".h")
SOURCES = [*PYTHON, *CYTHON, *STUBS, *C_SOURCES]


def test_lines_are_short_enough():
    assert_none(
        complaints([*PYTHON, *CYTHON, *STUBS], lambda text: rules.line_length(text, PYTHON_COLUMNS))
        + complaints(C_SOURCES, lambda text: rules.line_length(text, C_COLUMNS))
    )


def test_no_file_is_too_long():
    assert_none(complaints(SOURCES, rules.file_size))


def test_no_function_is_too_long():
    assert_none(
        complaints(PYTHON, rules.python_functions)
        + complaints(CYTHON, rules.cython_functions)
        + complaints(C_SOURCES, rules.c_functions)
    )


def test_no_notes_are_left_over():
    assert_none(complaints(SOURCES, rules.left_over_notes))


def test_nothing_runs_code_from_data_or_catches_everything():
    # Tests may import pickle: they prove that it is refused.
    product = [path for path in PYTHON if not path.is_relative_to(ROOT / "tests")]
    assert_none(complaints(product, rules.python_bans) + complaints(CYTHON, rules.cython_bans))


def test_only_the_command_line_prints():
    paths = [
        path
        for path in files(
            ".py", folders=[PACKAGE, *(ROOT / name for name in ("cluster", "benchmarks", "tools"))]
        )
        if not any(path.is_relative_to(folder) for folder in PRINTING_FOLDERS)
    ]
    assert_none(complaints(paths, rules.python_prints))


def test_every_module_says_what_it_is():
    assert_none(
        complaints([path for path in PYTHON if path.stat().st_size], rules.python_docstring)
        + complaints(C_SOURCES, rules.c_header_comment)
        + [
            f"{path.relative_to(ROOT)}:1: no docstring"
            for path in files(".pyx")
            if not path.read_text().startswith(('"""', "# cython:"))
        ]
    )


def test_every_cython_function_states_its_error_convention():
    assert_none(complaints(CYTHON, rules.cython_conventions))


def test_every_native_module_has_a_stub():
    assert_none(
        [str(path) for path in files(".pyx") if not path.with_suffix(".pyi").exists()]
        + [str(path) for path in STUBS if not path.with_suffix(".pyx").exists()]
    )


def test_all_memory_comes_from_the_allocator():
    kernels = [path for path in files(".c", ".h", folders=[KERNELS]) if path.stem != "allocator"]
    assert_none(complaints([*kernels, *files(".pyx", ".pxd", folders=[PACKAGE])], rules.c_memory))


def test_no_generated_c_lies_among_the_sources():
    assert {path.parent for path in files(".c", ".h", folders=[PACKAGE])} == {KERNELS}


# --- the rules themselves ------------------------------------------------------------------------

LONG_PYTHON = "def f():\n" + "    x = 1\n" * 70
LONG_CYTHON = (
    "cdef class C:\n    cdef int f(\n        self,\n    ) except -1:\n" + 68 * "        x\n"
)
LONG_C = "static int f(int a,\n             int b) {\n" + "    a++;\n" * 68 + "}\n"


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (lambda text: rules.line_length(text, 10), "x" * 11, "x" * 10),
        (rules.file_size, "x\n" * 601, "x\n" * 600),
        (rules.left_over_notes, "# TO" + "DO: later", "# todos are fine"),
        (rules.python_functions, LONG_PYTHON, LONG_PYTHON.removesuffix("    x = 1\n")),
        (rules.cython_functions, LONG_CYTHON, LONG_CYTHON.removesuffix("        x\n")),
        (rules.c_functions, LONG_C, LONG_C.replace("    a++;\n", "", 1)),
        (rules.python_docstring, "import os", '"""What it is."""\nimport os'),
        (rules.python_bans, "import pickle", "import json"),
        (rules.python_bans, "from marshal import loads", "from json import loads"),
        (rules.python_bans, "eval('1')", "self.eval('1')"),
        (
            rules.python_bans,
            "try:\n    f()\nexcept:\n    g()",
            "try:\n    f()\nexcept OSError:\n    g()",
        ),
        (rules.python_prints, "print(1)", "file.print(1)"),
        (rules.cython_bans, "from pickle import loads", "from json import loads"),
        (rules.cython_bans, "    except:", "    except ValueError:"),
        (rules.cython_bans, "    print(1)", "    printer(1)"),
        (rules.cython_conventions, "cdef int f(int a) nogil:", "cdef int f(int a) noexcept nogil:"),
        (rules.cython_conventions, "    cdef int f(self):", "    cdef int f(self) except -1:"),
        (
            rules.cython_conventions,
            "cdef char *f(a,\n    b)",
            "cdef char *f(a,\n    b) except NULL",
        ),
        (rules.cython_conventions, "cdef void f():", "cdef object f():"),
        (rules.c_header_comment, "#include <x.h>\n", "/* What it is. */\n"),
        (rules.c_memory, "p = malloc(4);", "p = lsm_malloc(4);"),
        (rules.c_memory, "free(p);", "ops->free(p);"),
    ],
)
def test_a_rule_catches_what_it_forbids(
    rule: Callable[[str], Complaints], bad: str, good: str
) -> None:
    assert rule(bad)
    assert not rule(good)


def test_a_c_function_is_measured_from_its_name_to_its_brace():
    text = "struct s {\n    int a;\n};\nint declared(int a);\n" + LONG_C + LONG_C
    assert [line for line, _ in rules.c_functions(text)] == [5, 76]
