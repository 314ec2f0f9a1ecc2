"""`import rowmill` is cheap and needs no torch."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from shards import write_shards

import rowmill

_BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.split(".")[0] in {blocked} else find_spec(name, *rest)
"""


def run(code: str, *arguments: str, blocked: tuple[str, ...] = ()) -> str:
    path = [entry for entry in sys.path if entry]
    setup = f"import sys; sys.path[:] = {path!r}\n" + _BLOCK.format(blocked=set(blocked) or "()")
    done = subprocess.run(
        [sys.executable, "-c", setup + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_import_and_open_bring_in_no_heavy_module(tmp_path: Path) -> None:
    write_shards(tmp_path)
    code = """
        import sys, rowmill
        rowmill.RowmillError, dir(rowmill)
        heavy = {"torch", "pyarrow", "datasets", "pandas", "polars", "numpy", "torchdata", "huggingface_hub", "rich"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        rowmill.DataLoader if len(sys.argv) > 2 else None
        ds = rowmill.open(sys.argv[1]).shuffle(1)
        assert len(ds) == 70
        assert not {"pyarrow", "datasets", "pandas", "polars"} & set(sys.modules)
    """
    run(code, str(tmp_path))


def test_without_torch_rows_and_numpy_batches_are_read_and_resumed(tmp_path: Path) -> None:
    write_shards(tmp_path)
    code = """
        import itertools, sys, rowmill
        ds = rowmill.open(sys.argv[1]).shuffle(seed=3).select_columns(["id", "tokens", "text"])
        assert sorted(row["id"] for row in ds) == list(range(70))
        ds.set_epoch(0)
        batched = ds.batch(8)
        loader = batched.loader()
        read = [batch["id"].tolist() for batch in itertools.islice(loader, 3)]
        other = ds.batch(8)
        other.load_state_dict(loader.state_dict())
        batches = list(other)
        assert type(batches[0]["tokens"]).__name__ == "ndarray" and batches[0]["tokens"].shape == (8, 8)
        assert isinstance(batches[0]["text"], list)
        print(sum(read, []) + [int(n) for batch in batches for n in batch["id"]])
        assert "torch" not in sys.modules
        try:
            ds.with_format("torch").batch(4)
            next(iter(ds.with_format("torch").batch(4)))
        except Exception as error:
            assert "torch" in str(error), error
        else:
            raise SystemExit("torch tensors without torch")
        try:
            rowmill.DataLoader(ds)
        except ImportError as error:
            assert "ds.loader()" in str(error), error
        else:
            raise SystemExit("torch's DataLoader without torch")
    """
    order = rowmill.open(tmp_path).shuffle(seed=3).row_ids(0, 70)
    assert run(code, str(tmp_path), blocked=("torch", "torchdata")).strip() == str(order)


def test_reading_dicts_and_numpy_needs_no_pyarrow(tmp_path: Path) -> None:
    write_shards(tmp_path)
    code = """
        import sys, rowmill
        ds = rowmill.open(sys.argv[1]).shuffle(seed=3)
        assert len(list(ds)) == 70
        assert len(list(ds.select_columns(["id", "tokens"]).batch(7))) == 10
        assert "pyarrow" not in sys.modules
    """
    run(code, str(tmp_path), blocked=("torch", "pyarrow"))


def test_every_public_name_is_there_and_no_other() -> None:
    assert set(rowmill.__all__) <= set(dir(rowmill))
    for name in rowmill.__all__:
        assert getattr(rowmill, name) is not None
    assert not hasattr(rowmill, "no_such_name")
