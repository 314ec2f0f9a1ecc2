"""Ids are those of Python's ``tokenizers``, for files in the shapes of well-known models, by whichever engine."""

from __future__ import annotations

import numpy as np
import pytest

tokenizers = pytest.importorskip("tokenizers", minversion="0.23")

from text.hostile_texts import hostile_texts  # noqa: E402
from text.tokenizer_shapes import SHAPES, sample  # noqa: E402

from rowmill._rust import Tokenizer  # noqa: E402

NUM_TEXTS = 20_000

# Which engine serves a shape: the fast one, or the reference for a reason.
ENGINES = {
    "gpt2": None,
    "roberta": None,
    "gpt2_prefixed": "add_prefix_space",
    "llama3": None,
    "qwen2": None,
    "o200k": None,
    "deepseek_v3": None,
    "neox": None,
    "starcoder": None,
    "bloom": "regex",
    "falcon": "must be the last member",
    "llama2": None,
    "mistral": None,
    "gemma": None,
    "bert": None,
    "t5": "regex",
}


def load(shape: str, engine: str = "auto") -> tuple[Tokenizer, tokenizers.Tokenizer]:
    content = SHAPES[shape]().to_str().encode()
    theirs = tokenizers.Tokenizer.from_buffer(content)
    theirs.encode_special_tokens = True
    return Tokenizer.from_json(content, origin=shape, allow_special=False, engine=engine, probes=[]), theirs


def differing(texts: list[str], ours: Tokenizer, theirs: tokenizers.Tokenizer) -> list[str]:
    ids, counts = ours.encode_many(texts)
    flat, ends = np.frombuffer(ids, "<u4"), np.cumsum([0, *counts])
    expected = [encoding.ids for encoding in theirs.encode_batch_fast(texts)]
    return [text for at, text in enumerate(texts) if flat[ends[at] : ends[at + 1]].tolist() != expected[at]]


@pytest.mark.parametrize("shape", SHAPES)
def test_hostile_texts_have_the_same_ids(shape: str) -> None:
    ours, theirs = load(shape)
    reason = ENGINES[shape]
    assert ours.engine["name"] == ("fast" if reason is None else "reference")
    assert (reason or "") in (ours.engine["reason"] or "")
    texts = [*hostile_texts(NUM_TEXTS, seed=5), *sample()[:4]]
    assert differing(texts, ours, theirs) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_pieces_have_the_ids_of_the_whole(shape: str) -> None:
    ours, _ = load(shape)
    prefix, suffix = len(ours.prefix), len(ours.suffix)
    for text in ["\n".join(hostile_texts(60, seed)) + sample()[seed] for seed in range(6)]:
        pieces = ours.pieces(text, 50)
        assert "".join(pieces) == text
        whole = ours.encode(text)
        parts = [ours.encode(piece) for piece in pieces]
        inner = [id for ids in parts for id in ids[prefix : len(ids) - suffix]]
        assert inner == whole[prefix : len(whole) - suffix]


@pytest.mark.parametrize("shape", ["gpt2", "qwen2", "gemma"])
def test_special_tokens_are_tokens_where_they_are_allowed(shape: str) -> None:
    content = SHAPES[shape]().to_str().encode()
    theirs = tokenizers.Tokenizer.from_buffer(content)
    ours = Tokenizer.from_json(content, origin=shape, allow_special=True, engine="fast", probes=[])
    assert differing(hostile_texts(3000, seed=6), ours, theirs) == []
