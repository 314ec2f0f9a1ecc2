"""Dataset.cache: the same rows as without, written once, whole or resumed, by one of several; never stale."""

from __future__ import annotations

import collections
import datetime
import decimal
import functools
import importlib
import json
import logging
import math
import operator
import random
import re
import signal
import sys
import time
import types
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import cached_stream
from processes.caching import chain
from processes.launch import GENEROUS, environment, finish, start
from shards import write_shards

import rowmill
from rowmill.caching import background, build, in_blocks
from rowmill.caching.functions import digest_of

SCRIPT = Path(__file__).parent / "processes" / "caching.py"


def rows_of(ds: rowmill.Dataset) -> list[dict[str, Any]]:
    """Rows as plain values."""
    return [{name: plain(value) for name, value in row.items()} for row in ds.with_format("python").shard(1, 0)]


def plain(value: Any) -> Any:
    return (
        [plain(each) for each in value]
        if isinstance(value, (list, np.ndarray))
        else getattr(value, "item", lambda: value)()
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.fixture
def ds(tmp_path: Path) -> rowmill.Dataset:
    return rowmill.open(write_shards(tmp_path / "data", [150, 0, 121], columns=["id", "text"]))


def long(row: dict[str, Any]) -> bool:
    return len(row["text"]) % 3 > 0


def twice(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"text": [text for text in columns["text"] for _ in range(2)]}


STEPS: dict[str, Callable[[rowmill.Dataset], rowmill.Dataset]] = {
    "map": lambda ds: ds.map(lambda row: {"n": len(row["text"]), "text": row["text"] + "!"}),
    "filter": lambda ds: ds.filter(long),
    "batched": lambda ds: ds.map(twice, batched=True, batch_size=7, remove_columns=ds.column_names),
    "take": lambda ds: ds.skip(3).take(90),
    "select": lambda ds: ds.select_columns(["text"]),
}


@given(st.lists(st.sampled_from(["map", "filter", "select"]), max_size=3), st.booleans(), st.sampled_from([0, 1, 40]))
def test_cached_rows_are_those_of_the_pipeline(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], tokenized: bool, length: int
) -> None:
    folder = tmp_path_factory.mktemp("case")
    made = rowmill.open(write_shards(folder / "data", [35, 0, 21], block_rows=9, columns=["id", "text"]))
    for name in names:
        made = STEPS[name](made)
    if tokenized:
        made = made.tokenize("bytes")
    if tokenized and length and not names:
        made = made.pack(length, document_ids=True)
    kept = made.cache(folder / "cached")
    expected = rows_of(made)
    assert rows_of(kept) == expected
    assert kept.num_rows == len(expected)


@pytest.mark.parametrize("name", STEPS)
def test_every_stage_can_be_cached_and_shuffled_after(tmp_path: Path, ds: rowmill.Dataset, name: str) -> None:
    made = STEPS[name](ds)
    kept = made.cache(tmp_path / "cached")
    expected = rows_of(made)
    assert rows_of(kept) == expected
    shuffled = kept.shuffle(5).shard(1, 0)
    order = shuffled.row_ids(0, kept.num_rows)
    assert sorted(order) == list(range(len(expected)))
    assert [{key: plain(value) for key, value in row.items()} for row in shuffled.with_format("python")] == [
        expected[row] for row in order
    ]


def test_what_functions_made_can_be_packed(tmp_path: Path, ds: rowmill.Dataset) -> None:
    kept = ds.map(lambda row: {"text": row["text"].upper()}).tokenize("bytes").cache(tmp_path)
    flat = [token for row in rows_of(kept) for token in row["input_ids"]]
    packed = [token for row in rows_of(kept.pack(32, labels=None)) for token in row["input_ids"]]
    assert packed[: len(flat)] == flat


