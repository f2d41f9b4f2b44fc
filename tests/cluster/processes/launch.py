"""Becomes the command `lsmkv`, and ends when the process that started it does, however that ends.

    python -P launch.py PARENT COMMAND ...      PARENT is the id of the process that starts it

A test that is killed leaves no daemon behind: the kernel sends SIGKILL to each (PR_SET_PDEATHSIG).
It does so when the thread ends that started the process, so start it from one that stays.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """SystemExit if the parent has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    from lsmkv.cli.main import main

    sys.exit(main(sys.argv[2:]))
