"""Who imports whom, read from the text of Python, Cython and C files, and a check against an order.

Imports under `if TYPE_CHECKING:` do not count: they do not exist at runtime.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = [
    "Layers",
    "all_imports",
    "c_includes",
    "cython_imports",
    "python_imports",
    "violations",
]

Layers = Sequence[Collection[str]]  # lowest first

_CYTHON_FROM = re.compile(r"^\s*from\s+(lsmkv[\w.]*)\s+c?import\s+\(?\s*([\w, ]*)", re.MULTILINE)
_CYTHON_IMPORT = re.compile(r"^\s*c?import\s+(lsmkv[\w.]*)", re.MULTILINE)
_C_INCLUDE = re.compile(r'^\s*#\s*include\s+"(?:[\w./]*/)?(\w+)\.h"', re.MULTILINE)


def python_imports(text: str, modules: Collection[str], package: str = "lsmkv") -> set[str]:
    """The modules of ours that `text` imports; `modules` tells submodules from other names."""
    return {name for name in all_imports(text, modules) if name.split(".")[0] == package}


def all_imports(text: str, modules: Collection[str]) -> set[str]:
    """The same for modules of anybody."""
    found: set[str] = set()
    for node in _runtime_nodes(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide their direction"
            found |= _targets(str(node.module), [alias.name for alias in node.names], modules)
    return found


def _runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _runtime_nodes(child)


def _targets(module: str, names: Sequence[str], modules: Collection[str]) -> set[str]:
    submodules = {f"{module}.{name}" for name in names} & set(modules)
    return submodules if len(submodules) == len(names) else submodules | {module}


def cython_imports(text: str, modules: Collection[str]) -> set[str]:
    """As python_imports, for import and cimport."""
    found = set(_CYTHON_IMPORT.findall(text))
    for module, names in _CYTHON_FROM.findall(text):
        found |= _targets(module, [name.strip() for name in names.split(",")], modules)
    return found


def c_includes(text: str) -> set[str]:
    """The stems of our headers that `text` includes."""
    return set(_C_INCLUDE.findall(text))


def violations(
    imports: Mapping[str, Collection[str]], layers: Layers, *, within_layer: bool = False
) -> list[str]:
    """What breaks the order: modules import lower layers only, and their own if `within_layer`."""
    rank = {name: number for number, layer in enumerate(layers) for name in layer}
    found = [f"{name} stands in no layer" for name in sorted(set(imports) - set(rank))]
    found += [f"{name} does not exist" for name in sorted(set(rank) - set(imports))]
    for name, targets in sorted(imports.items()):
        for target in sorted(set(targets) - {name}):
            if name not in rank or target not in rank:
                continue
            if rank[target] > rank[name] or (rank[target] == rank[name] and not within_layer):
                found.append(f"{name} imports {target}")
    return found
