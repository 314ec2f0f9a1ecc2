"""What decides on the rows that a chain of stages makes, as one name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any

from rowmill.caching.functions import digest_of
from rowmill.exceptions import SchemaMismatchError
from rowmill.stages import Cached, Clip, Filter, Map, Stage, Tokenize

if TYPE_CHECKING:
    from rowmill.plan import Plan

__all__ = ["cache_key", "check_can_be_cached"]

# Of what is written for the same chain; a change here writes everything again.
_VERSION = 1


def check_can_be_cached(plan: Plan) -> None:
    """Raises SchemaMismatchError where what is made is not the same rows in every order and on every rank."""
    if plan.is_mixed:
        raise SchemaMismatchError("what a mix draws depends on its schedule and order; give its sources .cache instead")
    if plan.pipeline.batch is not None:
        raise SchemaMismatchError(".cache keeps rows, and .batch makes batches of them; put .cache before .batch")
    if any(isinstance(stage, Clip) and stage.shuffled for stage in plan.stages):
        raise SchemaMismatchError(
            "take or skip after .shuffle takes other rows in each epoch; put .cache before it, and them after"
        )


def cache_key(plan: Plan, key: str | None, *, in_blocks: bool = False) -> str:
    """The name of what ``plan`` makes, whatever order, rank and format it is read in.

    Args:
        plan: The chain.
        key: What the caller says of it beyond what can be seen.
        in_blocks: Whether it is written in the blocks of the source.
    """
    source = plan.source
    said: dict[str, Any] = {
        "version": _VERSION,
        "data": source.rust.fingerprint,
        "on_error": source.options.on_error,
        "features": source.options.features,
        "columns": source.rust.column_names,
        "stages": [_described(stage, key) for stage in plan.stages if not isinstance(stage, Cached)],
        "key": key,
    }
    if in_blocks:
        said["blocks"] = hashlib.blake2b(json.dumps(source.rust.block_rows).encode(), digest_size=16).hexdigest()
    if any(_has_function(stage) for stage in plan.stages):
        # The same source text is other bytecode there.
        said["python"] = [sys.implementation.name, *sys.version_info[:2]]
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()


def _has_function(stage: Stage) -> bool:
    if isinstance(stage, Tokenize):
        return stage.tokenizer.function is not None
    return isinstance(stage, Map) or (isinstance(stage, Filter) and not stage.is_expression)


def _described(stage: Stage, key: str | None) -> list[Any]:
    name = type(stage).__name__.lower()

    def digest(value: Any) -> str:
        return digest_of(value, what=f".{name}", is_lenient=key is not None)

    if isinstance(stage, Map):
        rest = [stage.batched, stage.batch_size if stage.batched else 0, list(stage.remove_columns)]
        return [name, digest(stage.function), *rest, digest(dict(stage.fn_kwargs))]
    if isinstance(stage, Filter):
        return [name, stage.describe() if stage.is_expression else digest(stage.condition)]
    if isinstance(stage, Tokenize):
        function = stage.tokenizer.function
        return [name, stage.describe(), None if function is None else digest(function)]
    return [name, repr(dataclasses.astuple(stage))]
