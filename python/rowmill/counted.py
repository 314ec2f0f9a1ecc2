"""What a dataset knows of its documents' tokens before they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rowmill.arguments import positive
from rowmill.token_index import TokenTotals, build_index, how_to_build, num_tokens, why_uncountable

if TYPE_CHECKING:
    from rowmill.plan import Plan

__all__ = ["Counted"]


class Counted:
    """The methods of a Dataset that count tokens."""

    _plan: Plan

    @property
    def epoch(self) -> int:
        """The epoch that is being read, or that comes next where the last one is over."""
        raise NotImplementedError

    def count_tokens(
        self,
        *,
        num_threads: int | None = None,
        force: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> TokenTotals:
        """Counts the tokens of every document once, and keeps the counts in the index folder; see docs/pretraining.

        With them a packed dataset has a length, and its finite epochs end after the same number of steps on all ranks.
        What is known is not counted again; a count that was killed goes on where it was. Of several processes one
        counts, and the others wait for it.

        Args:
            num_threads: Threads that read and encode; all cores when None.
            force: Count again what is known.
            progress: Called with the rows done and all rows, some ten times a second.

        Returns:
            The totals over all rows of the files, whatever this dataset takes of them; of a mix over all its sources,
            each of which has counts of its own, the same as without the mix.

        Raises:
            SchemaMismatchError: The dataset neither tokenizes nor packs, or Python functions make its documents.
        """
        threads = None if num_threads is None else positive("num_threads", num_threads, 1)
        return build_index(self._plan, num_threads=threads, force=force, progress=progress)

    @property
    def num_tokens(self) -> int:
        """Tokens of the documents that the current epoch is drawn from, over all ranks.

        Raises:
            TypeError: They have not been counted, or the epoch has no end.
        """
        reason = why_uncountable(self._plan)
        if not self._plan.has_end:
            reason = "the mix never ends, and so has no number of tokens"
        elif self._plan.mixes_samples:
            reason = "an epoch of packed sources ends after so many samples (len of it says how many); ask its sources"
        if reason is not None:
            raise TypeError(reason)
        number = num_tokens(self._plan, self.epoch)
        if number is None:
            raise TypeError(f"the documents' tokens have not been counted; do it once: {how_to_build(self._plan)}")
        return number
