"""Proves that the script runner fails on a difference and that --rewrite changes only outputs."""

from pathlib import Path

import pytest

from tests.support.datadriven import Case, ScriptError, parse_script, run_script, scripts

SCRIPT = """\
# what it is about

add scale=10
1
2
----
30

# nothing comes out
quiet now
----

add
4
----
4
"""


def handle(case: Case) -> str:
    if case.command == "quiet":
        assert case.arguments == ("now",)
        return ""
    return str(sum(map(int, case.input)) * case.integer("scale", 1))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text(SCRIPT)
    return path


def test_parses_command_arguments_options_input_and_expected_output() -> None:
    first, second, third = parse_script(SCRIPT)
    assert (first.command, first.options, first.input) == ("add", {"scale": "10"}, ("1", "2"))
    assert (first.expected, first.line) == ("30", 3)
    assert (second.arguments, second.expected) == (("now",), "")
    assert third.expected == "4"


def test_passes_when_all_outputs_agree(script: Path) -> None:
    run_script(script, handle)


def test_a_difference_fails_and_names_its_line(script: Path) -> None:
    script.write_text(SCRIPT.replace("30", "31"))
    with pytest.raises(AssertionError, match=r"a\.txt:3: add"):
        run_script(script, handle)


def test_rewrite_restores_expected_output_and_keeps_all_else(script: Path) -> None:
    script.write_text(SCRIPT.replace("30", "31\nand more"))
    run_script(script, handle, rewrite=True)
    assert script.read_text() == SCRIPT


@pytest.mark.parametrize("text", ["add\n1\n", "add\n1\n\n----\n", "add\n1"])
def test_a_case_without_separator_is_refused(text: str) -> None:
    with pytest.raises(ScriptError, match="line 1"):
        list(parse_script(text))


def test_output_with_a_blank_line_is_refused(script: Path) -> None:
    with pytest.raises(ScriptError, match="blank line"):
        run_script(script, lambda case: "a\n\nb")


def test_an_empty_script_or_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ScriptError, match="no case"):
        run_script(tmp_path / "empty.txt", handle)
    with pytest.raises(ScriptError, match="no scripts"):
        scripts(tmp_path / "missing")
