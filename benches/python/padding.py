"""Text to padded batches of eight, beside `datasets` and `tokenizers` in a collate function; how much is padding."""

from typing import Any

import report
from corpus import BATCH_SIZE
from options import parse
from tables import Case, Options, run_all
from throughput import table

GROUPED = {"group_by_length": 16}
SPEED = [
    Case("rowmill, 2 threads", "peers.padding:rowmill_padded", "text_arrow", is_own=True),
    Case("rowmill, grouped by length", "peers.padding:rowmill_padded", "text_arrow", keywords=GROUPED, is_own=True),
    Case("datasets streaming + tokenizers", "peers.padding:datasets_collated", "text_arrow"),
]
SHARE = [
    Case("shuffled", "peers.padding:rowmill_share", "text_arrow", is_own=True),
    Case("group_by_length=16", "peers.padding:rowmill_share", "text_arrow", keywords=GROUPED, is_own=True),
]


def main(options: Options) -> dict[str, Any]:
    """Measures and prints, in rows a second and in percent."""
    content = {"speed": table("padded_text", "text to padded batches", "rows/s", BATCH_SIZE, SPEED, options)}
    results = run_all(SHARE, Options(options.scale, options.seconds, 1))
    report.show("padding", ["rows", "padding"], [[case.name, share(results[case.name])] for case in SHARE])
    content["share"] = {"title": "padding", "options": vars(options), "results": results}
    report.save("padding", content)
    return content


def share(result: dict[str, Any]) -> str:
    """How much of the batches' places hold no token."""
    return result["problem"] if "problem" in result else f"{result['padding_share']:.1%}"


if __name__ == "__main__":
    main(parse(__doc__))
