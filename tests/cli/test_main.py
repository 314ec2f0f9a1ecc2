"""What all commands share: help, exit statuses, errors as one paragraph, a quick start."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import rowmill
from rowmill.exceptions import MissingShardError

COMMANDS = (
    "demo",
    "index",
    "inspect",
    "head",
    "verify",
    "rows",
    "state",
    "bench",
    "cache",
    "convert",
    "presets",
    "registry",
    "push",
    "download",
    "preflight",
)
Run = Callable[..., Result]


def without_colours(text: str) -> str:
    # typer forces colours on some CI.
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_help_names_every_command(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(f" {name} " in without_colours(result.output) for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: rowmill {command}" in without_colours(result.output)


def test_version_is_the_packages(run: Run) -> None:
    assert run("--version").output.split() == ["rowmill", rowmill.__version__]


def test_help_imports_none_of_the_heavy_companions() -> None:
    code = (
        "import sys\n"
        "from rowmill.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pyarrow', 'numpy', 'matplotlib', 'rowmill._rust'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_bad_file_is_one_paragraph_and_status_1(run: Run, tmp_path: Path) -> None:
    result = run("inspect", tmp_path / "nothing.arrow")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "nothing.arrow" in result.stderr


def test_debug_shows_the_error_itself(run: Run, tmp_path: Path) -> None:
    result = run("--debug", "inspect", tmp_path / "nothing.arrow")
    assert isinstance(result.exception, MissingShardError)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch"],
        ["inspect"],
        ["rows", "x"],
        ["rows", "x", "--step", "0", "--mode", "sideways"],
        ["rows", "x", "--step", "-1"],
        ["state", "show", "nosuch.json"],
        ["bench", "x", "--compare", "sideways"],
        ["head", "x", "--row-id", "1", "--shuffle", "2"],
        ["cache", "clear", "--kind", "everything"],
        ["demo", "--steps", "50", "--kill-at", "49"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_status_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_what_is_unexpected_is_one_paragraph_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowmill.cli.inspect.open_dataset", lambda *_, **__: {}["nothing"])
    result = run("inspect", "x")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: unexpected KeyError: 'nothing'")
    assert "--debug" in result.stderr


def test_the_package_runs_as_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "rowmill", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["rowmill", rowmill.__version__]


def test_commands_complete_in_a_shell() -> None:
    code = "from rowmill.cli.main import main; main()"
    variables = {**os.environ, "_ROWMILL_COMPLETE": "complete_bash", "COMP_WORDS": "rowmill ve", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=variables)
    assert done.stdout.split() == ["verify"]


@pytest.mark.parametrize("command", [*COMMANDS, "state show", "state diff", "state merge", "cache list", "cache clear"])
def test_every_commands_help_has_an_example(run: Run, command: str) -> None:
    told = without_colours(run(*command.split(), "--help").output)
    assert f"rowmill {command}" in told.split("Usage:")[1].split("\n", 1)[1] or command in (
        "state",
        "cache",
        "registry",
    )
