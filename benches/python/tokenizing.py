"""Text to token ids on disk, and back: rowmill.tokenize beside `datasets.map(num_proc=2)` with Python's tokenizers."""

from typing import Any

import report
from corpus import BATCH_SIZE, SEQ_LEN
from options import parse
from tables import Case, Options
from throughput import table

TOKENS = BATCH_SIZE * SEQ_LEN / 1e6

TO_DISK = [
    Case("rowmill.tokenize", "peers.tokenizing:rowmill_file", "", is_own=True),
    Case(
        "rowmill.tokenize, sequences", "peers.tokenizing:rowmill_file", "", is_own=True, keywords={"seq_len": SEQ_LEN}
    ),
    Case(
        "rowmill.tokenize, megatron", "peers.tokenizing:rowmill_file", "", is_own=True, keywords={"format": "megatron"}
    ),
    Case("datasets.map, 2 processes", "peers.tokenizing:datasets_map", "", target_ratio=100),
]
BACK = [
    Case("rowmill, what it tokenized", "peers.tokenizing:read_back", "", is_own=True),
    Case("rowmill, plain tokens", "peers.rowmill:tokens_shuffled", "tokens_arrow", target_ratio=0.9),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints both tables."""
    what = "one whole pass (of datasets.map, the first 8,000 rows)"
    content = {
        "to_disk": table("tokenizing", "text to ids on disk", "MB/s of text", 1.0, TO_DISK, options, what),
        "back": table("tokenized_back", "ids from disk to int64 batches", "M tokens/s", TOKENS, BACK, options),
    }
    report.save("tokenizing", content)
    return content


if __name__ == "__main__":
    main(parse(__doc__))
