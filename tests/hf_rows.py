"""Rows that `datasets` keeps: what they are, and how to tell which came."""

from typing import Any

NUM_ROWS = 2300  # three record batches of the cache's 1,000


def row(index: int) -> dict[str, Any]:
    return {"id": index, "text": f"row {index} é", "label": index % 3, "tokens": list(range(index % 5))}


def ids(rows: Any) -> list[int]:
    return [row["id"] for row in rows]
