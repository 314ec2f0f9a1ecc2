"""Which file may import what, how long files may grow, and what workflows may run."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "rowmill"
PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

# Which files may import a heavy companion at all, even inside a function.
IMPORTERS = {
    "torch": {"torch.py", "cli/demo.py", "demo/*", "train/*"},
    "torchdata": {"torch.py", "cli/demo.py", "demo/*"},
    "huggingface_hub": {"hub/*"},
    "matplotlib": {"cli/bench.py", "cli/plot.py"},
}

# A layer (a module or a package of rowmill), and the layers that it must not know of.
ABOVE = {
    "stages": {"cli", "hub", "legacy", "presets"},
    "loader": {"cli", "hub", "legacy", "presets", "dataset", "stages"},
    "exceptions": {"cli", "hub", "legacy", "presets", "dataset", "stages", "loader", "torch", "_rust"},
    "dataset": {"cli", "presets"},
    "hub": {"cli"},
}


def imports(path: Path, *, top_level_only: bool = False) -> list[str]:
    """Names of the modules that a file imports, those for type checkers left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = []
    for node in nodes:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def relative(path: Path) -> str:
    """A file's place inside the package, as the tables above write it."""
    return path.relative_to(PACKAGE).as_posix()


def is_allowed(path: Path, patterns: set[str]) -> bool:
    return any(Path(relative(path)).match(pattern) for pattern in patterns)


def test_there_are_files_to_check() -> None:
    assert PYTHON_FILES, f"no Python file under {PACKAGE}"


@pytest.mark.parametrize("companion", sorted(IMPORTERS))
def test_only_named_files_import(companion: str) -> None:
    culprits = [
        relative(path)
        for path in PYTHON_FILES
        if not is_allowed(path, IMPORTERS[companion]) and any(name.split(".")[0] == companion for name in imports(path))
    ]
    assert not culprits, f"{companion} is imported by {culprits}, but only {sorted(IMPORTERS[companion])} may"


@pytest.mark.parametrize("companion", ["pyarrow", "datasets", "torch", "torchdata", "polars", "matplotlib"])
def test_no_file_imports_a_companion_when_it_is_imported(companion: str) -> None:
    culprits = [
        relative(path)
        for path in PYTHON_FILES
        if relative(path) != "torch.py"
        and any(name.split(".")[0] == companion for name in imports(path, top_level_only=True))
    ]
    assert not culprits, f"{culprits} import {companion} at module level: `import rowmill` would pay for it"


@pytest.mark.parametrize("layer", sorted(ABOVE))
def test_imports_go_one_way(layer: str) -> None:
    files = [path for path in PYTHON_FILES if relative(path).split("/")[0].removesuffix(".py") == layer]
    culprits = [
        f"{relative(path)} imports {name}"
        for path in files
        for name in imports(path, top_level_only=True)
        if name.startswith("rowmill.") and name.split(".")[1] in ABOVE[layer]
    ]
    assert not culprits


def test_only_the_binding_names_pyo3() -> None:
    outside = [path for part in ("rust/core", "benches/rust") for path in (ROOT / part).rglob("*.rs")]
    assert outside
    culprits = [
        str(path.relative_to(ROOT))
        for path in outside
        if path.name != "no_python.rs" and re.search(r"\bpyo3\b", path.read_text(encoding="utf-8"))
    ]
    assert not culprits


def test_no_file_grows_past_500_lines() -> None:
    sources = [*PYTHON_FILES, *(ROOT / "rust").glob("*/src/**/*.rs")]
    lengths = {
        # A Rust file's own tests stand at its end and do not count.
        path: path.read_text(encoding="utf-8").split("#[cfg(test)]\nmod tests")[0].count("\n")
        for path in sources
    }
    too_long = {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > 500}
    assert not too_long, f"split by reason to change: {too_long}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_actions_and_start_without_permissions(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    uses = re.findall(r"uses: *(\S+)(.*)", text)
    loose = [action for action, rest in uses if not re.search(r"@[0-9a-f]{40}$", action) or "# v" not in rest]
    assert not loose, f"pin by commit with the version in a comment: {loose}"
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert "concurrency:" in text
