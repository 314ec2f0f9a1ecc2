"""inspect's warnings and head's rows: what a person should see before a job is started."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from shards import write, write_shards
from typer.testing import Result

import rowmill
from rowmill.describe import warnings_of

Run = Callable[..., Result]
RunJson = Callable[..., Any]


class Source:
    """As much of an opened source as the warnings look at."""

    def __init__(self, num_blocks: int = 100, largest: int = 1000, num_schemas: int = 1) -> None:
        self.num_blocks, self.block_bytes_range, self.num_schemas = num_blocks, (1, largest), num_schemas


def shard(name: str = "a", **facts: Any) -> dict[str, Any]:
    plain = {"format": "arrow", "codecs": [], "num_rows": 10, "num_blocks": 1, "num_bytes": 100}
    return {"path": f"/data/{name}", **plain, **facts}


@pytest.mark.parametrize(
    ("source", "shards", "ranks", "words"),
    [
        (Source(), [shard()], 1, []),
        (Source(), [shard()], 25, []),
        (Source(), [shard()], 26, ["uneven"]),
        (Source(num_blocks=7), [shard()], 8, ["7 blocks for 8 ranks: some read the same ones"]),
        (Source(largest=100 << 20), [shard()], 1, ["up to 105 MB"]),
        (
            Source(),
            [shard("b", largest_row_group_bytes=100_000_000, has_page_index=False), shard()],
            1,
            ["100 MB (b): 1 of these files have no page index"],
        ),
        (Source(), [shard("b", largest_row_group_bytes=100_000_000, has_page_index=True)], 1, ["by their page index"]),
        (Source(), [shard(), shard(), shard("big", num_rows=50)], 1, ["shards are uneven: big has 50 rows"]),
        (Source(), [shard(), shard("none", num_rows=0)], 1, ["1 shards hold no row: none"]),
        (Source(), [shard(), shard(), shard("b", format="parquet")], 1, ["1 of 3 are parquet (b)"]),
        (Source(), [shard(), shard(), shard("b", codecs=["zstd"])], 1, ["1 of 3 are zstd (b)"]),
        (Source(num_schemas=2), [shard()], 1, ["2 different schemas"]),
    ],
)
def test_warnings_name_what_will_cost_something(source: Any, shards: Any, ranks: int, words: list[str]) -> None:
    found = warnings_of(source, shards, ranks)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True)), found


def test_inspect_warns_for_the_ranks_asked(run_json: RunJson, run: Run, tmp_path: Path) -> None:
    write_shards(tmp_path / "data", [30, 30], block_rows=10)
    assert run_json("inspect", tmp_path / "data")["warnings"] == []
    (warning,) = run_json("inspect", tmp_path / "data", "--ranks", 64)["warnings"]
    assert "blocks for 64 ranks" in warning
    assert "warning: " in run("inspect", tmp_path / "data", "--ranks", 64).stdout
    assert rowmill.open(tmp_path / "data").describe(ranks=64)["warnings"] == [warning]


def test_inspect_sees_schemas_that_differ_in_what_may_differ(run_json: RunJson, tmp_path: Path) -> None:
    for name, is_nullable in (("a", True), ("b", False)):
        schema = pa.schema([pa.field("x", pa.int64(), nullable=is_nullable)])
        write(tmp_path / f"{name}.arrow", [pa.record_batch([[1]], schema=schema)], schema, "file", None)
    (warning,) = run_json("inspect", tmp_path)["warnings"]
    assert "2 different schemas" in warning


@pytest.mark.parametrize("name", ["stray.parquet", "notes.csv"])
def test_inspect_refuses_a_folder_of_two_formats_and_names_the_file(run: Run, tmp_path: Path, name: str) -> None:
    write_shards(tmp_path / "data", [30])
    (tmp_path / "data" / name).write_bytes(b"PAR1 something")
    result = run("inspect", tmp_path / "data", "--json")
    assert result.exit_code == 1
    assert name in result.stderr
    assert result.stdout == ""


def test_inspect_names_a_file_that_nobody_knows_and_passes_over_notes(run: Run, tmp_path: Path) -> None:
    write_shards(tmp_path / "data", [30])
    for name in ("README", "LICENSE", "_SUCCESS", "sums.sha256"):
        (tmp_path / "data" / name).touch()
    assert run("inspect", tmp_path / "data").exit_code == 0
    (tmp_path / "data" / "part-1.arrow.bak").touch()
    for flags in ([], ["--json"]):
        result = run("inspect", tmp_path / "data", *flags)
        assert result.exit_code == 1
        assert "part-1.arrow.bak" in result.stderr
        assert "README" not in result.stderr
    assert json.loads(result.stdout)["unread_files"] == [str(tmp_path / "data" / "part-1.arrow.bak")]
    with pytest.warns(UserWarning, match=r"a file that is not read: part-1\.arrow\.bak; name"):
        assert rowmill.open(tmp_path / "data").num_rows == 30


def test_head_of_rows_by_id_and_of_a_shuffled_order(run_json: RunJson, run: Run, sample: Path) -> None:
    opened = rowmill.open(sample)
    assert run_json("head", sample, "--row-id", 7, "--row-id", 3) == opened.fetch([7, 3])
    shuffled = opened.shuffle(5)
    assert run_json("head", sample, "--shuffle", 5, "-n", 4) == opened.fetch(shuffled.row_ids(0, 4))
    told = run("head", sample, "--row-id", 7, "-c", "id").stdout
    assert "7" in told
    assert opened.fetch([7])[0]["id"] in told


def test_head_of_a_row_that_is_not_there_is_wrong_use(run: Run, sample: Path) -> None:
    result = run("head", sample, "--row-id", 10**9)
    assert result.exit_code == 2
    assert "there is no row 1,000,000,000" in result.stderr


def test_head_summarises_bytes_and_shortens_texts(run: Run, run_json: RunJson, tmp_path: Path) -> None:
    image = b"\xff\xd8\xff" + bytes(10_237)
    batch = pa.record_batch(
        {"image": [image], "text": ["word " * 100], "mark": ["[bold]not markup[/]"], "none": [None]}
    )
    path = write(tmp_path / "a.arrow", [batch], batch.schema, "file", None)
    told = run("head", path).stdout
    assert "<10.2 kB, JPEG>" in told
    assert "word word" in told
    assert "word " * 30 not in told
    assert "[bold]not markup[/]" in told
    assert "null" in told
    (row,) = run_json("head", path)
    assert len(row["image"]) == 4 * -(-len(image) // 3)
    assert "text" in run("head", path, "--long").stdout


def test_rows_say_where_they_lie(run_json: RunJson, sample: Path) -> None:
    told = run_json("rows", sample, "--step", 1, "--ranks", 2, "--batch-size", 3)
    opened = rowmill.open(sample)
    for place in told["places"]:
        batches = list(pa.ipc.open_stream(Path(place["shard"]).read_bytes()))
        assert batches[place["block"]].to_pylist()[place["row"]] == opened.fetch([place["row_id"]])[0]
    assert [place["row_id"] for place in told["places"] if place["rank"] == 1] == told["by_rank"][1]
