"""Eight sources mixed, beside the same rows unmixed and `datasets`' interleaving; and resuming packed ones."""

from typing import Any

import report
from corpus import BATCH_BYTES
from options import parse
from tables import Case, Options, run_all
from throughput import table

RESUME_RATIO = 3
STATE_TARGET = 200e-6
BYTES_TARGET = 16 << 10

TOKENS = [
    Case("rowmill, 8 sources", "peers.mixing:rowmill_mixed", "tokens_arrow", is_own=True),
    Case("rowmill, unmixed", "peers.rowmill:tokens_shuffled", "tokens_arrow"),
    Case("datasets, interleaved", "peers.mixing:datasets_interleaved", "tokens_arrow"),
]
ROWS = [
    Case("rowmill, 8 sources", "peers.mixing:rowmill_mixed_text", "text_arrow", is_own=True),
    Case("rowmill, unmixed", "peers.rowmill:text_shuffled", "text_arrow"),
]
RESUME = Case("rowmill, 8 sources packed", "peers.mixing:rowmill_resume_mix", "text_arrow", is_own=True)


def main(options: Options) -> dict[str, Any]:
    """Measures and prints."""
    content = {
        "tokens": table("mixed_tokens", "mixed token batches", "MB/s", BATCH_BYTES / 1e6, TOKENS, options),
        "rows": table("mixed_rows", "mixed text rows", "rows/s", 1, ROWS, options),
        "resume": run_all([RESUME], options)[RESUME.name],
    }
    columns = [
        "loader",
        "fresh, first batch ms",
        "resumed, first batch ms",
        "state_dict, us",
        "cursor, bytes",
        "target",
    ]
    report.show("resuming a packed mix", columns, [line(content["resume"])])
    report.save("mixing", content)
    return content


def line(result: dict[str, Any]) -> list[str]:
    """The times of first batches, and of taking a cursor."""
    if "problem" in result:
        return [RESUME.name, *["-"] * 4, result["problem"]]
    met = (
        result["resumed_seconds"] <= RESUME_RATIO * result["fresh_seconds"]
        and result["state_seconds"] < STATE_TARGET
        and result["state_bytes"] <= BYTES_TARGET
    )
    return [
        RESUME.name,
        f"{result['fresh_seconds'] * 1e3:.1f}",
        f"{result['resumed_seconds'] * 1e3:.1f}",
        f"{result['state_seconds'] * 1e6:.1f}",
        f"{result['state_bytes']:,.0f}",
        f"<= {RESUME_RATIO}x, < 200 us, <= 16 KB {'met' if met else 'MISSED'}",
    ]


if __name__ == "__main__":
    main(parse(__doc__))
