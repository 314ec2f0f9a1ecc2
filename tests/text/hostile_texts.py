"""Texts that tokenizers are known to read differently from one another, drawn at random."""

from __future__ import annotations

import random
import sys
import unicodedata
from functools import cache

CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'LL", "'\u017f", "\u2019s", "''")
SPACES = (" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", " \n", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028")
JOINED = (
    "👩\u200d👩\u200d👧",
    "👍🏽",
    "🇩🇪",
    "1\ufe0f\u20e3",
    "☃\ufe0f",
    "ก\u0e33",
    "क\u094dष",
    "각",
    "\u1100\u1161\u11a8",
)
WORDS = (
    "the",
    "mill",
    "Grinds",
    "ROWS",
    "fn",
    "x_1",
    "==",
    "->",
    "://",
    "12345",
    "3.14",
    "ﬁ",
    "Ünïcödé",
    "水車",
    "мельница",
)
SPECIAL = (
    *(
        "<|endoftext|>",
        "<|im_start|>",
        "<|begin_of_text|>",
        "<s>",
        "</s>",
        "<unk>",
        "<pad>",
        "<mask>",
        "[CLS]",
        "[SEP]",
    ),
    *(
        "[MASK]",
        "<bos>",
        "<0x0A>",
        "<tool_call>",
        "<unused7>",
        "<\uff5cUser\uff5c>",
        ">>TITLE<<",
        "▁",
        "Ġ",
        "##",
        "<|",
        "|>",
    ),
)
CONTROL = (
    "\0",
    "\x01",
    "\x7f",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\ufffd",
    "\u0301",
    "\u0323",
    "\u0327",
    "\ue000",
    "\U000e0041",
)


@cache
def by_category() -> dict[str, list[str]]:
    """Assigned characters by their general category."""
    found: dict[str, list[str]] = {}
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if (category := unicodedata.category(char)) != "Cs":
            found.setdefault(category, []).append(char)
    return found


@cache
def hostile_texts(count: int, seed: int) -> tuple[str, ...]:
    """Texts of a few pieces each: every class of characters, and everything above, in any order."""
    rng = random.Random(seed)
    categories = list(by_category().values())
    pools = (WORDS, WORDS, SPACES, SPACES, CONTRACTIONS, JOINED, SPECIAL, CONTROL)

    def piece() -> str:
        kind = rng.randrange(12)
        if kind < len(pools):
            return rng.choice(pools[kind])
        if kind == 8:
            return rng.choice(" \n\tab1!'") * rng.randrange(1, 24)
        return "".join(rng.choice(rng.choice(categories)) for _ in range(rng.randrange(1, 3)))

    return tuple("".join(piece() for _ in range(rng.randrange(1, 6))) for _ in range(count))
