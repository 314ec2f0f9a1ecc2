"""``rowmill.unpack``: from batches of packed samples back to the documents that are in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rowmill import _rust
from rowmill.exceptions import SchemaMismatchError

__all__ = ["unpack"]

_Samples = Iterator[tuple[Any, Any, Any]]


def unpack(batches: Iterable[Any]) -> dict[int, np.ndarray[Any, np.dtype[np.int64]]]:
    """The documents of packed samples, by their row ids: the inverse of ``Dataset.pack``.

    All samples of an epoch give every document back whole; some of them, the parts that they hold. Documents without
    a token leave no trace.

    Args:
        batches: Batches or single samples as ``Dataset.pack(..., document_ids=True)`` yields them, in any format, each
            lane's in their order (one stream's are; those of several ranks one rank after the other). With
            ``cu_seqlens`` they must be of the same samples.

    Raises:
        SchemaMismatchError: There are no document ids.
        ValueError: Ids, document ids and cuts are not of the same samples.

    Examples:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder, num_shards=1)
        ...     ds = rowmill.open(files).tokenize("bytes").pack(64, document_ids=True)
        ...     documents = rowmill.unpack(ds.batch(8))
        ...     text = rowmill.open(files).fetch([3])[0]["text"]
        >>> bytes(documents[3][:-1].tolist()).decode() == text, documents[3][-1] == 256
        (True, np.True_)
    """
    unpacker = _rust.Unpacker()
    for batch in batches:
        for input_ids, document_ids, cuts in _samples(batch):
            unpacker.push(
                _int64(input_ids),
                _int64(document_ids),
                None if cuts is None else np.asarray(cuts, np.int32).tolist(),
            )
    return {row_id: np.frombuffer(ids, np.int64) for row_id, ids in unpacker.finish()}


def _samples(batch: Any) -> _Samples:
    columns = batch if isinstance(batch, Mapping) else batch.to_pydict()
    missing = next((name for name in ("input_ids", "document_ids") if name not in columns), None)
    if missing is not None:
        raise SchemaMismatchError(
            f"there is no column {missing!r} to put documents together by; .pack(..., document_ids=True) adds "
            "document_ids, and input_ids must not be left out behind it"
        )
    input_ids, document_ids, cuts = columns["input_ids"], columns["document_ids"], columns.get("cu_seqlens")
    if np.ndim(input_ids) == 1:
        yield input_ids, document_ids, cuts
        return
    for at in range(len(input_ids)):
        yield input_ids[at], document_ids[at], None if cuts is None else cuts[at]


def _int64(values: Any) -> bytes:
    return np.asarray(values).astype(np.int64).tobytes()
