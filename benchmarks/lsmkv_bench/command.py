"""The command `lsmkv bench`: what to measure, and where the report goes.

Only what its arguments need is imported before it runs: every `lsmkv` command loads this module.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lsmkv.cli.arguments import Commands, UsageError, add_command
from lsmkv.cli.output import Output, note
from lsmkv.errors import Error

if TYPE_CHECKING:
    from lsmkv_bench.plans import Plan
    from lsmkv_bench.results import Report

__all__ = ["register"]

EXTRA = "pip install 'lsmkv[bench]'"


def register(commands: Commands) -> None:
    """Add `bench`, `bench compare` and `bench scale`."""
    parser = add_command(
        commands,
        "bench",
        run_bench,
        "measure lsmkv beside other embedded databases",
        "Every run is a process of its own, the engines take turns, and their results are "
        "compared. About a quarter of an hour; --quick takes a minute, --full hours.",
        database=False,
    )
    sets = parser.add_mutually_exclusive_group()
    for name, summary in (("quick", "fewer entries and workloads"), ("full", "everything")):
        sets.add_argument(
            f"--{name}",
            dest="set",
            action="store_const",
            const=name,
            default="default",
            help=summary,
        )
    _add_choices(parser)
    parser.add_argument("--entries", type=_at_least(2), metavar="N", help="number of keys")
    parser.add_argument("--value-size", metavar="BYTES,...", help="sizes of values")
    parser.add_argument("--keys", metavar="KIND,...", help="decimal, binary, realistic")
    _add_outputs(parser)
    subcommands = parser.add_subparsers(dest="bench_command", metavar="COMMAND")
    compare = add_command(
        subcommands, "compare", run_compare, "compare two result files", database=False
    )
    compare.add_argument("old", metavar="OLD.json", type=Path)
    compare.add_argument("new", metavar="NEW.json", type=Path)
    scale = add_command(
        subcommands,
        "scale",
        run_scale,
        "how times, disk space and memory grow with the number of entries",
        "Includes a sustained fill with the latency of every put, and a control that writes as "
        "many bytes into a mapped file without any database.",
        database=False,
    )
    scale.add_argument(
        "--entries", metavar="N,...", help="numbers of keys (default: 1, 10 and 50 million)"
    )
    _add_choices(scale)
    _add_outputs(scale)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engines", metavar="NAME,...", help="which (default: all installed)")
    parser.add_argument("--workloads", metavar="NAME,...", help="names, or how they begin")
    parser.add_argument("--rounds", type=_at_least(1), metavar="N", help="how often (default: 5)")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="results; a file of the same plan is continued"
    )
    parser.add_argument("--resume", type=Path, metavar="FILE", help="continue this --json file")
    parser.add_argument("--html", type=Path, metavar="FILE", help="a page with plots")
    parser.add_argument("--png", type=Path, metavar="FILE", help="the plots as a picture")
    parser.add_argument(
        "--markdown",
        nargs="?",
        type=Path,
        const=Path("-"),
        metavar="FILE",
        help="tables in Markdown (default: to standard output)",
    )
    parser.add_argument(
        "--path",
        type=Path,
        metavar="DIR",
        default=Path(tempfile.gettempdir()),
        help="where databases are made and deleted (default: the system's temporary folder)",
    )


def _at_least(low: int) -> Callable[[str], int]:
    """A type of argument."""

    def number(text: str) -> int:
        if int(text) < low:
            raise ValueError(text)
        return int(text)

    return number


# --- commands ------------------------------------------------------------------------------------


def run_bench(arguments: argparse.Namespace) -> int:
    from lsmkv_bench import plans
    from lsmkv_bench.plans import Request

    engines = _available(_words(arguments.engines) or plans.PEERS)
    request = Request(
        set=arguments.set,
        engines=tuple(engines),
        workloads=tuple(_words(arguments.workloads)),
        entries=arguments.entries,
        value_sizes=tuple(_numbers(arguments.value_size)),
        key_kinds=tuple(_words(arguments.keys)),
        rounds=arguments.rounds,
    )
    return _run(arguments, plans.make_plan(request, engines))


def run_scale(arguments: argparse.Namespace) -> int:
    from lsmkv_bench import plans

    engines = _available(_words(arguments.engines) or plans.SCALE_PEERS)
    entries = _numbers(arguments.entries) or plans.SCALE_ENTRIES
    plan = plans.make_scale_plan(entries, engines, _words(arguments.workloads), arguments.rounds)
    return _run(arguments, plan)


def run_compare(arguments: argparse.Namespace) -> int:
    from lsmkv_bench import compare
    from lsmkv_bench.results import read_report

    Output().line(compare.render(read_report(arguments.old), read_report(arguments.new)))
    return 0


def _run(arguments: argparse.Namespace, plan: Plan) -> int:
    from lsmkv_bench import runner
    from lsmkv_bench.results import write_report

    _check_extras(arguments)
    file, report = _begin(arguments, plan)
    finished = runner.run_plan(
        plan,
        report,
        run_job=runner.spawn,
        folder=arguments.path,
        save=lambda report: write_report(file, report) if file is not None else None,
        tell=note,
    )
    if finished.report.runs:
        _write_outputs(arguments, finished.report)
    for complaint in finished.complaints:
        note(f"lsmkv bench: {complaint}")
    return 1 if finished.complaints else 0


def _begin(arguments: argparse.Namespace, plan: Plan) -> tuple[Path | None, Report]:
    """The file to keep and the report to go on with."""
    from lsmkv_bench import machine
    from lsmkv_bench.results import Report, read_report

    here, planned = machine.describe(arguments.path), plan.as_json()
    file: Path | None = arguments.resume or arguments.json
    if arguments.resume is not None and not arguments.resume.exists():
        raise Error(f"{arguments.resume}: there is nothing to resume")
    if file is not None and file.exists():
        report = read_report(file)
        for what, found, wanted in (
            ("machine", report.machine, here),
            ("plan", report.plan, planned),
        ):
            if found != wanted:
                raise Error(f"{file} is of another {what}: choose another file, or delete it")
        return file, report
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return file, Report(started, here, planned, {}, [])


def _write_outputs(arguments: argparse.Namespace, report: Report) -> None:
    from lsmkv_bench import terminal

    output = Output()
    if arguments.markdown is not None:
        from lsmkv_bench import markdown

        text = markdown.render(report)
        if arguments.markdown == Path("-"):
            output.line(text)
        else:
            arguments.markdown.write_text(text + "\n", encoding="utf-8")
    if arguments.markdown != Path("-"):
        output.line(terminal.render(report))
    if arguments.html is not None:
        from lsmkv_bench import page

        page.write(report, arguments.html)
    if arguments.png is not None:
        from lsmkv_bench import plots

        plots.write_png(report, arguments.png)


# --- arguments -----------------------------------------------------------------------------------


def _available(names: tuple[str, ...] | list[str]) -> list[str]:
    """Those that are installed; a note about each of the others."""
    from lsmkv_bench.engines import ENGINES, installed

    unknown = [name for name in names if name not in ENGINES]
    if unknown:
        raise UsageError(f"no such engine: {', '.join(unknown)}. There are {', '.join(ENGINES)}")
    found = installed(list(names))
    for name in names:
        if name not in found:
            note(f"{name} is not installed and left out: {ENGINES[name].install}")
    return found


def _check_extras(arguments: argparse.Namespace) -> None:
    """Before hours are spent on a report that could not be drawn."""
    from importlib.util import find_spec

    if arguments.png is not None and find_spec("matplotlib") is None:
        raise Error(f"--png needs matplotlib: {EXTRA}")
    if not arguments.path.is_dir():
        raise UsageError(f"{arguments.path} is no directory")


def _words(text: str | None) -> list[str]:
    return [word for word in (text or "").split(",") if word]


def _numbers(text: str | None) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise UsageError(f"{text!r} is no list of numbers") from None
