"""``rowmill.create_huggingface_dataset``: text of the Hub or of a folder as (inputs, labels) for a language model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rowmill.arguments import count, positive
from rowmill.cursor import Cursor
from rowmill.exceptions import OfflineError, RevisionNotFoundError, SchemaMismatchError, TopologyError
from rowmill.hub_cache import is_repo_name
from rowmill.placement import Placement, find_rank
from rowmill.presets import PRESETS, Preset, find_preset
from rowmill.token_windows import is_small, token_windows
from rowmill.torch import IterableDatasetBase, has_torch

if TYPE_CHECKING:
    from rowmill.dataset import Dataset

__all__ = ["TokenBatches", "create_huggingface_dataset"]

_NUM_LANES = 64
# How `.take` of batches stands in a cursor's pipeline.
_CLIP = "clip(0,"


def create_huggingface_dataset(
    dataset_name: str | os.PathLike[str],
    *,
    rank: int | None = None,
    world_size: int | None = None,
    num_batches: int | None = None,
    batch_size: int = 4,
    seq_len: int = 512,
    tokenizer_name: Any = None,
    streaming: Any = "auto",
    seed: int | None = None,
    split: str = "train",
    name: str | None = None,
    column: str | None = None,
    revision: str | None = None,
) -> TokenBatches:
    """Text as batches of token ids for a language model: read, encoded and packed in Rust threads.

    Documents are laid end to end, each with the tokenizer's end-of-text id behind it, and cut into samples of
    ``seq_len`` + 1 tokens. Each rank has every ``world_size``-th sample.

    Args:
        dataset_name: A preset ("fineweb", "fineweb-edu", "pile", "tiny_shakespeare", "shakespeare"), the full name of a
            repository on the Hub, or the path of local shards.
        rank: This rank; that of torch.distributed or RANK, or 0 without a job, when None.
        world_size: Ranks of the job, found in the same way; 1 without a job.
        num_batches: Batches of a pass, over as many epochs of the data as it takes; one epoch when None, which several
            ranks can share only where the data are small.
        batch_size: Samples of each rank's batch.
        seq_len: Tokens of a sample.
        tokenizer_name: A name in the Hub's cache (or on the Hub), a path, a tokenizer, or "bytes"; the preset's, or
            "gpt2", when None.
        streaming: As in ``rowmill.load_dataset``.
        seed: Of a new shuffle each epoch; storage order when None.
        split: Which split is read.
        name: Configuration of the data set; the preset's when None.
        column: Column of text; the preset's, "text", or the only one of strings when None.
        revision: Branch, tag or commit of the data set.

    Returns:
        An iterable of pairs (inputs, labels), both int64 of (``batch_size``, ``seq_len``), torch tensors or NumPy
        arrays without torch; labels are the inputs shifted by one. It has ``len`` (``num_batches``), ``state_dict``
        and ``load_state_dict``; its ``.dataset`` is the rowmill dataset below.

    Raises:
        UnknownDatasetError: There is no such name; the text has the nearest ones.
        ImportError: A package is missing; the text says which to install.
        OfflineError: The network is needed and not there (a ConnectionError); the text says what is cached.
        TopologyError: There is no such rank, or several ranks ask for one epoch of large data.

    Example:
        >>> import rowmill, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = rowmill.demo.write_shards(folder)
        ...     ds = rowmill.create_huggingface_dataset(folder, tokenizer_name="bytes", num_batches=10, seq_len=32)
        ...     inputs, labels = next(iter(ds))
        >>> inputs.shape == labels.shape == (4, 32), len(ds)
        (True, 10)
    """
    num_shards, index = _rank(rank, world_size)
    batch_size, length = positive("batch_size", batch_size, 4), positive("seq_len", seq_len, 512) + 1
    num_batches = None if num_batches is None else positive("num_batches", num_batches, 1)
    preset = _preset(dataset_name, name, column, revision)
    opened = _open(dataset_name, preset, split, streaming)
    text = preset.column or _text_column(opened, str(dataset_name))
    tokenized = opened.tokenize(_tokenizer(tokenizer_name, preset), column=text)
    if is_small(opened):
        samples = token_windows(tokenized, length)
        if seed is not None:
            samples = samples.shuffle(seed, mode="row", num_lanes=max(_NUM_LANES, num_shards))
    else:
        mode: Any = "none" if seed is None else "window"
        samples = tokenized.shuffle(seed, mode=mode, num_lanes=_num_lanes(num_shards)).pack(length, labels=None)
    samples = samples.shard(num_shards, index).with_format("torch" if has_torch() else "numpy", dtypes="int64")
    vocab_size = _vocab_size(tokenized)
    if num_batches is None:
        return TokenBatches(samples.batch(batch_size, remainder="drop"), None, vocab_size)
    return TokenBatches(samples.repeat().batch(batch_size).take(num_batches), num_batches, vocab_size)


class TokenBatches(IterableDatasetBase):
    """Made by ``create_huggingface_dataset``; give torch's DataLoader ``batch_size=None``, for it yields batches.

    Attributes:
        dataset: The rowmill dataset of samples below, whose cursor ``state_dict`` is.
        num_batches: Batches of a pass, or None for an epoch.
        vocab_size: Ids of the tokenizer; None for a function.
    """

    def __init__(self, dataset: Dataset, num_batches: int | None, vocab_size: int | None) -> None:
        super().__init__()
        self.dataset, self.num_batches, self.vocab_size = dataset, num_batches, vocab_size

    def __len__(self) -> int:
        """Batches of a pass.

        Raises:
            TypeError: It is one epoch of data that only reading tells the length of; give ``num_batches``.
        """
        return len(self.dataset) if self.num_batches is None else self.num_batches

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return _PairIterator(self.dataset)

    def state_dict(self) -> Cursor:
        """The cursor after what was returned; see docs/cursor. Those of several ranks: ``rowmill.merge_states``."""
        return self.dataset.state_dict()

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Makes the next pass begin at ``state``; see ``rowmill.Dataset.load_state_dict``."""
        self.dataset.load_state_dict(_refitted(state, self.dataset), strict=strict)

    def __repr__(self) -> str:
        return f"TokenBatches({self.dataset!r}, num_batches={self.num_batches})"