def test_nothing_changed_writes_nothing(tmp_path: Path, ds: rowmill.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ds.tokenize("bytes").cache(tmp_path)
    monkeypatch.setattr(build, "_write", lambda *_: pytest.fail("it was written again"))
    again = ds.tokenize("bytes").cache(tmp_path)
    assert again.fingerprint == first.fingerprint
    # Order, rank, epochs and format are no part of what the rows are.
    other = ds.shuffle(3).shard(2, 1).repeat().with_format("numpy").tokenize("bytes").cache(tmp_path)
    assert other.fingerprint == first.fingerprint
    assert other._plan.order.mode == "window"
    assert other._plan.rank == (2, 1)


def test_what_changes_the_rows_is_another_cache(tmp_path: Path, ds: rowmill.Dataset) -> None:
    kept = [
        ds,
        ds.select_columns(["text"]),
        ds.take(5),
        ds.skip(5),
        ds.tokenize("bytes"),
        ds.tokenize("bytes", append_eos=False),
        ds.tokenize("bytes", keep_columns="id"),
        ds.tokenize("bytes").pack(8),
        ds.tokenize("bytes").pack(9),
        ds.tokenize("bytes").pack(9, mode="best_fit"),
        ds.map(lambda row: {"n": 1}),
        ds.map(lambda row: {"n": 2}),
        ds.map(lambda row, k: {"n": k}, fn_kwargs={"k": 1}),
        ds.map(lambda row, k: {"n": k}, fn_kwargs={"k": 2}),
        ds.filter(long),
        rowmill.open(write_shards(tmp_path / "other", [271], columns=["id", "text"])),
    ]
    folders = {next(iter(each.cache(tmp_path / "cached")._plan.source.options.paths)) for each in kept}
    assert len(folders) == len(kept)
    ds.cache(tmp_path / "cached", key="v2")
    assert len(list((tmp_path / "cached").glob("*/dataset.json"))) == len(kept) + 1


def test_what_depends_on_the_order_or_makes_batches_is_refused(tmp_path: Path, ds: rowmill.Dataset) -> None:
    with pytest.raises(rowmill.SchemaMismatchError, match=r"put .cache before .batch"):
        ds.batch(4).cache(tmp_path)
    with pytest.raises(rowmill.SchemaMismatchError, match="other rows in each epoch"):
        ds.shuffle(1).take(4).cache(tmp_path)
    assert not list(tmp_path.glob("*/dataset.json"))


def test_a_budget_is_an_error_that_names_both_numbers_and_can_be_raised(tmp_path: Path, ds: rowmill.Dataset) -> None:
    with pytest.raises(rowmill.DiskBudgetError, match=r"would take [\d,]+ bytes, more than max_bytes=1,000") as caught:
        ds.cache(tmp_path / "cached", max_bytes=1000)
    assert isinstance(caught.value, OSError)
    assert rows_of(ds.cache(tmp_path / "cached", max_bytes=10_000_000)) == rows_of(ds)


def test_a_disk_that_is_nearly_full_is_told_before_it_is(
    tmp_path: Path, ds: rowmill.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = build.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(build.shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(rowmill.DiskBudgetError, match="its disk has 1,048,576 left"):
        ds.cache(tmp_path / "cached")


def test_a_damaged_cache_is_written_again(tmp_path: Path, ds: rowmill.Dataset) -> None:
    (shard,) = ds.cache(tmp_path)._plan.source.options.paths
    Path(shard).write_bytes(Path(shard).read_bytes()[:100])
    assert rows_of(ds.cache(tmp_path)) == rows_of(ds)


def test_an_interrupted_pass_goes_on_behind_what_is_finished(
    tmp_path: Path, ds: rowmill.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_SHARD_BYTES", 300)
    monkeypatch.setattr(build, "_BLOCK_ROWS", 10)
    for name, step in STEPS.items():
        made = step(ds)
        made.cache(tmp_path / name / "straight")
        whole, calls = build._Rows.write, 0

        def fails(self: Any, path: Path, budget: Any, whole: Any = whole) -> Any:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise KeyboardInterrupt
            return whole(self, path, budget)

        with monkeypatch.context() as patch:
            patch.setattr(build._Rows, "write", fails)
            with pytest.raises(KeyboardInterrupt):
                made.cache(tmp_path / name / "stopped")
        assert len(list((tmp_path / name / "stopped").rglob("shard-*.arrow"))) == 3
        made.cache(tmp_path / name / "stopped")
        assert contents(tmp_path / name / "stopped") == contents(tmp_path / name / "straight")


@pytest.mark.processes
def test_of_two_processes_one_writes(tmp_path: Path) -> None:
    write_shards(tmp_path / "data", [900, 700], columns=["id", "text"])
    both = [start(SCRIPT, tmp_path / "data", tmp_path / "cached") for _ in range(2)]
    told = {finish(process).strip() for process in both}
    kept = chain(str(tmp_path / "data")).cache(tmp_path / "cached")
    assert told == {kept.fingerprint}
    (folder,) = (path for path in (tmp_path / "cached").iterdir() if path.is_dir())
    assert rows_of(kept) == rows_of(chain(str(tmp_path / "data")))
    assert {path.name for path in folder.iterdir()} == {"dataset.json", "shard-000000.arrow"}


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_kill_9_leaves_what_the_next_call_goes_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path / "data", [900, 700], block_rows=100, columns=["id", "text"])
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(SCRIPT.parent)!r}); import rowmill.caching.build as build; "
        "build._SHARD_BYTES, build._BLOCK_ROWS = 3000, 20; "
        f"sys.argv[0] = {str(SCRIPT)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    monkeypatch.setattr(build, "_SHARD_BYTES", 3000)
    monkeypatch.setattr(build, "_BLOCK_ROWS", 20)
    straight = chain(str(tmp_path / "data")).cache(tmp_path / "straight")
    chooser, out, deaths = random.Random(1), tmp_path / "out", 0
    for _ in range(2):
        done = len(list(out.rglob("shard-*.arrow")))
        process = start("-c", code, tmp_path / "data", out)
        until = time.monotonic() + GENEROUS
        while len(list(out.rglob("shard-*.arrow"))) == done and process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(chooser.random() * 0.03)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=GENEROUS)
        deaths += process.returncode == -signal.SIGKILL
    assert deaths
    assert chain(str(tmp_path / "data")).cache(out).fingerprint == straight.fingerprint
    assert contents(out) == contents(tmp_path / "straight")


