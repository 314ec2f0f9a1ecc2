"""Shards of the sample, and a way to run commands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import rowmill
from rowmill.cli.main import app


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    rowmill.demo.write_shards(folder, num_shards=3)
    return folder


@pytest.fixture
def run() -> Callable[..., Result]:
    def run(*arguments: Any) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="rowmill")

    return run


@pytest.fixture
def run_json(run: Callable[..., Result]) -> Callable[..., Any]:
    def run_json(*arguments: Any, status: int = 0) -> Any:
        result = run(*arguments, "--json")
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)

    return run_json


@pytest.fixture
def dataset(sample: Path) -> rowmill.Dataset:
    return rowmill.open(sample).shuffle(seed=7).shard(1, 0).batch(8)


@pytest.fixture
def state_file(tmp_path: Path) -> Callable[[str, Any], Path]:
    def write(name: str, state: Any) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(state))
        return path

    return write
