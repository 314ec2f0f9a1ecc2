"""The built module: what of rowmill is written in Rust."""

import sys
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, final

from typing_extensions import disjoint_base

__all__ = [
    "Buffer",
    "Counter",
    "Files",
    "LanePacker",
    "LanePlaces",
    "Lanes",
    "Mixture",
    "Order",
    "Packed",
    "PackedDocuments",
    "Padding",
    "RecordBatch",
    "RemoteObject",
    "Rows",
    "Schedule",
    "Schema",
    "Source",
    "Stream",
    "Table",
    "TokenCounts",
    "TokenShares",
    "Tokenizer",
    "Unpacker",
    "add_rows",
    "add_samples",
    "bare_urls",
    "count_items",
    "dealt_step",
    "download",
    "export_zeros",
    "fetch_piece",
    "lane_samples_at",
    "list_files",
    "list_store",
    "live_buffers",
    "remote_stats",
    "roundtrip",
    "roundtrip_schema",
    "rows_from_arrow",
    "set_remote_cache",
    "set_remote_headers",
    "set_remote_limits",
    "version_of",
]

_Bytes = bytes
_Receipt = tuple[str, int, int, int]
_Register = Callable[[int, int], object]
_Unregister = Callable[[int], object]

@final
class Source:
    @staticmethod
    def open(
        paths: Sequence[str | PathLike[str]],
        *,
        format: str | None,
        split: str | None,
        ranges: Sequence[tuple[int, int]],
        indices: Sequence[str | PathLike[str]],
        index_dir: str | PathLike[str] | None,
        force_reindex: bool,
        num_threads: int | None,
        on_error: str,
        known: Sequence[tuple[str | PathLike[str], int, str | None, bool]] | None = None,
        roots: Sequence[str | PathLike[str]] | None = None,
    ) -> Source: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def num_shards(self) -> int: ...
    @property
    def num_blocks(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...
    @property
    def block_rows(self) -> list[int]: ...
    @property
    def block_rows_range(self) -> tuple[int, int]: ...
    @property
    def block_bytes_range(self) -> tuple[int, int]: ...
    @property
    def num_schemas(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def column_names(self) -> list[str]: ...
    @property
    def schema(self) -> Schema: ...
    @property
    def warnings(self) -> list[str]: ...
    @property
    def strangers(self) -> list[Path]: ...
    @property
    def num_walked(self) -> int: ...
    @property
    def skipped(self) -> list[tuple[Path | str, str]]: ...
    def locate(self, row_ids: Sequence[int]) -> list[tuple[int, int, int]]: ...
    def verify(
        self, *, num_threads: int | None = None, progress: Callable[[int, int], object] | None = None
    ) -> list[dict[str, Any]]: ...
    def shards(self) -> list[dict[str, Any]]: ...
    def shard_facts(self) -> list[dict[str, Any]]: ...
    @property
    def is_parquet(self) -> bool: ...
    def shard_path(self, shard: int) -> Path | str: ...
    def shard_object(self, shard: int) -> RemoteObject | None: ...
    def partition_values(self, shard: int) -> dict[str, str | int | None]: ...
    def order(
        self,
        mode: str,
        *,
        seed: int,
        num_lanes: int,
        window_bytes: int,
        reshuffle_each_epoch: bool,
        row_start: int,
        row_stop: int,
    ) -> Order: ...
    def table(self, columns: Sequence[tuple[str, str]], io: str, *, of_objects: bool = False) -> Table: ...

@final
class Order:
    @staticmethod
    def of_files(
        num_files: int, *, is_shuffled: bool, seed: int, num_lanes: int, reshuffle_each_epoch: bool
    ) -> Order: ...
    @property
    def num_rows(self) -> int: ...
    def row_ids(self, epoch: int, start: int, stop: int) -> list[int]: ...
    def quality(self, epoch: int, num_positions: int, batch_size: int) -> dict[str, float]: ...
    @property
    def num_positions(self) -> int | None: ...

_PlainOrder = tuple[str, int, int, bool, tuple[int, int], tuple[int, int]]
_PlainSource = tuple[Table, Order, str, int | None, str, int, TokenCounts | None]
_PlainPlace = tuple[int, int, int, int, int, Sequence[tuple[int, int]]]
_PlainDeal = tuple[int, int, Sequence[tuple[int, int]], int]

@final
class Mixture:
    def __new__(cls, sources: Sequence[tuple[str, Source | None, int]]) -> Mixture: ...
    @property
    def num_rows(self) -> int: ...
    def own_row_ids(self, row_ids: Sequence[int]) -> list[tuple[int, int]]: ...
    def table(self, columns: Sequence[Sequence[tuple[str, str]]], io: str, origin: str | None = None) -> Table: ...
    def order(self, schedule: Schedule, stopping: str, orders: Sequence[_PlainOrder]) -> Order: ...
    def own_order(self, source: int, order: _PlainOrder, num_lanes: int) -> Order: ...

_Step = tuple[int, Sequence[float], bool]

@final
class Schedule:
    def __new__(cls, history: Sequence[tuple[int, Sequence[_Step]]], *, num_lanes: int, seed: int) -> Schedule: ...
    @property
    def history(self) -> list[tuple[int, list[tuple[int, list[float], bool]]]]: ...
    @property
    def shares(self) -> list[tuple[int, int, list[int]]]: ...
    @property
    def num_sources(self) -> int: ...
    @property
    def num_lanes(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def remix(self, position: int, steps: Sequence[_Step]) -> Schedule: ...
    def sources(self, start: int, stop: int) -> list[int]: ...
    def counts(self, position: int) -> list[int]: ...
    def position_of(self, source: int, index: int) -> int | None: ...
    def sample(self, lane: int, element: int) -> tuple[int, int]: ...
    def lane_count_before(self, source: int, lane: int, element: int) -> int: ...
    def lane_element_of(self, source: int, lane: int, index: int) -> int | None: ...
    def end(self, num_rows: Sequence[int], stopping: str) -> int | None: ...
    def end_of_lanes(self, lens: Sequence[Sequence[int]], stopping: str) -> int | None: ...

@final
class TokenShares:
    def __new__(cls, steps: Sequence[_Step], *, num_lanes: int, seed: int) -> TokenShares: ...
    def next_source(self, lane: int, tokens: Sequence[int]) -> int | None: ...

@final
class Table:
    @property
    def schema(self) -> Schema: ...
    def numeric_dtypes(self, tokens_as_int64: bool) -> list[tuple[str, str]]: ...
    def fetch(self, row_ids: Sequence[int]) -> list[dict[str, Any]]: ...
    def encoded(
        self,
        *,
        tokenizer: Tokenizer,
        parts: Sequence[tuple[str, str | None]],
        bos: int | None,
        eos: int | None,
        kept: Sequence[str],
    ) -> Table: ...
    def count_tokens(
        self,
        *,
        token_column: str,
        eos: int | None,
        path: Path,
        key: str,
        num_threads: int | None,
        force: bool,
        progress: Callable[[int, int], object] | None,
    ) -> TokenCounts: ...

@final
class PackedDocuments:
    def __new__(
        cls,
        table: Table,
        order: Order,
        *,
        counts: TokenCounts | None,
        token_column: str,
        eos: int | None,
        mode: str,
        seq_len: int,
        first_epoch: int,
        num_epochs: int | None,
        positions: tuple[int, int],
        shares: TokenShares | None,
    ) -> PackedDocuments: ...
    def samples(
        self, wanted: Sequence[tuple[_PlainPlace, tuple[int, int]]]
    ) -> list[list[list[tuple[int, int, int]]]]: ...
    def group_lens(self, places: Sequence[_PlainPlace]) -> list[int]: ...

@final
class TokenCounts:
    @staticmethod
    def open(path: Path, key: str, num_rows: int) -> TokenCounts | None: ...
    @staticmethod
    def joined(parts: Sequence[tuple[int, TokenCounts]]) -> TokenCounts: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def num_tokens(self) -> int: ...
    @property
    def num_left_out(self) -> int: ...
    @property
    def num_counted(self) -> int: ...
    @property
    def num_bytes(self) -> int: ...
    @property
    def paths(self) -> list[Path]: ...
    def row(self, row_id: int) -> int | None: ...
    def sum(self, start: int, stop: int) -> int: ...
    def lane_samples(
        self,
        order: Order,
        *,
        mode: str,
        seq_len: int,
        first_epoch: int,
        num_epochs: int,
        positions: tuple[int, int],
    ) -> list[int]: ...
    def lane_tokens(
        self, order: Order, *, first_epoch: int, num_epochs: int, positions: tuple[int, int]
    ) -> list[int]: ...

@final
class LanePacker:
    def __new__(
        cls, *, mode: str, seq_len: int, taken: int, labels: str | None, pad_id: int, columns: Sequence[str]
    ) -> Self: ...
    def document(self, row_id: int, element: int, ids: _Bytes) -> None: ...
    def finish(self) -> None: ...
    def pop(self) -> tuple[list[_Bytes], int, int, list[tuple[int, int, int]]] | None: ...

@final
class Unpacker:
    def __new__(cls) -> Self: ...
    def push(self, input_ids: _Bytes, document_ids: _Bytes, cu_seqlens: Sequence[int] | None) -> None: ...
    def finish(self) -> list[tuple[int, _Bytes]]: ...

@final
class LanePlaces:
    @property
    def lanes(self) -> list[tuple[int, int, int, int]]: ...
    @property
    def sources(self) -> list[list[tuple[int, int]]]: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def num_skipped(self) -> int: ...
    @property
    def receipt(self) -> _Receipt: ...
    def on_finish(self, callback: Callable[[], object]) -> None: ...

@disjoint_base
class Packed:
    def __new__(
        cls,
        *,
        sources: Sequence[_PlainSource],
        schedule: Schedule | None,
        shares: TokenShares | None,
        seq_len: int,
        labels: str | None,
        columns: Sequence[tuple[str, str]],
        cu_seqlens: bool,
        flatten: bool,
        batch_size: int,
        receipt_seed: int,
        output: str,
        num_threads: int | None,
        prefetch_batches: int | None,
        prefetch_bytes: int | None,
        wrap: Callable[[Any], Any] | None,
        pin: tuple[_Register, _Unregister] | None,
    ) -> Self: ...
    def begin(
        self,
        *,
        first_epoch: int,
        num_epochs: int | None,
        positions: Sequence[tuple[int, int]],
        epoch_samples: Sequence[int],
        lanes: Sequence[_PlainPlace],
        samples: tuple[int, int | None],
        deal: _PlainDeal | None,
        skip_steps: int,
        left_out: Sequence[tuple[int, int]],
        max_steps: int | None,
        is_agreed: bool,
        remainder: str,
        skipped: int,
        receipt: _Receipt,
    ) -> None: ...
    @property
    def places(self) -> LanePlaces: ...
    def hold_back(self) -> None: ...
    def acknowledge(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def stats(self) -> dict[str, Any]: ...
    def close(self) -> None: ...

@final
class Padding:
    def __new__(
        cls,
        *,
        tokens: str,
        padding: str,
        max_length: int | None,
        truncation: bool,
        multiple_of: int | None,
        padding_side: str,
        truncation_side: str,
        special: tuple[int, int],
        pad_id: int,
        values: Sequence[tuple[str, float | None]],
        labels: str | None,
        label_mask: str | None,
    ) -> Self: ...
    def places(self, lengths: Sequence[int]) -> tuple[int, list[tuple[list[tuple[int, int]], int]]]: ...

@final
class Tokenizer:
    @staticmethod
    def from_json(
        json: _Bytes, *, origin: str, allow_special: bool, engine: str, probes: Sequence[str]
    ) -> Tokenizer: ...
    @staticmethod
    def bytes() -> Tokenizer: ...
    def encode(self, text: str) -> list[int]: ...
    def encode_many(self, texts: Sequence[str]) -> tuple[_Bytes, list[int]]: ...
    def num_tokens(self, texts: Sequence[str]) -> int: ...
    def pieces(self, text: str, max_bytes: int) -> list[str]: ...
    def token_to_id(self, token: str) -> int | None: ...
    @property
    def pad_token(self) -> str | None: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def prefix(self) -> list[int]: ...
    @property
    def suffix(self) -> list[int]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def engine(self) -> dict[str, str | None]: ...

@final
class Counter:
    @property
    def num_returned(self) -> int: ...
    @property
    def num_skipped(self) -> int: ...
    @property
    def receipt(self) -> _Receipt: ...
    def on_finish(self, callback: Callable[[], object]) -> None: ...

@disjoint_base
class Stream:
    def __new__(
        cls,
        *,
        table: Table,
        order: Order,
        output: str,
        dtypes: Sequence[tuple[str, str]],
        fill_null: Sequence[tuple[str, float]],
        padding: Padding | None,
        groups: tuple[int, str, int] | None,
        receipt_seed: int,
        counts_tokens: bool,
        num_threads: int | None,
        prefetch_batches: int | None,
        prefetch_bytes: int | None,
        wrap: Callable[[Any], Any] | None,
        pin: tuple[_Register, _Unregister] | None,
    ) -> Self: ...
    def begin(
        self,
        *,
        epoch: int,
        per_epoch: int,
        first_position: int,
        first_item: int,
        skipped: int,
        num_positions: int | None,
        num_shards: int,
        index: int,
        num_workers: int,
        worker: int,
        batch_size: int | None,
        remainder: str,
        start: int,
        holes: Sequence[Sequence[int]],
        left_out: Sequence[tuple[int, int]],
        receipt: _Receipt,
    ) -> None: ...
    @property
    def counter(self) -> Counter: ...
    def dealt(self, positions: Sequence[int]) -> list[int]: ...
    def hold_back(self) -> None: ...
    def acknowledge(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def stats(self) -> dict[str, Any]: ...
    def close(self) -> None: ...

@final
class Lanes:
    def __new__(
        cls,
        *,
        table: Table,
        order: Order,
        output: str,
        dtypes: Sequence[tuple[str, str]],
        fill_null: Sequence[tuple[str, float]],
        padding: Padding | None,
        num_threads: int | None,
        prefetch_bytes: int | None,
        wrap: Callable[[Any], Any] | None,
        pin: tuple[_Register, _Unregister] | None,
        files: Files | None = None,
    ) -> Self: ...
    def submit(self, epoch: int, lane: int, start: int, len: int) -> None: ...
    def take(self, epoch: int, lane: int, start: int, len: int) -> Rows: ...
    def unknown_shards(self, epoch: int, lane: int, start: int, len: int) -> list[int]: ...
    def prune(self, shard: int, row_groups: Sequence[int]) -> None: ...
    def prune_nothing(self, shard: int) -> None: ...
    def assemble(self, picks: Sequence[tuple[Rows, int]]) -> Any: ...
    @property
    def num_skipped(self) -> int: ...
    def stats(self) -> dict[str, Any]: ...
    def close(self) -> None: ...

@final
class Files:
    def __new__(
        cls,
        paths: Sequence[str | PathLike[str]],
        *,
        sizes: Sequence[int | None],
        known: Sequence[tuple[str | PathLike[str], int, str | None, bool]],
        columns: Sequence[tuple[str, str]],
        mode: str,
        seed: int,
        window_bytes: int,
        reshuffle_each_epoch: bool,
        io: str,
        total_bytes: int,
        num_lanes: int,
    ) -> Self: ...
    def __len__(self) -> int: ...

@final
class RemoteObject:
    def __len__(self) -> int: ...
    def read(self, start: int, len: int) -> bytes: ...

@final
class Rows:
    def __len__(self) -> int: ...
    @property
    def offsets(self) -> list[int]: ...
    @property
    def token_counts(self) -> list[int]: ...
    @property
    def file_rows(self) -> int: ...
    @property
    def row_ids(self) -> list[int]: ...
    def row(self, index: int) -> dict[str, Any]: ...
    def to_arrow(self, indices: Sequence[int], names: Sequence[str]) -> RecordBatch: ...

@final
class RecordBatch:
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __arrow_c_schema__(self) -> object: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def num_columns(self) -> int: ...
    @property
    def schema(self) -> Schema: ...
    def __len__(self) -> int: ...

@final
class Schema:
    def __arrow_c_schema__(self) -> object: ...
    @property
    def names(self) -> list[str]: ...
    def __len__(self) -> int: ...

@final
class Buffer:
    def __len__(self) -> int: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

def add_samples(
    parts: _Receipt,
    samples: Sequence[tuple[int, Sequence[tuple[int, int, int]]]],
    *,
    seed: int,
    first_epoch: int,
) -> _Receipt: ...
def add_rows(
    parts: _Receipt,
    rows: Sequence[int],
    *,
    order: Order,
    firsts: Sequence[int],
    is_grouped: bool,
    seed: int,
    first_epoch: int,
) -> _Receipt: ...
def count_items(
    *,
    num_positions: int | None,
    num_shards: int,
    index: int,
    num_workers: int,
    worker: int,
    batch_size: int | None,
    remainder: str,
    start: int,
    holes: Sequence[Sequence[int]],
    left_out: Sequence[tuple[int, int]],
) -> int: ...
def rows_from_arrow(batch: object, *, storage: bool = False) -> list[dict[str, Any]]: ...
def live_buffers() -> int: ...
def dealt_step(deal: _PlainDeal, batch_size: int, step: int) -> list[list[tuple[int, int]]]: ...
def lane_samples_at(ranges: Sequence[tuple[int, int]], position: int) -> list[int]: ...
def roundtrip(batch: object) -> RecordBatch: ...
def roundtrip_schema(schema: object) -> Any: ...
def export_zeros(kind: str, num_bytes: int, dtype: str, shape: Sequence[int]) -> Any: ...
def bare_urls(urls: Sequence[str]) -> list[str]: ...
def list_files(
    paths: Sequence[str | PathLike[str]], *, split: str | None
) -> tuple[list[tuple[str | Path, int | None]], list[str], bool]: ...
def list_store(url: str) -> list[tuple[str, int, str | None]]: ...
def version_of(url: str | PathLike[str]) -> str: ...
def download(url: str | PathLike[str], path: str | PathLike[str]) -> None: ...
def fetch_piece(
    url: str,
    headers: Sequence[tuple[str, str]],
    start: int,
    stop: int,
    path: str | PathLike[str],
    timeout: float,
) -> int: ...
def set_remote_headers(prefix: str, headers: Sequence[tuple[str, str]] | None) -> None: ...
def set_remote_limits(
    *,
    connections: int | None = None,
    ahead_bytes: int | None = None,
    requests_per_second: float | None = None,
    max_attempts: int | None = None,
    patience: float | None = None,
    first_wait: float | None = None,
    longest_wait: float | None = None,
    timeout: float | None = None,
) -> None: ...
def set_remote_cache(
    *, is_on: bool, folder: str | PathLike[str] | None, budget: int | None, keeps_blocks: bool | None
) -> None: ...
def remote_stats() -> dict[str, Any]: ...
