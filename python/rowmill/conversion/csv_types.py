"""The narrowest type that holds a CSV column's texts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["holding"]


def holding(texts: pa.Array, kind: pa.DataType) -> pa.DataType:
    """``kind``, or the next wider type that all ``texts`` can be read as; a text at last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == pa.string():
        return kind
    nulls, _ = _words()
    values = pc.utf8_trim_whitespace(texts.filter(pc.invert(pc.is_in(texts, value_set=nulls))))
    if not len(values):
        return kind
    return next(wider for wider in _ladder(kind) if _fits(values, wider))


def _ladder(kind: pa.DataType) -> list[pa.DataType]:
    """``kind`` and what is wider, as pyarrow tries them; values of one rung are values of the next."""
    import pyarrow as pa

    moments = [pa.timestamp("s"), pa.timestamp("ns")]
    zoned = [pa.timestamp("s", "UTC"), pa.timestamp("ns", "UTC")]
    days, numbers = [pa.date32(), *moments], [pa.int64(), pa.float64()]
    if kind == pa.null():
        return [pa.int64(), pa.bool_(), *days, *zoned, pa.float64(), pa.string()]
    rungs = next((rungs for rungs in (numbers, days, zoned) if kind in rungs), [kind])
    return [*rungs[rungs.index(kind) :], pa.string()]


def _fits(values: pa.Array, kind: pa.DataType) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == pa.bool_():
        return bool(pc.all(pc.is_in(values, value_set=_words()[1])).as_py())
    try:
        values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


@cache
def _words() -> tuple[Any, Any]:
    """What pyarrow reads as null, and as true or false."""
    import pyarrow as pa
    import pyarrow.csv

    options = pa.csv.ConvertOptions()
    return pa.array(options.null_values), pa.array(options.true_values + options.false_values)
