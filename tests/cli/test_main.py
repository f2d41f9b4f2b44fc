"""The commands on a real database, in this process: what they print, where, and their status."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import lsmkv
from lsmkv.cli import main as main_module
from lsmkv.cli.main import main

Run = Callable[..., tuple[int, bytes, bytes]]

BINARY_KEY = b"bin\x00\xff"
BINARY_VALUE = b"\xfe\n\t\\"


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line: (status, output, messages)."""

    def run_command(*argv: object, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = main([str(argument) for argument in argv])
        captured = capsysbinary.readouterr()
        return status, captured.out, captured.err

    return run_command


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with three entries."""
    directory = tmp_path / "db"
    with lsmkv.open(directory) as db:
        db.put_many({b"a": b"1", "\u00e9".encode(): b"two\nlines", BINARY_KEY: BINARY_VALUE})
    return directory


def contents(directory: Path) -> dict[bytes, bytes]:
    with lsmkv.open(directory, create=False) as db:
        return dict(db.items())


class TestPutGetDel:
    def test_put_makes_the_database_and_get_gives_the_exact_bytes(
        self, run: Run, tmp_path: Path
    ) -> None:
        directory = tmp_path / "new"
        assert run("put", directory, "key", "value") == (0, b"", b"")
        assert run("get", directory, "key") == (0, b"value", b"")

    def test_a_missing_key_is_status_1_with_nothing_on_standard_output(
        self, run: Run, path: Path
    ) -> None:
        assert run("get", path, "nothing") == (1, b"", b"lsmkv: no key nothing\n")

    @pytest.mark.parametrize("argument", ["-", "--stdin"])
    def test_value_from_standard_input_is_taken_as_it_is(
        self, run: Run, path: Path, argument: str
    ) -> None:
        assert run("put", path, "k", argument, stdin=b"\x00line\n")[0] == 0
        assert run("get", path, "k")[1] == b"\x00line\n"

    @pytest.mark.parametrize(
        ("form", "key", "value"),
        [
            ("--hex", "62696e00ff", "fe0a095c"),
            ("--base64", "YmluAP8=", "/goJXA=="),
            ("--escaped", r"bin\x00\xff", r"\xfe\n\t\\"),
        ],
    )
    def test_binary_keys_and_values_as_text(
        self, run: Run, path: Path, form: str, key: str, value: str
    ) -> None:
        assert run("get", path, key, form) == (0, value.encode() + b"\n", b"")
        assert run("del", path, key, form)[0] == 0
        assert BINARY_KEY not in contents(path)
        assert run("put", path, key, value, form)[0] == 0
        assert contents(path)[BINARY_KEY] == BINARY_VALUE

    def test_get_json(self, run: Run, path: Path) -> None:
        assert json.loads(run("get", path, "\u00e9", "--json")[1]) == {
            "key": "\u00e9",
            "value": "two\nlines",
        }
        assert json.loads(run("get", path, r"bin\x00\xff", "--escaped", "--json")[1]) == {
            "key_base64": "YmluAP8=",
            "value_base64": "/goJXA==",
        }

    def test_del_takes_several_keys_and_does_not_mind_a_missing_one(
        self, run: Run, path: Path
    ) -> None:
        assert run("del", path, "a", "\u00e9", "nothing") == (0, b"", b"")
        assert contents(path) == {BINARY_KEY: BINARY_VALUE}


class TestScan:
    def test_lines_of_key_tab_value_with_escapes(self, run: Run, path: Path) -> None:
        status, out, err = run("scan", path)
        assert (status, err) == (0, b"")
        assert out.decode() == "a\t1\nbin\\x00\\xff\t\\xfe\\n\\t\\\\\n\u00e9\ttwo\\nlines\n"

    @pytest.mark.parametrize(
        ("arguments", "keys"),
        [
            (["--start", "b"], [r"bin\x00\xff", "\u00e9"]),
            (["--stop", "b"], ["a"]),
            (["--prefix", "bin"], [r"bin\x00\xff"]),
            (["--limit", "2"], ["a", r"bin\x00\xff"]),
            (["--limit", "0"], []),
            (["--reverse", "--limit", "1"], ["\u00e9"]),
            (["--hex", "--prefix", "62"], ["62696e00ff"]),
        ],
    )
    def test_ranges(self, run: Run, path: Path, arguments: list[str], keys: list[str]) -> None:
        status, out, _ = run("scan", path, "--keys", *arguments)
        assert status == 0
        assert out.decode().splitlines() == keys

    def test_values_and_json(self, run: Run, path: Path) -> None:
        assert run("scan", path, "--values", "--limit", 1)[1] == b"1\n"
        assert run("scan", path, "--json", "--keys", "--limit", 1)[1] == b'{"key": "a"}\n'
        lines = run("scan", path, "--json")[1].splitlines()
        assert json.loads(lines[1]) == {"key_base64": "YmluAP8=", "value_base64": "/goJXA=="}

    def test_what_scan_prints_load_reads(self, run: Run, path: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        assert run("load", copy, stdin=run("scan", path)[1])[0] == 0
        assert contents(copy) == contents(path)

    def test_reading_does_not_make_or_change_a_database(
        self, run: Run, path: Path, tmp_path: Path
    ) -> None:
        for command in (["get", "x"], ["scan"], ["dump-db"], ["stats"], ["verify"]):
            status, out, err = run(command[0], tmp_path / "none", *command[1:])
            assert (status, out) == (1, b"")
            assert err.endswith(b"none does not exist\n")
        before = {file.name: file.read_bytes() for file in path.iterdir()}
        run("scan", path)
        run("verify", path)
        assert {file.name: file.read_bytes() for file in path.iterdir()} == before


class TestLoadAndDumpDatabase:
    def test_dump_and_load_copy_any_bytes(self, run: Run, path: Path, tmp_path: Path) -> None:
        status, out, err = run("dump-db", path)
        assert (status, err) == (0, b"")
        assert out.splitlines()[0] == b'{"key": "a", "value": "1"}'
        status, loaded, err = run("load", tmp_path / "copy", stdin=out)
        assert (status, loaded) == (0, b"")
        assert err.startswith(b"loaded 3 entries in ")
        assert contents(tmp_path / "copy") == contents(path)

    def test_dump_of_a_range(self, run: Run, path: Path) -> None:
        assert run("dump-db", path, "--stop", "b")[1] == b'{"key": "a", "value": "1"}\n'

    def test_load_from_files_of_either_kind_in_many_batches(self, run: Run, tmp_path: Path) -> None:
        expected = {b"%05d" % i: b"v%d" % i for i in range(2500)}
        tsv = tmp_path / "in.tsv"
        tsv.write_bytes(b"\n" + b"".join(b"%b\t%b\n" % entry for entry in expected.items()))
        assert run("load", tmp_path / "db", tsv)[0] == 0
        assert contents(tmp_path / "db") == expected
        assert run("load", tmp_path / "db", tsv, "--format", "json")[0] == 1

    def test_a_bad_line_is_named_and_what_came_before_is_kept(
        self, run: Run, tmp_path: Path
    ) -> None:
        source = tmp_path / "in.jsonl"
        good = b"".join(b'{"key": "%d", "value": ""}\n' % i for i in range(1001))
        source.write_bytes(good + b'{"key": "x"}\n{"key": "y", "value": ""}\n')
        status, _, err = run("load", tmp_path / "db", source)
        assert status == 1
        assert b"in.jsonl, line 1002: needs either 'value'" in err
        assert b"the 1,001 entries before it are loaded" in err
        assert len(contents(tmp_path / "db")) == 1001

    def test_a_key_that_is_too_long_is_an_error_of_its_line(self, run: Run, tmp_path: Path) -> None:
        status, _, err = run("load", tmp_path / "db", stdin=b"a\tb\n" + b"k" * 70_000 + b"\tb\n")
        assert status == 1
        assert b"standard input, line 2: " in err
        assert contents(tmp_path / "db") == {b"a": b"b"}

    def test_a_missing_file_makes_no_database(self, run: Run, tmp_path: Path) -> None:
        status, _, err = run("load", tmp_path / "db", tmp_path / "none")
        assert status == 1
        assert err == f"lsmkv: {tmp_path / 'none'}: No such file or directory\n".encode()
        assert not (tmp_path / "db").exists()


class TestUpkeep:
    def test_stats(self, run: Run, path: Path) -> None:
        status, out, _ = run("stats", path)
        assert status == 0
        assert b"last_sequence" in out
        assert json.loads(run("stats", path, "--json")[1])["levels"]

    def test_verify_of_a_good_and_a_damaged_database(self, run: Run, path: Path) -> None:
        assert run("compact", path)[0] == 0
        status, out, _ = run("verify", path)
        assert status == 0
        assert b"no damage" in out
        (table,) = path.glob("*.sst")
        data = bytearray(table.read_bytes())
        data[50] ^= 1
        table.write_bytes(data)
        status, out, _ = run("verify", path)
        assert status == 1
        assert table.name.encode() in out
        status, out, _ = run("verify", path, "--json")
        assert status == 1
        report = json.loads(out)
        assert not report["ok"]
        assert len(report["problems"]) == 1

    def test_verify_names_all_damage_where_an_open_is_refused(self, run: Run, path: Path) -> None:
        with lsmkv.open(path, background="inline") as db:
            for name in (b"x", b"y"):
                db.put(name, b"1")
                db.flush()
        damaged = sorted(path.glob("*.sst"))
        assert len(damaged) == 3
        for table in damaged:
            data = bytearray(table.read_bytes())
            data[-1] ^= 1
            table.write_bytes(data)
        manifest = (path / "CURRENT").read_text().strip()
        (path / "CURRENT").write_text("garbage\n")
        assert run("scan", path)[0] == 1
        status, out, err = run("verify", path)
        assert (status, err) == (1, b"")
        assert b"4 damaged" in out
        assert all(table.name.encode() in out for table in damaged)
        assert b"CURRENT at byte 0" in out
        (path / "CURRENT").write_text(f"{manifest}\n")
        status, out, _ = run("verify", path, "--json")
        assert status == 1
        problems = json.loads(out)["problems"]
        assert [problem["path"] for problem in problems] == [str(table) for table in damaged]
        assert all(problem["offset"] is not None for problem in problems)

    def test_compact_says_what_it_saved(self, run: Run, path: Path) -> None:
        status, out, _ = run("compact", path)
        assert status == 0
        assert out.startswith(b"tables: ")
        assert contents(path)[b"a"] == b"1"

    def test_checkpoint(self, run: Run, path: Path, tmp_path: Path) -> None:
        assert run("checkpoint", path, tmp_path / "copy")[0] == 0
        assert contents(tmp_path / "copy") == contents(path)
        status, _, err = run("checkpoint", path, tmp_path / "copy")
        assert status == 1
        assert err.endswith(b"exists already\n")

    def test_repair(self, run: Run, path: Path) -> None:
        expected = contents(path)
        (path / "CURRENT").write_bytes(b"garbage")
        assert run("scan", path)[0] == 1
        status, out, _ = run("repair", path)
        assert status == 0
        assert b"entries kept" in out
        assert contents(path) == expected
        assert "problems" in json.loads(run("repair", path, "--json")[1])

    def test_a_database_that_is_open_is_left_alone(self, run: Run, path: Path) -> None:
        with lsmkv.open(path):
            status, _, err = run("put", path, "k", "v")
        assert status == 1
        assert b"already open" in err

    def test_dump_of_every_file_of_a_database(self, run: Run, path: Path) -> None:
        run("compact", path)
        for file in path.iterdir():
            status, out, err = run("dump", file)
            assert (status, err) == (0, b"")
            assert len(out.splitlines()) >= 2
        (table,) = path.glob("*.sst")
        pieces = [json.loads(line) for line in run("dump", table, "--json")[1].splitlines()]
        assert pieces[0]["offset"] == 0
        assert rb"'bin\x00\xff' @" in run("dump", table, "--entries")[1]

    def test_dump_of_a_damaged_file_is_status_1(self, run: Run, path: Path) -> None:
        (path / "CURRENT").write_bytes(b"garbage")
        status, out, _ = run("dump", path / "CURRENT")
        assert status == 1
        assert b"DAMAGED: " in out


class TestFrame:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["nonsense"],
            ["get", "db"],
            ["scan", "db", "--limit", "-1"],
            ["put", "db", "key"],
            ["put", "db", "key", "value", "--stdin"],
            ["get", "db", "xyz", "--hex"],
            ["get", "db", "?", "--base64"],
            ["get", "db", "k", "--hex", "--base64"],
            ["demo"],
        ],
    )
    def test_wrong_usage_is_status_2(self, run: Run, arguments: list[str]) -> None:
        status, out, err = run(*arguments)
        assert (status, out) == (2, b"")
        assert err

    def test_version_and_help(self, run: Run) -> None:
        status, out, _ = run("--version")
        assert status == 0
        assert out.startswith(b"lsmkv ")
        listing = run("--help")[1].decode()
        for command in ("put", "get", "del", "scan", "load", "dump-db", "stats", "verify"):
            assert f"\n    {command} " in listing

    @pytest.mark.parametrize(
        ("error", "status", "message"),
        [
            (KeyboardInterrupt(), 130, b"interrupted\n"),
            (MemoryError(), 1, b"lsmkv: out of memory\n"),
            (lsmkv.Error("two\x1blines"), 1, b"lsmkv: two\\x1blines\n"),
            (PermissionError(13, "Permission denied", "x"), 1, b"lsmkv: x: Permission denied\n"),
            (ValueError(), 1, b"lsmkv: ValueError\n"),
        ],
    )
    def test_errors_become_one_line_and_a_status(
        self,
        run: Run,
        path: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: BaseException,
        status: int,
        message: bytes,
    ) -> None:
        def fail(*arguments: object, **keywords: object) -> None:
            raise error

        monkeypatch.setattr(lsmkv, "open", fail)
        assert run("get", path, "a") == (status, b"", message)

    def test_other_packages_add_commands_and_cannot_break_ours(
        self, run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        group = main_module.ENTRY_POINT_GROUP
        entries = [
            metadata.EntryPoint("engine", "lsmkv.cli.commands:register", group),
            metadata.EntryPoint("extra", f"{__name__}:register_extra", group),
            metadata.EntryPoint("broken", "no_such_module:register", group),
        ]
        monkeypatch.setattr(metadata, "entry_points", lambda group: entries)
        status, out, err = run("extra")
        assert (status, out) == (7, b"")
        assert b"no_such_module:register are not available" in err
        assert run("get", path, "a") == (0, b"1", b"")  # nobody else was asked
        assert b"are not available" in run("demo", "engine", "--help")[2]  # a group of all


def register_extra(commands: main_module.Commands) -> None:
    """What another package's entry point looks like."""
    commands.add_parser("extra").set_defaults(run=lambda arguments: 7)


class TestOnATerminal:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    @pytest.fixture
    def shown(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
        """Runs a command line whose output is a terminal of 40 ASCII columns."""
        monkeypatch.setenv("COLUMNS", "40")

        def run_command(*argv: object) -> str:
            terminal = self.Terminal(io.BytesIO(), encoding="ascii")
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", terminal)
                assert main([str(argument) for argument in argv]) == 0
            return terminal.buffer.getvalue().decode("ascii")

        return run_command

    def test_get_keeps_lines_and_disarms_control_bytes(
        self, shown: Callable[..., str], path: Path
    ) -> None:
        assert shown("get", path, "\u00e9") == "two\nlines\n"
        assert shown("get", path, r"bin\x00\xff", "--escaped") == "\\xfe\\n\\t\\\\\n"[:-1] + "\n"

    def test_scan_cuts_long_values(self, shown: Callable[..., str], path: Path) -> None:
        with lsmkv.open(path) as db:
            db.put(b"a", b"x" * 1000)
        lines = shown("scan", path).splitlines()
        assert lines[0] == f"a  {'x' * 34}..."
        assert lines[2] == r"\xe9  two\nlines"

    def test_stats_begins_with_a_picture(self, shown: Callable[..., str], path: Path) -> None:
        with lsmkv.open(path) as db:
            db.flush()
        assert shown("stats", path).startswith("L0  ###")
