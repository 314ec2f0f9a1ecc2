"""What a dataset keeps of what it makes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rowmill.arguments import positive

if TYPE_CHECKING:
    from rowmill.dataset import Dataset
    from rowmill.plan import Plan

__all__ = ["Caches"]


class Caches:
    """The method of a Dataset that writes what it makes."""

    _plan: Plan

    def cache(
        self,
        dir: str | os.PathLike[str] | None = None,
        *,
        max_bytes: int | None = None,
        key: str | None = None,
        wait: bool = True,
    ) -> Dataset:
        """Writes the rows that the stages so far make, once, and reads them from then on; see docs/caching.

        The first call writes them in storage order on all cores (one process does, the others wait), whole or, after
        a kill, on from where it stopped. Every later one finds them in milliseconds as long as data, stages,
        tokenizer and functions are the same. The rows are then a data set like any other, with its own fingerprint:
        shuffling, packing and batching go on from there, and settings (order, rank, format, epochs) stay.

        Args:
            dir: Folder of caches; ``$ROWMILL_CACHE/cached`` or the user's when None.
            max_bytes: Bytes that this cache may take; as many as the disk has left, but for some, when None.
            key: What your functions depend on and nothing shows, such as the version of a model that they call. With
                one, objects whose value cannot be told are taken by their type.
            wait: False returns at once, with rows in the order of the source: they are made as they are read, while a
                thread writes the cache, and read from it once it is whole. A cursor holds on both sides. Where the
                number of rows is only known once they are made (``.filter``, batched ``.map``, ``.take``, ``.pack``)
                there is no such order, and the call waits all the same.

        Raises:
            DiskBudgetError: It would take more than ``max_bytes``, or than the disk has left.
            SchemaMismatchError: It stands behind ``.batch``, or behind a take or skip of shuffled rows; or a function
                refers to something whose value cannot be told, and there is no ``key``.

        Example:
            >>> import rowmill, tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     files = rowmill.demo.write_shards(folder, num_shards=2)
            ...     ds = rowmill.open(files).filter(lambda row: len(row["text"]) > 100).tokenize("bytes")
            ...     kept = ds.cache(folder + "/cached").shuffle(seed=7).batch(8)
            ...     batch = next(iter(kept.with_format("python")))
            >>> len(kept) > 0, sorted(batch)
            (True, ['input_ids'])
        """
        from rowmill.caching.build import cached_shards
        from rowmill.caching.in_blocks import cached_stage
        from rowmill.dataset import Dataset
        from rowmill.source import OpenedSource, OpenOptions

        budget = None if max_bytes is None else positive("max_bytes", max_bytes, 1)
        assert isinstance(self, Dataset), "mixed into it"
        if not wait and (stage := cached_stage(self._plan, dir, budget, key)) is not None:
            return self._with_stage(stage)
        shards = cached_shards(self, dir, budget, key)
        before = self._plan
        options = before.source.options
        kept = OpenOptions(
            paths=tuple(shards), index_dir=options.index_dir, num_threads=options.num_threads, origin=options.origin
        )
        return self._with(source=OpenedSource(kept), stages=())
