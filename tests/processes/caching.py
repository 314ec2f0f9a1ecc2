"""Caches in a process of its own that may be killed: SOURCE FOLDER; prints the fingerprint of what it cached."""

import sys

import rowmill


def upper(row: dict[str, str]) -> dict[str, str]:
    return {"text": row["text"].upper()}


def chain(source: str) -> rowmill.Dataset:
    return rowmill.open(source).map(upper).filter(lambda row: row["id"] % 3 > 0).tokenize("bytes")


if __name__ == "__main__":
    print(chain(sys.argv[1]).cache(sys.argv[2]).fingerprint)
