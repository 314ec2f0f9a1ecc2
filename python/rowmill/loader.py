"""A dataset with the engine's settings: what a training loop iterates."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rowmill.caching.going_over import over_cache
from rowmill.cursor import Cursor
from rowmill.iterators import ReadOptions, position_iterator
from rowmill.laned import LanedIterator
from rowmill.mixing.counts import mix_stats
from rowmill.mixing.tokens import check_tokens
from rowmill.packed import packed_iterator
from rowmill.states import States

if TYPE_CHECKING:
    from types import TracebackType

    from rowmill.dataset import Dataset
    from rowmill.plan import Plan

__all__ = ["Loader"]


class Loader:
    """Iterates a dataset in this process; reading, decoding and assembling run in Rust threads without the GIL.

    A second pass after a finished one is the next epoch. Closing (also by ``with``, garbage collection or the
    interpreter's exit) stops the threads; a closed loader may be iterated again.
    """

    def __init__(self, dataset: Dataset, options: ReadOptions) -> None:
        self.dataset = dataset
        self.options = options
        self._newest: weakref.ref[Any] | None = None
        self._final_stats: dict[str, Any] = {}
        self._current: Callable[[], Cursor] | None = None

    def __iter__(self) -> Iterator[Any]:
        """Begins a pass: at the cursor that was loaded, else at the beginning of the epoch that is due."""
        plan, progress = self.dataset._plan, self.dataset._progress
        check_tokens(plan)
        made = over_cache(plan, progress, self._stream) if plan.pipeline.is_cached else self._stream(plan)
        self._newest, self._final_stats = weakref.ref(made), made.final_stats
        self._current = made.current() if plan.is_mixed else None
        return made  # type: ignore[no-any-return]

    def _stream(self, plan: Plan) -> Any:
        progress = self.dataset._progress
        if plan.pipeline.pack is not None and not plan.pipeline.packs_python_rows:
            return packed_iterator(plan, progress, self.options)
        if plan.pipeline.is_laned:
            return LanedIterator(plan, progress, self.options)
        return position_iterator(plan, progress, self.options)

    def __len__(self) -> int:
        return len(self.dataset)

    def state_dict(self, *, gather: bool = False) -> Cursor:
        """The cursor after what the newest pass has returned; a JSON-able dict. ``gather`` makes it the whole job's."""
        return self.dataset.state_dict(gather=gather)

    def load_state_dict(self, state: States, *, strict: bool = True, allow_remix: bool = False) -> None:
        """Makes the next pass begin at ``state``; see ``rowmill.Dataset.load_state_dict``."""
        self.dataset.load_state_dict(state, strict=strict, allow_remix=allow_remix)

    def stats(self) -> dict[str, Any]:
        """What the newest pass did, also after its loop; empty before the first one.

        Returns:
            rows, batches (counts returned); bytes (of returned batches); wait_seconds (the consumer waited);
            busy_seconds (sum over the engine's threads); ring_items, ring_bytes, peak_ring_bytes; blocks_decoded,
            blocks_decoded_again (for want of memory), row_groups_scanned_again (for want of a page index),
            blocks_pruned (by a filter); cache_bytes; read_bytes; mapped_bytes (made present); pool_bytes;
            skipped_rows; num_threads; io; of URLs ``remote``, see ``rowmill.remote.stats``; and the receipt of what was
            delivered (see ``rowmill.merge_receipts``). With packing also tokens, padding_tokens, padding_share,
            documents, cut_documents. Of a mix also ``mix``: by source the rows given since it began, and the epochs
            that they are (of packed sources the samples; of a mix by tokens also the tokens).
        """
        newest = self._newest() if self._newest is not None else None
        stats = dict(self._final_stats if newest is None else newest.stats())
        given = None if self._current is None else mix_stats(self.dataset._plan, self._current())
        return stats if given is None else {**stats, "mix": given}

    def close(self) -> None:
        """Stops the threads of the newest pass."""
        newest = self._newest() if self._newest is not None else None
        if newest is not None:
            newest.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Loader({self.dataset!r}, {self.options!r})"
