"""The law of functions before a mix: as if they stood behind it and looked which source a row is of."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.test_mix_laws import APART, CONSUMERS, sources, weights
from shards import copy, frozen, through_json

import rowmill

pytestmark = pytest.mark.filterwarnings("ignore:.* ranks share .* lanes:UserWarning")


def of_source(at: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def own(row: dict[str, Any]) -> dict[str, Any]:
        assert row["id"] // APART == at, "a source's function sees its own rows"
        return {"text": f"<{at}> {row['text']}", "id": -row["id"]}

    return own


@st.composite
def pairs(draw: st.DrawFn, folder: Path) -> tuple[rowmill.Dataset, rowmill.Dataset]:
    """A mix whose sources have functions, and one with the same functions behind it."""
    plain = draw(sources(folder))
    names = draw(st.sets(st.sampled_from(sorted(plain)), min_size=1))
    functions = {name: of_source(int(name[1:])) for name in names}
    shares, rule = draw(weights(list(plain))), draw(st.sampled_from(["first_exhausted", "all_exhausted", "repeat"]))
    seed = draw(st.integers(0, 99))
    made = {name: ds.map(functions[name]) if name in functions else ds for name, ds in plain.items()}

    def behind(row: dict[str, Any]) -> dict[str, Any]:
        own = functions.get(f"s{row['id'] // APART}")
        return row if own is None else own(row)

    return (
        rowmill.mix(made, shares, seed=seed, stopping=rule),
        rowmill.mix(plain, shares, seed=seed, stopping=rule).map(behind),
    )


CHAINS: dict[str, Callable[[rowmill.Dataset], rowmill.Dataset]] = {
    "rows": lambda ds: ds,
    "batches": lambda ds: ds.batch(3, remainder="keep"),
    "filter": lambda ds: ds.filter(lambda row: len(row["text"]) > 2).repeat().batch(2),
    "chosen": lambda ds: ds.select_columns(["text"]).batch(2, remainder="keep"),
    "pack": lambda ds: ds.tokenize("bytes").pack(16, document_ids=True).repeat().batch(2),
}


@given(st.data(), st.sampled_from(sorted(CHAINS)), st.lists(st.integers(1, 12), max_size=3))
def test_functions_of_sources_are_those_behind_the_mix_and_resume_exactly(
    data: st.DataObject, chain: str, kills: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        before, behind = (CHAINS[chain](ds).with_format("numpy") for ds in data.draw(pairs(Path(folder))))
        number = 40
        expected = [frozen(item) for item in itertools.islice(iter(behind), number)]
        found: list[bytes] = []
        state = None
        for kill in [*kills, number]:
            reader = copy(before)
            if state is not None:
                reader.load_state_dict(state)
            if reader.epoch == before.epoch:
                found += [frozen(item) for item in itertools.islice(iter(reader), min(kill, number - len(found)))]
            state = through_json(reader.state_dict())
        assert found == expected


@given(st.data())
def test_a_step_of_functions_of_sources_is_the_same_on_any_ranks(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        before, behind = data.draw(pairs(Path(folder)))
        ranks = data.draw(st.sampled_from(CONSUMERS))
        whole = list(itertools.islice(iter(behind.batch(6, remainder="drop").with_format("numpy")), 5))
        jobs = [before.batch(6 // ranks, remainder="drop").with_format("numpy").shard(ranks, at) for at in range(ranks)]
        parts = [list(itertools.islice(iter(job), 5)) for job in jobs]
        for at, batch in enumerate(whole):
            assert sorted(text for part in parts for text in part[at]["text"]) == sorted(batch["text"])
