"""Mixes by tokens: whose document comes next depends on how many tokens each source gave, lane by lane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rowmill.exceptions import SchemaMismatchError
from rowmill.stages.pack import WINDOWS

if TYPE_CHECKING:
    from rowmill.plan import Plan

__all__ = ["check_tokens"]


def check_tokens(plan: Plan) -> None:
    """Raises SchemaMismatchError where a mix by tokens is asked for what only its documents' tokens would tell."""
    pipeline = plan.pipeline
    if not plan.mixes_tokens:
        return
    if pipeline.pack is None or pipeline.packs_python_rows:
        raise SchemaMismatchError(
            'a mix with unit="tokens" counts tokens where they are packed in the engine: it wants .pack(...) behind '
            "it, of the documents of .tokenize(...) or of a column of ids, without functions or filters before. Mix by "
            'samples (unit="samples"), or pack each source and mix the samples'
        )
    if pipeline.pack.mode == WINDOWS:
        raise SchemaMismatchError(
            f'mode="{WINDOWS}" fits documents over the windows of an order, and a mix with unit="tokens" has none; '
            'take mode="best_fit"'
        )
    if pipeline.positions != (0, None):
        raise SchemaMismatchError(
            'take and skip before .pack count documents by their positions, of which a mix with unit="tokens" has '
            "none; put them behind .pack, where they count samples, or on the sources"
        )
    if plan.has_end:
        raise SchemaMismatchError(
            'a mix with unit="tokens" has no end that could be known before its documents are read, and its stopping '
            f'is {plan.stopping!r}; use stopping="repeat" or .repeat(), with .batch(...).take(steps) for an end'
        )
