"""Documents packed into samples of 2048 tokens: of text, and of ids on the disk; int64 torch batches of eight."""

from typing import Any

import report
from corpus import BATCH_SIZE, SEQ_LEN
from options import parse
from tables import Case, Options
from throughput import table

TOKENS = BATCH_SIZE * SEQ_LEN / 1e6

OF_TEXT = [
    Case("rowmill, 2 threads", "peers.packing:rowmill_text", "text_arrow", is_own=True),
    Case("rowmill, 1 thread", "peers.packing:rowmill_text", "text_arrow", keywords={"num_threads": 1}),
    Case("rowmill, best fit", "peers.packing:rowmill_text", "text_arrow", keywords={"mode": "best_fit"}),
    Case("datasets streaming + tokenizers", "peers.packing:datasets_text", "text_arrow", target_ratio=60),
]
OF_TOKENS = [
    Case("rowmill, packed", "peers.packing:rowmill_tokens", "tokens_arrow", is_own=True),
    Case("rowmill, plain batches", "peers.rowmill:tokens_shuffled", "tokens_arrow", target_ratio=0.5),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints, in millions of tokens a second."""
    content = {
        "of_text": table("packed_text", "text to packed samples", "M tokens/s", TOKENS, OF_TEXT, options),
        "of_tokens": table("packed_tokens", "ids to packed samples", "M tokens/s", TOKENS, OF_TOKENS, options),
    }
    report.save("packing", content)
    return content


if __name__ == "__main__":
    main(parse(__doc__))
