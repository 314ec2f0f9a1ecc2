"""The table of a project's data sets: TOML that people edit too, the README, and what is on the disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from shards import write_shards
from typer.testing import CliRunner

from rowmill.cli.main import app
from rowmill.exceptions import CorruptShardError, DatasetNotFoundError
from rowmill.hub.registry import Entry, open_registry

pytest.importorskip("tomlkit")
SHA = "0123456789abcdef0123456789abcdef01234567"


def run(project: Path, *arguments: object, status: int = 0) -> Any:
    given = ["registry", *map(str, arguments), "--project", str(project), "--json"]
    result = CliRunner().invoke(app, given, prog_name="rowmill")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else result.stderr


def test_init_makes_a_project_once_and_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n/outputs/")
    (tmp_path / "README.md").write_text("# mine\n\ntext")
    assert run(tmp_path, "init")["changed"] == [".gitignore", "README.md", "data/", "outputs/", "rowmill.toml"]
    assert (tmp_path / ".gitignore").read_text() == "*.log\n/outputs/\ndata/\n"
    assert (tmp_path / "README.md").read_text().startswith("# mine\n\ntext\n\n## Data\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert run(tmp_path, "init")["changed"] == []
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_a_data_set_is_added_shown_checked_and_removed(tmp_path: Path) -> None:
    run(tmp_path, "init")
    write_shards(tmp_path / "data" / "web")
    entry = run(tmp_path, "add", "web", "--repo", "acme/web", "--sha", SHA, "--use", "a | b")
    assert entry["rows"] == 70
    assert entry["folder"] == "data/web"
    assert run(tmp_path, "list") == [entry]
    readme = (tmp_path / "README.md").read_text()
    assert r"| web | acme/web | 0123456789ab | `data/web` | 70 | a \| b |" in readme
    assert run(tmp_path, "check") == {"ok": True, "problems": [], "num_datasets": 1}
    assert run(tmp_path, "remove", "web")["name"] == "web"
    assert run(tmp_path, "list") == []
    assert "acme/web" not in (tmp_path / "README.md").read_text()
    assert (tmp_path / "data" / "web").is_dir()


def test_what_people_wrote_into_the_file_stays(tmp_path: Path) -> None:
    text = f'# ours\n[tool]\nx = 1  # one\n\n[datasets.web]  # the web\nrepo = "acme/web"\nsha = "{SHA}"  # pinned\n'
    (tmp_path / "rowmill.toml").write_text(text)
    registry = open_registry(tmp_path)
    registry.add(Entry("code", "data/code", "acme/code", SHA, rows=3))
    kept = (tmp_path / "rowmill.toml").read_text()
    assert all(part in kept for part in ("# ours", "x = 1  # one", "[datasets.web]  # the web", "# pinned"))
    assert list(open_registry(tmp_path).entries) == ["web", "code"]
    assert open_registry(tmp_path).entries["code"] == Entry("code", "data/code", "acme/code", SHA, rows=3)


def test_two_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    first, second = open_registry(tmp_path), open_registry(tmp_path)
    first.add(Entry("web", "data/web"))
    second.add(Entry("code", "data/code"))
    assert list(open_registry(tmp_path).entries) == ["web", "code"]
    with pytest.raises(ValueError, match="has a data set web already"):
        second.add(Entry("web", "data/web"))
    first.remove("code")
    assert list(open_registry(tmp_path).entries) == ["web"]


def test_check_names_what_differs(tmp_path: Path) -> None:
    run(tmp_path, "init")
    write_shards(tmp_path / "data" / "web")
    run(tmp_path, "add", "web", "--repo", "acme/web", "--sha", SHA, "--rows", 71)
    run(tmp_path, "add", "gone", "--repo", "acme/gone", "--sha", SHA, "--split", "test")
    open_registry(tmp_path).add(Entry("loose", "data/web", "acme/loose"))
    (tmp_path / "README.md").write_text((tmp_path / "README.md").read_text().replace("71", "72"))
    told = run(tmp_path, "check", status=1)["problems"]
    assert told[0] == "web: 70 rows, and not 71"
    assert told[1].endswith(f"rowmill download acme/gone --split test --revision {SHA} --to data/gone")
    assert "acme/loose is not pinned" in told[2]
    assert told[3].startswith("README.md: its table is not that of rowmill.toml")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../web"},
        {"folder": "../elsewhere"},
        {"folder": "/etc"},
        {"folder": "C:\\data"},
        {"folder": "data\\..\\..\\x"},
        {"sha": "main"},
        {"repo": "acme/../web"},
    ],
    ids=str,
)
def test_no_entry_leads_out_of_the_project(tmp_path: Path, wrong: dict[str, str]) -> None:
    entry = {"name": "web", "folder": "data/web", "repo": "acme/web", "sha": SHA, **wrong}
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is "):
        open_registry(tmp_path).add(Entry(**entry))
    assert not (tmp_path / "rowmill.toml").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[datasets.web", "is no TOML"),
        ("datasets = 3", "datasets must be tables"),
        ("[datasets]\nweb = 3", "web must be a table"),
        ("[datasets.web]\nwhat = 3", "which nobody knows"),
        ("[datasets.web]\nrows = true", "which it cannot be"),
    ],
)
def test_a_damaged_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "rowmill.toml").write_text(text)
    with pytest.raises(CorruptShardError, match=told) as caught:
        open_registry(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_names_are_taken_once_and_unknown_ones_are_told(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    registry.add(Entry("web", "data/web"))
    with pytest.raises(ValueError, match="--replace"):
        registry.add(Entry("web", "data/other"))
    registry.add(Entry("web", "data/other"), replace=True)
    assert open_registry(tmp_path).entries["web"].folder == "data/other"
    with pytest.raises(DatasetNotFoundError, match="it has web"):
        registry.remove("wab")


def test_a_readme_whose_end_mark_is_lost_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path, "init")
    cut = (tmp_path / "README.md").read_text().replace("<!-- rowmill registry: end -->", "my text")
    (tmp_path / "README.md").write_text(cut)
    with pytest.raises(CorruptShardError, match="where the table ends"):
        open_registry(tmp_path).add(Entry("web", "data/web"))
    assert (tmp_path / "README.md").read_text() == cut


def test_the_command_that_fetches_can_be_pasted_whatever_the_folder_is_called(tmp_path: Path) -> None:
    run(tmp_path, "init")
    run(tmp_path, "add", "web", "--repo", "acme/web", "--sha", SHA, "--folder", "data/my set; true")
    assert run(tmp_path, "check", status=1)["problems"][0].endswith("--to 'data/my set; true'")


def test_a_missing_package_is_no_bug_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    told = run(tmp_path, "init", status=1)
    assert told.startswith("error: writing rowmill.toml needs tomlkit: pip install")
