"""Real torchrun jobs over gloo: each rank takes its share by itself, and cursors move between numbers of ranks."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from processes.launch import finish, start
from shards import flat, write_shards

import rowmill

RANK = Path(__file__).parent / "rank.py"

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(400)]


def torchrun(
    ranks: int, data: Path, folder: Path, batch: int, steps: int, state: Path | str = "none", *, packed: str = "no"
) -> list[dict[str, Any]]:
    folder.mkdir()
    finish(
        start(
            "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", ranks,
            RANK, data, folder, batch, steps, state, packed,
        )
    )  # fmt: skip
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(ranks)]


def global_steps(results: list[dict[str, Any]]) -> list[list[int]]:
    return [sorted(flat(step)) for step in zip(*(result["read"] for result in results), strict=True)]


def test_two_ranks_read_everything_once_and_three_go_on_from_their_cursor(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_shards(data, [100, 0, 61, 45], columns=["id", "tokens"])
    whole = torchrun(2, data, tmp_path / "whole", 6, -1)
    order = rowmill.open(data).shuffle(seed=7).row_ids(0, 206)
    steps = global_steps(whole)
    assert [result["world"] for result in whole] == [2, 2]
    assert [result["len"] for result in whole] == [17, 17] == [len(result["read"]) for result in whole]
    assert steps == [sorted(order[first : first + 12]) for first in range(0, 204, 12)]

    begun = torchrun(2, data, tmp_path / "begun", 6, 5)
    # What all ranks were given stands in the gathered cursor alone: one of a rank is the same on every rank.
    receipt = begun[0]["gathered"].pop("receipt")
    assert (receipt["samples"], receipt["since"]) == (60, 0)
    assert begun[0]["state"] == begun[1]["state"] == begun[0]["gathered"]
    assert begun[0]["state"]["position"] == 60
    state = tmp_path / "state.json"
    state.write_text(json.dumps(begun[0]["state"]))
    resumed = torchrun(3, data, tmp_path / "resumed", 4, -1, state)
    assert [len(result["read"]) for result in resumed] == [12, 12, 12]
    assert global_steps(begun) + global_steps(resumed) == steps


def test_packed_samples_move_between_numbers_of_ranks_by_a_merged_cursor(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_shards(data, [100, 0, 61, 45], columns=["id", "text"])
    ds = rowmill.open(data).shuffle(seed=7, num_lanes=66).tokenize("bytes").pack(24, document_ids=True).repeat()
    whole = [row for batch in itertools.islice(iter(ds.batch(6)), 20) for row in batch["document_ids"].tolist()]

    begun = torchrun(2, data, tmp_path / "begun", 3, 10, packed="endless")
    assert packed_steps(begun) == [sorted(whole[at : at + 6]) for at in range(0, 60, 6)]
    state = tmp_path / "state.json"
    merged = rowmill.merge_states([result["state"] for result in begun])
    assert [result["gathered"] for result in begun] == [merged, merged]
    assert begun[0]["state"] != merged, "a rank's own state holds its own lanes"
    state.write_text(json.dumps(begun[1]["gathered"]))
    resumed = torchrun(3, data, tmp_path / "resumed", 2, 10, state, packed="endless")
    assert packed_steps(resumed) == [sorted(whole[at : at + 6]) for at in range(60, 120, 6)]


def test_three_ranks_go_on_from_the_folder_of_the_two_ranks_states(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_shards(data, [100, 61], columns=["id", "text"])
    begun = torchrun(2, data, tmp_path / "begun", 3, 4, packed="endless")
    folder = tmp_path / "states"
    folder.mkdir()
    for result in begun:
        (folder / f"rank-{result['rank']}.json").write_text(json.dumps(result["state"]))
    resumed = torchrun(3, data, tmp_path / "resumed", 2, 3, folder, packed="endless")
    ds = rowmill.open(data).shuffle(seed=7, num_lanes=66).tokenize("bytes").pack(24, document_ids=True).repeat()
    whole = [row for batch in itertools.islice(iter(ds.batch(6)), 7) for row in batch["document_ids"].tolist()]
    assert packed_steps(begun) + packed_steps(resumed) == [sorted(whole[at : at + 6]) for at in range(0, 42, 6)]


def test_finite_packed_epochs_end_at_the_same_step_on_two_and_three_ranks(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_shards(data, [100, 0, 61, 45], columns=["id", "text"])
    # What a rank looks for is where every process of the job looks.
    rowmill.open(data).tokenize("bytes").count_tokens()
    whole = rowmill.open(data).shuffle(seed=7, num_lanes=66).tokenize("bytes").pack(24, document_ids=True)
    samples = sorted(row["document_ids"] for row in whole)
    for ranks, batch, remainder in ((2, 3, "drop"), (3, 2, "pad")):
        results = torchrun(ranks, data, tmp_path / f"{ranks}", batch, -1, packed=remainder)
        steps = {result["len"] for result in results} | {len(result["read"]) for result in results}
        assert len(steps) == 1
        found = sorted(itertools.chain.from_iterable(packed_steps(results)))
        assert steps.pop() * ranks * batch == len(found)
        lost = [one for one in samples if one not in found]
        assert all(one in samples for one in found)
        assert remainder == "drop" or not lost
        assert len(lost) < len(samples) // 4


def packed_steps(results: list[dict[str, Any]]) -> list[list[list[int]]]:
    """The samples of each step over all ranks, by the documents of their tokens."""
    return [sorted(itertools.chain(*step)) for step in zip(*(result["read"] for result in results), strict=True)]
