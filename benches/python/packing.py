"""Documents packed into samples of 2048 tokens: of text, and of ids on the disk; int64 torch batches of eight.

And what a resume costs: its first batch beside that of a fresh start, and the cursor.
"""

from typing import Any

import report
from corpus import BATCH_SIZE, SEQ_LEN
from options import parse
from tables import Case, Options, run_all
from throughput import table

TOKENS = BATCH_SIZE * SEQ_LEN / 1e6

# In the caller's thread: it helps where there are others.
ALONE = {"num_threads": 0}
OVER_WINDOWS = {"mode": "best_fit_windows"}
# An epoch is less than half a second.
ENDLESS = {"is_endless": True}

OF_TEXT = [
    Case("rowmill, 2 threads", "peers.packing:rowmill_text", "text_arrow", is_own=True),
    Case("rowmill, best fit", "peers.packing:rowmill_text", "text_arrow", keywords={"mode": "best_fit"}),
    Case("rowmill, best fit over windows", "peers.packing:rowmill_text", "text_arrow", keywords=OVER_WINDOWS),
    Case("datasets streaming + tokenizers", "peers.packing:datasets_text", "text_arrow", target_ratio=60),
    Case("the same, tokenizers 1.0", "peers.packing:datasets_text", "text_arrow", "tokenizers1", target_ratio=15),
]
TWO_THREADS = [
    Case("rowmill, 2 threads", "peers.packing:rowmill_text", "text_arrow", is_own=True),
    Case("rowmill, 1 thread", "peers.packing:rowmill_text", "text_arrow", keywords=ALONE, target_ratio=1.7),
]
# Everything included (reading, shuffling, packing, handing over) beside what encoding the same text costs.
ONE_THREAD = [
    Case("rowmill, 1 thread", "peers.packing:rowmill_text", "text_arrow", is_own=True, keywords=ALONE),
    Case("its engine alone, 1 thread", "peers.packing:engine_alone", "text_arrow", target_ratio=0.7),
]
OF_TOKENS = [
    Case("rowmill, packed", "peers.packing:rowmill_tokens", "tokens_arrow", is_own=True),
    Case("rowmill, plain batches", "peers.rowmill:tokens_shuffled", "tokens_arrow", keywords=ENDLESS, target_ratio=0.5),
]
RESUME = [
    Case(f"rowmill, {mode}", "peers.packing:rowmill_packed_resume", "text_arrow", is_own=True, keywords={"mode": mode})
    for mode in ("concat", "best_fit", "best_fit_windows")
]
RESUME_TARGET = 3.0
STATE_TARGET = 200e-6
BYTES_TARGET = 16 << 10


def main(options: Options) -> dict[str, Any]:
    """Measures and prints, in millions of tokens a second."""
    # Peers give their samples in bursts of a block of documents, of which slices of a time would tell nothing.
    content = {
        name: table(name, title, "M tokens/s", TOKENS, cases, options, is_in_turns=cases is not OF_TEXT)
        for name, title, cases in [
            ("packed_text", "text to packed samples", OF_TEXT),
            ("packed_threads", "text to packed samples, 2 threads beside 1", TWO_THREADS),
            ("packed_alone", "text to packed samples, 1 thread", ONE_THREAD),
            ("packed_tokens", "ids to packed samples", OF_TOKENS),
        ]
    }
    results = run_all(RESUME, options)
    columns = ["pipeline", "fresh first batch, ms", "after a resume, ms", "state_dict, us", "cursor, bytes", "target"]
    report.show("resume with packing", columns, [resumed(case, results[case.name]) for case in RESUME])
    content["resume"] = {"title": "resume with packing", "options": vars(options), "results": results}
    report.save("packing", content)
    return content


def resumed(case: Case, result: dict[str, Any]) -> list[str]:
    """One line on a resume."""
    if "problem" in result:
        return [case.name, *["-"] * 4, result["problem"]]
    met = (
        result["resumed_seconds"] <= RESUME_TARGET * result["fresh_seconds"]
        and result["state_seconds"] < STATE_TARGET
        and result["state_bytes"] <= BYTES_TARGET
    )
    return [
        case.name,
        f"{result['fresh_seconds'] * 1e3:.1f}",
        f"{result['resumed_seconds'] * 1e3:.1f}",
        f"{result['state_seconds'] * 1e6:.0f}",
        f"{result['state_bytes']:,.0f}",
        f"<= 3x, < 200 us, <= 16 KB {'met' if met else 'MISSED'}",
    ]


if __name__ == "__main__":
    main(parse(__doc__))
