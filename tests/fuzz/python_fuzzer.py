"""libFuzzer over a target in Python, in a process of its own: atheris must be installed.

    python -m tests.fuzz.python_fuzzer manifest|database [libFuzzer's options] CORPUS...

For the database the extension modules are those of an instrumented build, and atheris' own runtime
of AddressSanitizer is preloaded (run.py): then edges of the C kernels count.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import atheris

TARGETS = {
    "manifest": ["lsmkv.manifest", "lsmkv.manifest_format", "lsmkv.version"],
    "database": ["lsmkv.recovery", "lsmkv.opening", "lsmkv.edits", "lsmkv.picker", "lsmkv.tree"],
}


def main() -> None:
    name = sys.argv.pop(1)
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=TARGETS[name]):
        target = import_module(f"tests.fuzz.{name}_target")
    atheris.Setup(sys.argv, target.run_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
