"""CSV and TSV to Arrow tables under one schema: the first row names the columns, all their values decide the types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rowmill.conversion.blame import blame_csv
from rowmill.conversion.chunks import Text, open_text
from rowmill.conversion.csv_types import holding
from rowmill.conversion.kinds import TextFile
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CsvFiles"]

_BLOCK_BYTES = 1 << 20
_LONGEST_ROW = 1 << 30
_DELIMITERS = {"csv": ",", "tsv": "\t"}


class CsvFiles:
    """Reads files row by row through pyarrow's streaming reader.

    pyarrow settles the types by the first block. Where a later value does not fit, that file and those after it are
    surveyed as text for the types that hold all values (``needs_restart``), and a second reader, given these, reads
    everything again.
    """

    def __init__(
        self,
        files: Sequence[TextFile],
        tell: Callable[[int], None],
        schema: pa.Schema | None = None,
        block_bytes: int | None = None,
    ) -> None:
        self.files = files
        self.tell = tell
        self.schema = schema
        self.block_bytes = block_bytes or _BLOCK_BYTES
        self.is_final = schema is not None
        self.needs_restart = False

    def again(self) -> CsvFiles:
        """A reader of the same files under the schema that was found."""
        return CsvFiles(self.files, self.tell, self.schema, self.block_bytes)

    def tables(self) -> Iterator[pa.Table]:
        """Tables of one schema; of no use once ``needs_restart`` is set."""
        import pyarrow as pa

        for file in self.files:
            if not self.needs_restart:
                try:
                    yield from self._typed(file)
                    continue
                except pa.ArrowInvalid as problem:
                    if self.is_final:
                        raise blame_csv(file, _DELIMITERS[file.kind], problem) from problem
                except UnicodeDecodeError as problem:
                    # A column's name, or a text that pyarrow wanted to complain of.
                    raise blame_csv(file, _DELIMITERS[file.kind], problem) from problem
            self.needs_restart = True
            self._survey(file)

    def _typed(self, file: TextFile) -> Iterator[pa.Table]:
        import pyarrow as pa

        for batch in self._batches(file, _types(self.schema)):
            if pa.binary() in batch.schema.types:
                raise blame_csv(file, _DELIMITERS[file.kind], ValueError("a text that is not UTF-8"))
            yield pa.Table.from_batches([batch]).select(list(_types(self.schema)))

    def _batches(self, file: TextFile, types: dict[str, Any]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        with open_text(file, self.tell) as text, text.translated():
            try:
                reader = self._open(file, text, types)
                self._check_columns(file, reader.schema)
                if self.schema is None:
                    self.schema = reader.schema
                for batch in reader:
                    text.tell()
                    yield batch
            except pa.ArrowInvalid as problem:
                if "Empty CSV file" not in str(problem):
                    raise

    def _open(self, file: TextFile, text: Text, types: dict[str, Any]) -> Any:
        import pyarrow as pa
        import pyarrow.csv

        return pa.csv.open_csv(
            text.arrow,
            read_options=pa.csv.ReadOptions(block_size=self.block_bytes),
            parse_options=pa.csv.ParseOptions(delimiter=_DELIMITERS[file.kind], newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(column_types=types),
        )

    def _check_columns(self, file: TextFile, found: pa.Schema) -> None:
        names = found.names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SchemaMismatchError(
                f"{file.path}, line 1: two columns are called {twice!r}; the first line names the columns, "
                "each differently",
                file.path,
            )
        if self.schema is not None and set(names) != set(self.schema.names):
            odd = sorted(set(names) ^ set(self.schema.names))[0]
            raise SchemaMismatchError(
                f"{file.path}, line 1: its columns are {', '.join(names)}, those of {self.files[0].path} are "
                f"{', '.join(self.schema.names)} ({odd!r} is not in both); name files of one kind",
                file.path,
            )

    def _survey(self, file: TextFile) -> None:
        """Widens the schema until it holds every value of ``file``."""
        import pyarrow as pa

        while True:
            try:
                self._survey_once(file)
                return
            except UnicodeDecodeError as problem:
                raise blame_csv(file, _DELIMITERS[file.kind], problem) from problem
            except pa.ArrowInvalid as problem:
                if "straddling" not in str(problem) or self.block_bytes >= _LONGEST_ROW:
                    raise blame_csv(file, _DELIMITERS[file.kind], problem) from problem
                # A row longer than a block.
                self.block_bytes *= 8

    def _survey_once(self, file: TextFile) -> None:
        import pyarrow as pa

        # pyarrow reads ahead of the first line.
        with open_text(file) as text, text.translated():
            names = self._open(file, text, {}).schema.names
        if self.schema is None:
            # Not what the reader below is told, which is text.
            self.schema = pa.schema([(name, pa.null()) for name in names])
        for batch in self._batches(file, dict.fromkeys(names, pa.string())):
            wider = [(name, holding(batch.column(name), kind)) for name, kind in _types(self.schema).items()]
            self.schema = pa.schema(wider)


def _types(schema: pa.Schema | None) -> dict[str, Any]:
    return {} if schema is None else {field.name: field.type for field in schema}