# While it is written.


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_run_that_is_killed_while_its_cache_is_written_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "data", [150, 0, 130], block_rows=20, columns=["id", "text"])
    script = SCRIPT.with_name("cached_stream.py")
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(SCRIPT.parent)!r}); "
        "import rowmill.caching.in_blocks as blocks; blocks._SHARD_BYTES = 2000; "
        f"sys.argv[0] = {str(script)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    plain = cached_stream.order(cached_stream.chain(str(tmp_path / "data")))
    loader = plain.loader()
    expected = [cached_stream.digest(batch) for batch in loader]
    receipt = loader.stats()["receipt"]
    chooser, state, deaths, told = random.Random(3), tmp_path / "state.json", 0, ""
    for _ in range(3):
        before = state.read_text() if state.exists() else ""
        process = start("-c", code, tmp_path / "data", tmp_path / "cached", state)
        until = time.monotonic() + GENEROUS
        while (state.read_text() if state.exists() else "") == before and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.001)
        time.sleep(chooser.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=GENEROUS)
        deaths += process.returncode == -signal.SIGKILL
    told = finish(start("-c", code, tmp_path / "data", tmp_path / "cached", state))
    assert deaths
    assert json.loads(state.read_text())["digests"] == expected
    assert json.loads(told) == receipt
    # What is left to be written is written behind what is there, to the bytes of a writer that nobody stopped.
    monkeypatch.setattr(in_blocks, "_SHARD_BYTES", 2000)
    for folder in ("cached", "straight"):
        kept = cached_stream.chain(str(tmp_path / "data")).cache(tmp_path / folder, wait=False)
        writer = background.writer_of(kept._plan)
        assert writer is not None
        writer._thread.join(GENEROUS)
        assert writer.is_whole
    assert contents(tmp_path / "cached") == contents(tmp_path / "straight")
    assert [cached_stream.digest(batch) for batch in cached_stream.order(kept)] == expected


def test_a_pass_goes_over_to_the_cache_and_later_ones_make_nothing(tmp_path: Path, ds: rowmill.Dataset) -> None:
    calls: list[int] = []

    def counted(row: dict[str, Any]) -> dict[str, Any]:
        calls.append(row["id"])
        return {"n": len(row["text"])}

    kept = ds.map(counted).cache(tmp_path, key="counted", wait=False).shuffle(3).batch(4)
    loader = kept.loader()
    reading = iter(loader)
    first = [next(reading)["id"].tolist()]
    writer = background.writer_of(kept._plan)
    if writer is not None:
        writer._thread.join(GENEROUS)
    calls.clear()
    rest = [batch["id"].tolist() for batch in reading]
    assert not calls
    assert [*first, *rest] == [batch["id"].tolist() for batch in ds.shuffle(3).batch(4)]
    assert loader.stats()["rows"] == 271
    assert [row["n"] for row in ds.map(counted).cache(tmp_path, key="counted", wait=False)]
    assert not calls


def test_a_damaged_one_in_blocks_is_written_again(tmp_path: Path, ds: rowmill.Dataset) -> None:
    for _ in range(2):
        kept = ds.tokenize("bytes").cache(tmp_path, wait=False)
        writer = background.writer_of(kept._plan)
        assert writer is not None
        writer._thread.join(GENEROUS)
        (shard,) = background.settled(kept._plan).cached.options.paths  # type: ignore[union-attr]
        assert rows_of(kept) == rows_of(ds.tokenize("bytes"))
        Path(shard).write_bytes(Path(shard).read_bytes()[:50])


def test_what_decides_the_number_of_rows_is_waited_for(tmp_path: Path, ds: rowmill.Dataset) -> None:
    for name in ("filter", "batched", "take"):
        made = STEPS[name](ds)
        kept = made.cache(tmp_path / name, wait=False)
        assert kept._plan.stages == ()
        assert rows_of(kept) == rows_of(made)


