"""The rules of style that no ready-made checker has, as functions of a file's text.

Each rule takes text and returns complaints, (line number, what is wrong) pairs; an empty list is
good. They read Python with `ast` and C and Cython with simple scanners, which rely on the layout
that the rest of the style demands: a C function begins and ends in column 1.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

__all__ = [
    "FILE_LINES_MAX",
    "FUNCTION_LINES_MAX",
    "c_functions",
    "c_header_comment",
    "c_memory",
    "cython_conventions",
    "cython_functions",
    "file_size",
    "left_over_notes",
    "line_length",
    "python_bans",
    "python_docstring",
    "python_functions",
    "python_prints",
    "cython_bans",
]

Complaints = list[tuple[int, str]]

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
BANNED_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill"}
BANNED_CALLS = {"eval", "exec"}
# Cython functions that return one of these report errors as Python functions do.
OBJECT_TYPES = {"object", "bytes", "bytearray", "str", "list", "tuple", "dict", "set", "memoryview"}


# --- any text ------------------------------------------------------------------------------------


def line_length(text: str, limit: int) -> Complaints:
    return [
        (number, f"{len(line)} columns, the limit is {limit}")
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > limit
    ]


def file_size(text: str) -> Complaints:
    count = len(text.splitlines())
    if count <= FILE_LINES_MAX:
        return []
    return [(count, f"{count} lines, the limit is {FILE_LINES_MAX}")]


def left_over_notes(text: str) -> Complaints:
    pattern = re.compile(r"\b(TO" + "DO|FIX" + "ME|X" + r"XX)\b")
    return [
        (number, f"a left-over note: {match[0]}")
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]


def _too_long(spans: Iterator[tuple[str, int, int]]) -> Complaints:
    return [
        (first, f"{name} has {last - first + 1} lines, the limit is {FUNCTION_LINES_MAX}")
        for name, first, last in spans
        if last - first + 1 > FUNCTION_LINES_MAX
    ]


# --- Python --------------------------------------------------------------------------------------


def python_functions(text: str) -> Complaints:
    """Functions longer than the limit."""
    return _too_long(
        (node.name, node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def python_docstring(text: str) -> Complaints:
    tree = ast.parse(text)
    if ast.get_docstring(tree) or not tree.body:
        return []
    return [(1, "the module has no docstring")]


def python_bans(text: str) -> Complaints:
    """Modules that run code from data, eval and exec, and a bare except."""
    found: Complaints = []
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [
            (node.lineno, f"{name} is banned: it runs code from data")
            for name in names
            if name.split(".")[0] in BANNED_MODULES
        ]
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            found.append((node.lineno, "a bare except: name what is caught"))
        if _is_call_of(node, BANNED_CALLS):
            found.append((node.lineno, "eval and exec are banned"))
    return sorted(found)


def python_prints(text: str) -> Complaints:
    return [
        (node.lineno, "print belongs to the command line: return text or use logging")
        for node in ast.walk(ast.parse(text))
        if _is_call_of(node, {"print"})
    ]


def _is_call_of(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


# --- Cython --------------------------------------------------------------------------------------

_CYTHON_FUNCTION = re.compile(r"^(?P<indent> *)(?P<kind>cdef|cpdef|def)\b(?P<rest>.*)$")


def _cython_signatures(text: str) -> Iterator[tuple[int, int, str, str, int]]:
    """(first line, last line of the signature, kind, signature, indent) of each function."""
    lines = text.splitlines()
    for index, whole_line in enumerate(lines):
        line = _without_comment(whole_line)
        match = _CYTHON_FUNCTION.match(line)
        if match is None or "(" not in line or re.match(r" *cdef (class|extern|enum)", line):
            continue
        if "=" in line.split("(")[0]:
            continue  # a variable that is initialised by a call
        signature, end = line, index
        while signature.count("(") > signature.count(")") and end + 1 < len(lines):
            end += 1
            signature += " " + _without_comment(lines[end]).strip()
        yield index, end, match["kind"], signature.strip(), len(match["indent"])


def _without_comment(line: str) -> str:
    return line.split("#")[0].rstrip()


def cython_functions(text: str) -> Complaints:
    """Functions longer than the limit: the body is what is indented deeper than the signature."""
    return _too_long(_cython_spans(text))


def _cython_spans(text: str) -> Iterator[tuple[str, int, int]]:
    lines = text.splitlines()
    for first, end, _, signature, indent in _cython_signatures(text):
        if not signature.endswith(":"):
            continue
        last = end
        for index in range(end + 1, len(lines)):
            line = lines[index]
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            if line.strip():
                last = index
        yield signature.split("(")[0].split()[-1], first + 1, last + 1


def cython_conventions(text: str) -> Complaints:
    """C functions of Cython that do not say how they report errors."""
    found: Complaints = []
    for first, _, kind, signature, _ in _cython_signatures(text):
        if kind == "def":
            continue
        after = signature[signature.rindex(")") :]
        says = re.search(r"\b(noexcept|except)\b", after) is not None
        if not says and ("nogil" in after or not _returns_object(signature)):
            found.append((first + 1, "state noexcept or except: " + signature[:60]))
    return found


def _returns_object(signature: str) -> bool:
    words = [
        word
        for word in signature.split("(")[0].replace("*", " * ").split()[1:]
        if word not in ("inline", "api", "public")
    ]
    if len(words) < 2:
        return True  # no type is object
    return "*" not in words and (words[0] in OBJECT_TYPES or words[0][0].isupper())


def cython_bans(text: str) -> Complaints:
    """As python_bans, line by line."""
    modules = "|".join(sorted(BANNED_MODULES))
    patterns = {
        rf"^\s*(c?import|from)\s+({modules})\b": "banned: it runs code from data",
        r"(?<![\w.])(eval|exec|print)\(": "eval, exec and print are banned",
        r"^\s*except\s*:": "a bare except: name what is caught",
    }
    return [
        (number, complaint)
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, complaint in patterns.items()
        if re.search(pattern, _without_comment(line))
    ]


# --- C -------------------------------------------------------------------------------------------


def c_functions(text: str) -> Complaints:
    """Functions longer than the limit, from the line with the name to the closing brace."""
    return _too_long(_c_spans(text))


def _c_spans(text: str) -> Iterator[tuple[str, int, int]]:
    first, name = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if first == 0 and (match := re.match(r"[A-Za-z_].*?(\w+)\(", line)):
            first, name = number, match[1]
        if first != 0 and line.startswith("}"):
            yield name, first, number
        if line.startswith("}") or line.endswith(";"):
            first = first if first and line.startswith(" ") else 0


def c_header_comment(text: str) -> Complaints:
    return [] if text.startswith("/*") else [(1, "the file does not begin with a comment")]


def c_memory(text: str) -> Complaints:
    """Calls of the C library's allocator; ours counts, limits and can be made to fail."""
    pattern = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|free|strdup)\(")
    return [
        (number, f"{match[1]}() outside allocator.c: use allocator.h")
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]
