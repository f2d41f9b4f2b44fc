"""The demo with real processes: everything that can be typed, and nothing left at the end."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lsmkv.cli.arguments import UsageError
from lsmkv_cluster.operator.command_line import register
from lsmkv_cluster.operator.demo_command import run_demo
from lsmkv_cluster.operator.demo_script import TOUR

SCRIPT = """\
# what is said here is not done
status
set greeting hello   # so it begins
get greeting
set mark a#b c
get mark
get nothing
explain greeting
kill 3
heal
cut east n3  # all but one
status 1
heal
repair
pause n2
heal
add
remove 4
check
kill
remove 9
bogus
quit
kill n1
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "m.py").write_text("class Spam:\n    eggs = 1\n")
    return path


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "lsmkv.cli.main", "demo", "cluster", *map(str, args)]


def processes_below(path: Path) -> list[bytes]:
    """Nodes whose data is there, by their arguments."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = file.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if b"serve" in arguments and any(each.startswith(bytes(path)) for each in arguments):
            found.append(b" ".join(arguments))
    return found


@pytest.mark.slow
def test_a_script_of_everything(tmp_path: Path, source: Path) -> None:
    kept, script = tmp_path / "kept", tmp_path / "script"
    script.write_text(SCRIPT)
    args = ["--nodes", 3, "--source", source, "--script", script, "--keep", kept]
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    page = done.stdout
    assert "3 nodes; N = 3: of each key 2 in the east and 1 in the west" in page
    assert "try it:  redis-cli -h 127.0.0.1 -p " in page
    assert "\ncluster> get greeting\nhello\n" in page
    assert "\ncluster> get mark\na#b c\n" in page
    assert "\ncluster> get nothing\n(nothing)\n" in page
    assert "reads as string 'hello'" in page
    assert "n3 has been killed\n" in page
    assert "cables mended; n3 started again" in page
    assert "n1, n2 and n3 do not hear each other" in page
    assert "cut: n1 - n3, n2 - n3" in page
    assert "all hear each other, and nobody has hints left" in page
    assert "all copies compared; " in page
    assert "n2 stands still" in page
    assert "n4 has joined in west" in page
    assert "n4 is no member any more" in page
    assert ": 0 lost; " in page
    assert "Error: there is no 9; there are n1, n2, n3" in page
    assert page.count("get KEY, set KEY VALUE") == 2, "help, for what is not understood"
    assert "kill n1" not in page, "after quit nothing is done"
    assert (kept / "n1" / "log").exists()
    assert processes_below(kept) == []


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_and_no_data(tmp_path: Path, source: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    script = tmp_path / "script"
    script.write_text("wait 3000\n")
    args = command("--nodes", 3, "--source", source, "--script", script)
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, env=env) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "try it:" in line:
                break
        [data] = tmp_path.glob("lsmkv-demo-*")
        assert len(processes_below(data)) == 3
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
    assert demo.returncode == 130
    assert processes_below(data) == []
    assert not data.exists()


def test_arguments_that_cannot_be(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    (tmp_path / "full").write_text("")
    for args, error in (
        (["--nodes", "2"], UsageError),
        (["--tour", "--script", "x"], UsageError),
        (["--script", str(tmp_path / "missing")], FileNotFoundError),
        (["--tour", "--keep", str(tmp_path)], Exception),
    ):
        with pytest.raises(error):
            run_demo(parser.parse_args(["demo", "cluster", *args]))


def test_the_tour_says_what_it_does() -> None:
    words = [line.split()[0] for line in TOUR.splitlines()]
    assert {"status", "explain", "kill", "cut", "heal", "repair", "check"} <= set(words)
