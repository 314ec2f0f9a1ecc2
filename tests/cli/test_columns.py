"""-c: one meaning in every command that takes it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

Run = Callable[..., Result]


def command(name: str, data: Path, folder: Path) -> list[Any]:
    extra = {"head": [], "bench": ["--seconds", 0.02], "convert": [folder / "out", "--to", "parquet"]}
    return [name, data, *extra[name]]


@pytest.mark.parametrize("name", ["head", "bench", "convert"])
def test_columns_are_named_with_commas_or_one_by_one(run: Run, tmp_path: Path, name: str) -> None:
    data = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1, 2], "text": ["a", "b"], "x,y": [3, 4]}), data)
    for number, given in enumerate((["-c", "id,text"], ["-c", "id", "-c", "text"], ["-c", "x,y", "-c", "id"])):
        told = run(*command(name, data, tmp_path / str(number)), *given)
        assert told.exit_code == 0, told.output
    for given in (["-c", "nocol"], ["-c", "id,nocol"], ["-c", "id,id"]):
        told = run(*command(name, data, tmp_path / "wrong"), *given)
        assert told.exit_code == 2, told.output
        assert "column" in told.stderr
