"""A text file, plain or compressed, in pieces of bounded size that end where a line ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rowmill.conversion.kinds import TextFile
from rowmill.exceptions import AccessDeniedError, CorruptShardError, MissingShardError, RowmillError

__all__ = ["CHUNK_BYTES", "Chunk", "Text", "chunks", "open_text"]

# What one thread parses at a time, and an Arrow block at most: large enough to be worth a call, small enough to stay in
# the processor's cache from the first check to the last copy.
CHUNK_BYTES = 1 << 20
# pyarrow's offsets are 32 bits wide: no value of a longer line could be held.
LONGEST_LINE = 1 << 30
_BOM = b"\xef\xbb\xbf"
_FOREIGN = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of one file, and the offset of the first in the unpacked text."""

    file: TextFile
    offset: int
    text: memoryview


class Text:
    """The unpacked bytes of a file; tells how many bytes of the file itself were read."""

    def __init__(self, file: TextFile, tell: Callable[[int], None] = lambda _: None) -> None:
        import pyarrow as pa

        self.file = file
        self._tell = tell
        self._told = 0
        try:
            self._raw = pa.OSFile(file.path, "rb")
        except FileNotFoundError:
            raise MissingShardError(f"{file.path}: no such file", file.path) from None
        except PermissionError as error:
            raise AccessDeniedError(f"{file.path} cannot be read: {error}", file.path) from error
        self.arrow: Any = self._raw if file.codec is None else pa.CompressedInputStream(self._raw, file.codec)

    def readinto(self, buffer: memoryview) -> int:
        """Fills ``buffer`` as far as the text goes; returns how many bytes that were."""
        size = 0
        with self.translated():
            while size < len(buffer) and (count := self.arrow.readinto(buffer[size:])):
                size += count
        self.tell()
        return size

    def tell(self) -> None:
        """Passes on how far the file was read since the last call."""
        at = self._raw.tell()
        self._tell(at - self._told)
        self._told = at

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Lets pyarrow's word on the stream end in ours."""
        try:
            yield
        except RowmillError:
            raise
        except OSError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CorruptShardError:
        at = self._raw.tell()
        packed = f"{self.file.codec} stream" if self.file.codec else "file"
        return CorruptShardError(
            f"{self.file.path}: the {packed} is damaged or truncated near byte {at:,}: {error}; copy it again",
            self.file.path,
            offset=at,
        )

    def __enter__(self) -> Text:
        return self

    def __exit__(self, *_: object) -> None:
        self.arrow.close()
        self._raw.close()


def open_text(file: TextFile, tell: Callable[[int], None] = lambda _: None) -> Text:
    """Opens ``file``, whatever codec is around it; ``tell`` hears of each byte of the file that was read."""
    return Text(file, tell)


def chunks(file: TextFile, tell: Callable[[int], None] = lambda _: None) -> Iterator[Chunk]:
    """The lines of ``file``, whole, in chunks of at most ``CHUNK_BYTES`` or one line.

    Where the cuts are depends on the unpacked text alone.
    """
    size = CHUNK_BYTES
    buffer, held, offset = bytearray(size), 0, 0
    with open_text(file, tell) as text:
        while True:
            end = held + text.readinto(memoryview(buffer)[held:])
            if offset == 0:
                _check_encoding(file, buffer[:4])
            if end < len(buffer):
                if end:
                    yield _chunk(file, buffer, offset, end)
                return
            cut = buffer.rfind(b"\n") + 1
            if not cut:
                held = end
                buffer = _longer(file, buffer, offset)
                continue
            held = end - cut
            following = bytearray(size if held < size else held + size)
            following[:held] = memoryview(buffer)[cut:end]
            yield _chunk(file, buffer, offset, cut)
            buffer = following
            offset += cut


def _chunk(file: TextFile, buffer: bytearray, offset: int, end: int) -> Chunk:
    """What ``buffer`` holds up to ``end``, but for a byte order mark at the beginning of the file."""
    start = len(_BOM) if offset == 0 and buffer.startswith(_BOM) else 0
    return Chunk(file, offset + start, memoryview(buffer)[start:end])


def _check_encoding(file: TextFile, head: bytearray) -> None:
    for mark, name in _FOREIGN.items():
        if head.startswith(mark):
            raise CorruptShardError(
                f"{file.path} is {name}, not UTF-8; convert it: iconv -f {name} -t UTF-8", file.path, offset=0
            )


def _longer(file: TextFile, buffer: bytearray, offset: int) -> bytearray:
    if offset == 0 and buffer.removeprefix(_BOM).lstrip()[:1] == b"[":
        raise CorruptShardError(
            f"{file.path}, line 1: the file is one list; write one object a line, as `jq -c '.[]'` does",
            file.path,
            offset=0,
        )
    if len(buffer) >= LONGEST_LINE:
        raise CorruptShardError(
            f"{file.path}: the line at byte {offset:,} is longer than {LONGEST_LINE >> 30} GiB; "
            "a row is one line, so write one object a line",
            file.path,
            offset=offset,
        )
    return buffer + bytearray(len(buffer))