class _PairIterator(Iterator[tuple[Any, Any]]):
    """A pass over batches of ids, as pairs that are shifted by one."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        try:
            self._batches: Any = iter(dataset)
        except TopologyError as error:
            raise TopologyError(
                f"{error}; with create_huggingface_dataset, num_batches= does both: all ranks take as many steps"
            ) from None

    def __next__(self) -> tuple[Any, Any]:
        ids = next(self._batches)["input_ids"]
        inputs, labels = ids[:, :-1], ids[:, 1:]
        if isinstance(ids, np.ndarray):
            return np.ascontiguousarray(inputs), np.ascontiguousarray(labels)
        return inputs.contiguous(), labels.contiguous()

    def state_dict(self) -> Cursor:
        """The cursor after what was returned."""
        return self._batches.state_dict()  # type: ignore[no-any-return]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Moves this iterator to ``state``."""
        self._batches.load_state_dict(_refitted(state, self._dataset))


def _refitted(state: Mapping[str, Any], dataset: Dataset) -> Cursor:
    """The state with this dataset's number of batches: a training that is made longer goes on with the same stream."""
    stages = state.get("pipeline") if isinstance(state, Mapping) else None
    if not isinstance(stages, list):
        # What is no cursor is told where it is loaded.
        return state  # type: ignore[return-value]
    theirs, ours = stages, list(dataset._plan.identity.pipeline)
    if theirs and str(theirs[-1]).startswith(_CLIP):
        theirs = theirs[:-1]
    own_clip = ours[-1:] if ours and ours[-1].startswith(_CLIP) else []
    return {**state, "pipeline": [*theirs, *own_clip]}


