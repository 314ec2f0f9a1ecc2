"""state show, diff and merge."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import rowmill

Run = Callable[..., Result]
RunJson = Callable[..., Any]
StateFile = Callable[[str, Any], Path]


def cursors(ds: rowmill.Dataset, number: int) -> list[dict[str, Any]]:
    iterator = iter(ds)
    made = []
    for _ in range(number):
        next(iterator)
        made.append(ds.state_dict())
    return made


def test_show_tells_all_that_a_cursor_says(run: Run, run_json: RunJson, dataset: Any, state_file: StateFile) -> None:
    cursor = cursors(dataset, 3)[-1]
    path = state_file("a.json", cursor)
    assert run_json("state", "show", path) == cursor
    told = run("state", "show", path).stdout
    assert all(word in told for word in (cursor["fingerprint"], "order.seed", "position                    24"))


def test_diff_of_two_places_in_one_stream(run: Run, run_json: RunJson, dataset: Any, state_file: StateFile) -> None:
    first, second = (state_file(f"{at}.json", cursor) for at, cursor in enumerate(cursors(dataset, 2)))
    told = run_json("state", "diff", first, second)
    digests = told["place"].pop("receipt.digest")
    assert told == {"is_same_stream": True, "identity": {}, "place": {"position": [8, 16], "receipt.samples": [8, 16]}}
    assert digests == [json.loads(file.read_text())["receipt"]["digest"] for file in (first, second)]
    assert "different places" in run("state", "diff", first, second).stdout
    assert run("state", "diff", first, first).stdout == "the same\n"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda ds: ds.shuffle(8), "order.seed"),
        (lambda ds: ds.shuffle(7, mode="row"), "order.mode"),
        (lambda ds: ds.map(str.upper), "pipeline"),
    ],
)
def test_diff_of_two_streams_is_status_1(
    run: Run, run_json: RunJson, dataset: Any, state_file: StateFile, change: Any, name: str
) -> None:
    first, second = state_file("a.json", dataset.state_dict()), state_file("b.json", change(dataset).state_dict())
    told = run_json("state", "diff", first, second, status=1)
    assert not told["is_same_stream"]
    assert list(told["identity"]) == [name]
    assert name in run("state", "diff", first, second).stdout


def test_merge_makes_one_cursor_of_the_ranks(run: Run, sample: Path, state_file: StateFile, tmp_path: Path) -> None:
    condition = rowmill.open(sample).shuffle(7).filter(_is_long)
    states = [cursors(condition.shard(2, rank).batch(4), 3)[-1] for rank in range(2)]
    files = [state_file(f"{rank}.json", state) for rank, state in enumerate(states)]
    result = run("state", "merge", *files, "-o", tmp_path / "merged.json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "merged.json").read_text()) == rowmill.merge_states(states)
    both = state_file("both.json", states)
    assert json.loads(run("state", "merge", both).stdout) == rowmill.merge_states(states)


def test_merge_names_the_ranks_that_are_missing_or_doubled(
    run: Run, sample: Path, state_file: StateFile, tmp_path: Path
) -> None:
    condition = rowmill.open(sample).shuffle(7).filter(_is_long)
    first, second = (state_file(f"{rank}.json", cursors(condition.shard(2, rank).batch(4), 3)[-1]) for rank in range(2))
    for files, problem in (
        ([first], "rank 1 of 2 is missing"),
        ([second, second], "rank 0 of 2 is missing"),
        ([first, second, second], "rank 1 is there twice"),
    ):
        result = run("state", "merge", *files, "-o", tmp_path / "merged.json")
        assert result.exit_code == 1
        assert problem in result.stderr
        assert not (tmp_path / "merged.json").exists()


def test_merge_tells_programs_what_it_wrote(
    run_json: RunJson, dataset: Any, state_file: StateFile, tmp_path: Path
) -> None:
    cursor = cursors(dataset, 2)[-1]
    merged = run_json("state", "merge", state_file("a.json", cursor), "-o", tmp_path / "merged.json")
    assert merged == json.loads((tmp_path / "merged.json").read_text())
    assert merged["position"] == cursor["position"]


def test_merge_of_other_jobs_states_says_what_differs(run: Run, dataset: Any, state_file: StateFile) -> None:
    first, second = state_file("a.json", dataset.state_dict()), state_file("b.json", dataset.shuffle(8).state_dict())
    result = run("state", "merge", first, second)
    assert result.exit_code == 1
    assert "not of one job: order" in result.stderr


def test_merge_names_the_file_that_holds_no_state(run: Run, dataset: Any, state_file: StateFile) -> None:
    result = run("state", "merge", state_file("a.json", dataset.state_dict()), state_file("bad.json", {"version": 1}))
    assert result.exit_code == 1
    assert "bad.json: this is neither" in " ".join(result.stderr.split())


def test_a_torch_checkpoint_is_refused_and_never_unpickled(run: Run, dataset: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"cursor": dataset.state_dict()}, tmp_path / "checkpoint.pt")
    (tmp_path / "state.pkl").write_bytes(pickle.dumps(_Trap()))
    for name, word in (("checkpoint.pt", "torch checkpoint"), ("state.pkl", "pickle")):
        for arguments in (["show", tmp_path / name], ["merge", tmp_path / name]):
            result = run("state", *arguments)
            assert result.exit_code == 1
            assert word in result.stderr
            assert "unpickles nothing" in result.stderr


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "3", "[]", "{}", "\x00\xff", '{"_snapshot": {"_worker_snapshots": 3}}']
)
def test_what_is_no_state_is_one_paragraph(run: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text, encoding="latin-1")
    for arguments in (["show", path], ["diff", path, path], ["merge", path]):
        result = run("state", *arguments)
        assert result.exit_code == 1, (arguments, result.output)
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["order_version", "position", "num_shards", "lanes"])
def test_a_damaged_state_never_ends_in_a_traceback(run: Run, sample: Path, state_file: StateFile, missing: str) -> None:
    states = [cursors(rowmill.open(sample).shard(2, rank).shuffle(1).filter(_is_long), 2)[-1] for rank in range(2)]
    del states[1][missing]
    result = run("state", "merge", *(state_file(f"{rank}.json", state) for rank, state in enumerate(states)))
    assert result.exit_code in (0, 1)
    assert result.exception is None or isinstance(result.exception, SystemExit)


def _is_long(row: dict[str, Any]) -> bool:
    return len(row["text"]) % 3 != 0


class _Trap:
    """Raises where it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemError('it was unpickled')",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position", -5),
        ("position", "x"),
        ("epoch", 1.5),
        ("order_version", 3),
        ("num_shards", 0),
        ("holes", [[0, 0, 1, 10**15]]),
        ("holes", 3),
        ("fingerprint", 3),
        ("order", {"mode": "window"}),
        ("pipeline", "x"),
        ("worker", {"id": 5, "num_workers": 2, "shard": 0, "items": 0}),
        ("lanes", {"of": 2, "index": 0, "rows": [1], "samples": [1]}),
    ],
)
def test_what_no_cursor_can_say_is_refused(
    run: Run, dataset: Any, state_file: StateFile, tmp_path: Path, name: str, value: Any
) -> None:
    path = state_file("bad.json", {**cursors(dataset, 1)[0], name: value})
    for command in (["show", path], ["diff", path, path], ["merge", path, "-o", tmp_path / "merged.json"]):
        told = run("state", *command)
        assert told.exit_code == 1
        assert "cursor" in told.stderr
        assert "Traceback" not in told.output
    assert not (tmp_path / "merged.json").exists()
