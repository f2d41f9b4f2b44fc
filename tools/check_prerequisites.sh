#!/bin/sh
# Names what is missing for building lsmkv, with the line that brings it on Debian and Ubuntu.
PYTHON=${PYTHON:-python3}
packages=""

need() {
    echo "missing: $1" >&2
    packages="$packages $2"
}

if ! command -v "$PYTHON" >/dev/null 2>&1; then
    need "$PYTHON (3.11 or newer)" "python3 python3-venv python3-dev"
else
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "lsmkv needs Python 3.11 or newer; $PYTHON is $("$PYTHON" -V 2>&1)." >&2
        echo "Name another one with: make PYTHON=python3.12 ..." >&2
        exit 1
    }
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || need "venv for $PYTHON" "python3-venv"
    "$PYTHON" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        need "the C headers of $PYTHON" "python3-dev"
fi
command -v gcc >/dev/null 2>&1 || command -v cc >/dev/null 2>&1 || need "a C compiler" "gcc libc6-dev"
command -v git >/dev/null 2>&1 || need "git" "git"

if [ -n "$packages" ]; then
    echo "To install what is missing:  sudo apt-get install -y$packages" >&2
    exit 1
fi