def _rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if rank is None or world_size is None:
        # What is not said is the job's, or that of a process alone.
        num_shards, index = find_rank(None)
        rank, world_size = index if rank is None else rank, num_shards if world_size is None else world_size
    placement = Placement(positive("world_size", world_size, 1), count("rank", rank))
    return placement.num_shards, placement.index


def _vocab_size(tokenized: Dataset) -> int | None:
    stage = tokenized._plan.pipeline.tokenize
    # A function's ids are not known before it is called; such a stage runs in Python.
    return None if stage is None or stage.tokenizer.rust is None else int(stage.tokenizer.rust.vocab_size)


def _num_lanes(num_shards: int) -> int:
    """The usual number of lanes where the ranks divide it, else the next one that they do divide."""
    return -(-_NUM_LANES // num_shards) * num_shards


def _preset(dataset_name: Any, config: str | None, column: str | None, revision: str | None) -> Preset:
    text = os.fspath(dataset_name)
    preset = Preset(text, "local files", text) if _is_local(text) else find_preset(text)
    chosen: dict[str, Any] = {"config": config, "column": column, "revision": revision}
    if revision is not None:
        # The folder is that of the preset's own revision.
        chosen["data_dir"] = None
    return replace(preset, **{name: value for name, value in chosen.items() if value is not None or name == "data_dir"})


def _is_local(text: str) -> bool:
    return text not in PRESETS and (os.path.exists(text) or any(sign in text for sign in "*?["))


def _open(dataset_name: Any, preset: Preset, split: str, streaming: Any) -> Dataset:
    from rowmill.hub.load import load_dataset

    if _is_local(os.fspath(dataset_name)):
        return load_dataset(dataset_name, preset.config, split=split)
    if streaming == "auto" and preset.name in PRESETS:
        streaming = preset.is_streamed
    try:
        return _load(preset, split, streaming)
    except RevisionNotFoundError as error:
        if preset.revision is None or PRESETS.get(preset.name) != preset:
            raise
        raise RevisionNotFoundError(
            f"{error.message}. The preset {preset.name} is the revision {preset.revision}, where its rows are Parquet; "
            "another one may hold other rows, and is read where you name it, as in revision='main'",
            preset.repo,
        ) from error


def _load(preset: Preset, split: str, streaming: Any) -> Dataset:
    from rowmill.hub.load import load_dataset

    columns = None if preset.column is None else [preset.column]
    try:
        return load_dataset(
            preset.repo,
            preset.config,
            split=split,
            data_dir=preset.data_dir,
            revision=preset.revision,
            columns=columns,
            streaming=streaming,
        )
    except ConnectionError as error:
        raise OfflineError(f"{error}. {_cached()}", preset.repo) from error


def _cached() -> str:
    from rowmill.hub_cache import cached_repos

    names = cached_repos("datasets")
    if not names:
        return "No data set is cached on this machine"
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"Cached on this machine, and usable without a network: {shown}"


def _text_column(dataset: Dataset, name: str) -> str:
    """The column that is a document's text."""
    import pyarrow as pa

    strings: list[str] = [
        field.name for field in dataset.schema if pa.types.is_string(field.type) or _is_large(field.type)
    ]
    if "text" in strings:
        return "text"
    if len(strings) == 1:
        return str(strings[0])
    found = f"it has {', '.join(strings)}" if strings else "it has no column of strings"
    raise SchemaMismatchError(f"{name}: which column is the text? {found}; say so by column=")


def _is_large(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _tokenizer(asked: Any, preset: Preset) -> Any:
    tokenizer = preset.tokenizer if asked is None else asked
    if not isinstance(tokenizer, str) or tokenizer == "bytes" or os.path.exists(tokenizer):
        return tokenizer
    if not is_repo_name(tokenizer):
        return tokenizer
    from rowmill.hub.tokenizer import fetch_tokenizer

    return fetch_tokenizer(tokenizer)