def test_a_cache_that_has_no_room_is_told_of_and_the_rows_go_on(tmp_path: Path, ds: rowmill.Dataset) -> None:
    kept = ds.map(lambda row: {"n": 1}).cache(tmp_path, max_bytes=100, wait=False)
    reading = iter(kept)
    reading._writer._thread.join(GENEROUS)
    with pytest.warns(UserWarning, match=r"are not kept.*more than max_bytes=100") as told:
        rows = list(reading)
    assert len(rows) == 271
    assert len(told) == 1
    assert not list(tmp_path.glob("*/dataset.json"))


# What a function does.


def digest(value: Any, **options: Any) -> str:
    return digest_of(value, what=".map", **options)


FACTOR = 3


def scaled(row: dict[str, Any]) -> dict[str, Any]:
    return {"n": helper(row["n"]) * FACTOR}


def helper(number: int) -> int:
    return number + 1


class Scaler:
    def __init__(self, by: Any) -> None:
        self.by = by

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"n": row["n"] * self.by}


def make(by: Any) -> Callable[..., Any]:
    return lambda row: {"n": row["n"] * by}


def test_what_a_function_refers_to_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(scaled)
    assert digest(scaled) == before
    monkeypatch.setattr(f"{__name__}.FACTOR", 4)
    assert digest(scaled) != before
    monkeypatch.undo()
    monkeypatch.setattr(f"{__name__}.helper", lambda number: number + 2)
    assert digest(scaled) != before
    values = [1, 2, 1.0, "1", [1, 2], (1, 2), [2, 1], {"a": 1}, {"a": 2}, {1, 2}, {1, 3}, None, re.compile("a")]
    values += [
        re.compile("a", re.IGNORECASE),
        np.arange(3),
        np.arange(4),
        np.arange(3.0),
        Path("a"),
        Path("b"),
        len,
        str.upper,
    ]
    values += [Scaler(1), Scaler(2), functools.partial(helper, 1), functools.partial(helper, 2), Scaler(1).__call__]
    digests = [digest(make(value)) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [digest(make(value)) for value in values]


def test_what_usual_code_refers_to_has_a_value() -> None:
    Pair = collections.namedtuple("Pair", "a b")
    values = [datetime.date(2024, 1, 1), decimal.Decimal(1), Pair(1, 2), operator.itemgetter("a"), uuid.UUID(int=1)]
    values += [collections.Counter("ab"), collections.defaultdict(list), collections.OrderedDict(a=1)]
    values += [logging.getLogger("x"), functools.lru_cache(helper), math, types.MappingProxyType({"a": 1})]
    assert len({digest(make(value)) for value in values}) == len(values)


def test_functions_of_ones_own_modules_count_those_of_notebooks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    told = set()
    for change in ("row", "row + 1"):
        (tmp_path / "own_cleaning.py").write_text(f"def clean(row):\n    return {change}\n")
        names: dict[str, Any] = {"__name__": "__main__"}
        source = "import own_cleaning\ndef by_module(row):\n    return own_cleaning.clean(row)\n"
        source += "from own_cleaning import clean\ndef by_name(row):\n    return clean(row)\n"
        source += f"def inside(row):\n    return {change}\n"
        sys.modules.pop("own_cleaning", None)
        importlib.invalidate_caches()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        exec(source, names)
        told |= {(name, digest(names[name])) for name in ("by_module", "by_name", "inside")}
    assert len(told) == 6


def test_a_digest_is_the_same_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import re, functools\nfrom rowmill.caching.functions import digest_of\n"
        "words = {'a', 'bb', 'ccc', 'dddd'}\n"
        "def f(row, seen=frozenset(['x', 'yy', 'zzz'])):\n    return re.sub('a', 'b', row) if row in words else seen\n"
        "print(digest_of(f, what='f'), digest_of(functools.partial(f, seen=None), what='f'))\n"
    )
    told = {finish(start(tmp_path / "job.py")) for _ in range(3)}
    assert len(told) == 1
    assert "PYTHONHASHSEED" not in environment()


def test_what_has_no_value_is_refused_unless_the_caller_vouches(tmp_path: Path, ds: rowmill.Dataset) -> None:
    with open(__file__, encoding="utf-8") as file:
        with pytest.raises(rowmill.SchemaMismatchError, match=r"TextIOWrapper.*\.cache\(key="):
            ds.map(make(file)).cache(tmp_path)
        assert digest(make(file), is_lenient=True)
    loop: list[Any] = []
    loop.append(loop)
    assert digest(make(loop)) == digest(make(loop))


def test_notes_hold_no_path(tmp_path: Path, ds: rowmill.Dataset) -> None:
    ds.cache(tmp_path / "cached")
    (note,) = (tmp_path / "cached").glob("*/dataset.json")
    assert str(tmp_path) not in note.read_text()
    assert json.loads(note.read_text())["num_rows"] == 271
