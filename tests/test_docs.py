"""Every Python block of the README and the docs runs, and what they point to is there."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_client import hub_environment
from hub_server import HubServer

import rowmill

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A comment above a block names what goes beyond NumPy and pyarrow in it; `nothing runs it` marks what cannot run here.
BLOCK = re.compile(r"^(?:<!-- (needs|nothing runs it): ([^>]*) -->\n)?```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What most of a page's examples need.
NEEDS = {
    "README.md": ["torch"],
    "recipes.md": ["torch", "torchdata"],
    "formats.md": ["torch"],
    "pretraining.md": ["torch"],
    "hub.md": ["huggingface_hub"],
    "mixing.md": ["torch"],
    "presets.md": ["torch"],
    "fine-tuning.md": ["torch"],
}
MAX_NOT_RUN = 4


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """Each block that runs, with the line that it begins at and what it needs."""
    text = page.read_text(encoding="utf-8")
    found = [
        (text.count("\n", 0, match.start(3)), match[3], match[1], match[2] or "") for match in BLOCK.finditer(text)
    ]
    return [(line, source, needs) for line, source, kind, needs in found if kind != "nothing runs it"]


@pytest.fixture
def docs_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Hub with the repository of the docs."""
    yaml = "---\nconfigs:\n- {config_name: en, data_files: [%s]}\n- {config_name: fr, data_files: fr/*}\n---\n"
    splits = "{split: train, path: en/train-*}, {split: test, path: en/test-*}"
    shards = rowmill.convert(rowmill.open("data"), "as-parquet", to="parquet", num_shards=3)["shards"]
    files = {f"en/train-{index}.parquet": Path("as-parquet", shard["name"]) for index, shard in enumerate(shards)}
    files |= {"en/test-0.parquet": files["en/train-0.parquet"], "fr/x.parquet": files["en/train-0.parquet"]}
    with HubServer() as hub:
        hub.create_repo("alice/stories", {**files, "README.md": yaml % splits})
        for name, value in hub_environment(hub, tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_examples_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for name in NEEDS.get(page.name, []):
        pytest.importorskip(name)
    rowmill.demo.write_shards(tmp_path / "data", num_shards=3)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    if page.name == "hub.md":
        request.getfixturevalue("docs_hub")
    for line, source, needs in blocks(page):
        if not all(importlib.util.find_spec(name.strip()) for name in needs.split(",") if name.strip()):
            continue
        # The file's own lines, so that a traceback shows where the page is wrong.
        exec(compile("\n" * line + source, str(page), "exec"), names)


def test_pages_with_examples_are_found() -> None:
    assert len([page for page in PAGES if blocks(page)]) >= 6


def test_nearly_every_example_runs() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert sum(text.count("<!-- nothing runs it:") for text in texts) <= MAX_NOT_RUN
    # No block hides from the expression above.
    assert sum(len(BLOCK.findall(text)) for text in texts) == sum(len(re.findall(r"```py", text)) for text in texts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http")]
    missing = [link for link in links if not (page.parent / link.split("#")[0]).exists()]
    assert not missing


def test_the_site_lists_every_page() -> None:
    listed = set(re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {page.name for page in PAGES[1:]}


def test_the_command_page_tells_of_every_command() -> None:
    from rowmill.cli.main import app

    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    told = set(re.findall(r"^## rowmill (\w+)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE))
    assert told == names


def test_lines_are_short_enough_to_read() -> None:
    long = [
        f"{page.name}:{number}"
        for page in PAGES
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 128 and not line.startswith(("|", "<"))
    ]
    assert not long
