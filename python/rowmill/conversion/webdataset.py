"""Rows as samples of a tar: which column becomes which member, and back.

Rows with a ``__key__`` are samples already: each other column is a member, its name the extension. Any other row
gets its number, padded with zeros, as its key, and these members:

- the one text column is ``txt``; several are ``NAME.txt`` each
- a bytes column is ``NAME.bin``, or ``NAME`` alone where that is an extension by itself (``jpg``, ``npy``, ...)
- the one image or audio column is ``jpg``, ``png``, ``wav``, ..., by its first bytes; several are ``NAME.jpg`` each
- everything else stands in one ``json``, an object by column names: numbers, truth values, lists, dicts as they are,
  dates, times and decimals as texts, and the path of an image or audio

A null has no member, and is null in ``json``. ``dataset.json`` says under ``members`` what became of each column.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rowmill.conversion.media import EXTENSIONS, extension_of
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Layout", "Member", "write_tar"]

_KEY = "__key__"
# Extensions that say by themselves what the bytes are.
_EXTENSIONS = frozenset(
    [
        *("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "wav", "flac", "mp3", "ogg", "m4a", "mp4", "avi"),
        *("mov", "webm", "npy", "npz", "pt", "pth", "safetensors", "pickle", "msgpack", "cbor", "bin", "pdf"),
    ]
)


@dataclass(frozen=True, slots=True)
class Member:
    """What becomes of one column: its extension (a prefix of it for media), and as what it is written."""

    extension: str
    kind: str


@dataclass(frozen=True)
class Layout:
    """The members of each column of a schema."""

    schema: pa.Schema
    plain: pa.Schema
    members: dict[str, Member]
    is_sample: bool

    @staticmethod
    def of(schema: pa.Schema) -> Layout:
        """The layout of rows of ``schema``.

        Raises:
            SchemaMismatchError: A column holds bytes inside of lists or dicts, or two columns would be one member.
        """
        import pyarrow as pa

        plain = pa.schema([pa.field(field.name, _plain(field.name, field.type)) for field in schema])
        is_sample = _KEY in schema.names
        kinds = {field.name: _kind(field.type) for field in schema}
        members = _sample_members(kinds) if is_sample else _row_members(kinds)
        _check(members)
        return Layout(schema, plain, members, is_sample)

    def describe(self) -> dict[str, dict[str, str]]:
        """As it stands in ``dataset.json``."""
        return {name: {"extension": member.extension, "kind": member.kind} for name, member in self.members.items()}

    def encode(self, row: Mapping[str, Any]) -> list[tuple[str, bytes]]:
        """The members of one row of plain values: extension and bytes."""
        found: list[tuple[str, bytes]] = []
        rest: dict[str, Any] = {}
        for name, member in self.members.items():
            value = row[name]
            if member.kind == "json" and not self.is_sample:
                rest[name] = value
            elif member.kind == "media" and value is not None:
                found.append(_media(name, member, value))
                rest.update({name: value["path"]} if value.get("path") is not None else {})
            elif value is not None:
                found.append((member.extension, _bytes(member, value)))
        # A sample of nulls alone must not vanish.
        if rest or not found:
            found.append(("json", json.dumps(rest, ensure_ascii=False).encode()))
        return found

    def decode(self, samples: Iterable[Mapping[str, bytes]]) -> pa.Table:
        """The rows that :meth:`encode` made these members of."""
        import pyarrow as pa

        rows = [self._decoded(sample) for sample in samples]
        arrays = [
            pa.array([row.get(field.name) for row in rows], field.type).cast(target.type)
            for field, target in zip(self.plain, self.schema, strict=True)
        ]
        return pa.table(arrays, schema=self.schema)

    def _decoded(self, sample: Mapping[str, bytes]) -> dict[str, Any]:
        rest = {} if self.is_sample else json.loads(sample.get("json", b"{}"))
        row: dict[str, Any] = {_KEY: sample.get(_KEY)} if self.is_sample else {}
        for name, member in self.members.items():
            content = sample.get(member.extension)
            if member.kind == "media":
                prefix = f"{member.extension}." if member.extension else ""
                found = [value for key, value in sample.items() if _is_media_key(key, prefix)]
                row[name] = {"bytes": found[0], "path": rest.get(name)} if found else None
            elif member.kind == "json":
                row[name] = rest.get(name) if not self.is_sample else None if content is None else json.loads(content)
            else:
                row[name] = content if content is None or member.kind == "bytes" else content.decode()
        return row


def _plain(name: str, kind: pa.DataType) -> pa.DataType:
    """The type whose Python values bytes, text or JSON can hold."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        return _plain(name, kind.value_type)
    if types.is_duration(kind):
        return pa.int64()
    if types.is_temporal(kind) or types.is_decimal(kind):
        return pa.string()
    if _is_bytes(kind) or _is_media_type(kind):
        return kind
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_inner(name, kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _inner(name, field.type)) for field in kind])
    if types.is_map(kind) or types.is_union(kind):
        raise _no_place(name, str(kind))
    return kind


def _inner(name: str, kind: pa.DataType) -> pa.DataType:
    if _is_bytes(kind) or _is_media_type(kind):
        raise _no_place(name, "bytes inside of lists or dicts")
    return _plain(name, kind)


def _no_place(name: str, what: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"column {name!r} holds {what}, for which a tar has no member; leave it out by columns, or choose parquet"
    )


def _is_bytes(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)) or (
        str(kind) == "binary_view"
    )


def _is_text(kind: pa.DataType) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _is_media_type(kind: pa.DataType) -> bool:
    """HF's images and audio as they are stored."""
    from pyarrow import types

    return bool(
        types.is_struct(kind)
        and {field.name for field in kind} == {"bytes", "path"}
        and _is_bytes(kind.field("bytes").type)
        and _is_text(kind.field("path").type)
    )


def _sample_members(kinds: dict[str, str]) -> dict[str, Member]:
    return {name: Member(name.lower(), kind) for name, kind in kinds.items() if not name.startswith("__")}


def _row_members(kinds: dict[str, str]) -> dict[str, Member]:
    number = {kind: list(kinds.values()).count(kind) for kind in ("text", "media")}
    members = {}
    for name, kind in kinds.items():
        word = _word(name)
        extension = {
            "text": "txt" if number["text"] == 1 else f"{word}.txt",
            "media": "" if number["media"] == 1 else word,
            "bytes": word if word in _EXTENSIONS else f"{word}.bin",
            "json": "json",
        }[kind]
        members[name] = Member(extension, kind)
    return members


def _kind(kind: pa.DataType) -> str:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if _is_text(kind):
        return "text"
    return "bytes" if _is_bytes(kind) else "media" if _is_media_type(kind) else "json"


def _word(name: str) -> str:
    """A column's name as a part of a file name; readers fold its case."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name.lower()) or "_"


def _check(members: dict[str, Member]) -> None:
    seen: dict[str, str] = {}
    for name, member in members.items():
        if member.kind == "json" and member.extension == "json":
            continue
        if any(bad in member.extension for bad in "/\\\0") or member.extension.startswith("."):
            raise SchemaMismatchError(f"column {name!r} cannot be an extension in a tar; rename it")
        other = seen.setdefault(member.extension, name)
        if other != name:
            raise SchemaMismatchError(f"columns {other!r} and {name!r} would both be .{member.extension}; rename one")


def _media(name: str, member: Member, value: dict[str, Any]) -> tuple[str, bytes]:
    content = value["bytes"]
    if content is None:
        raise SchemaMismatchError(f"a value of column {name!r} has a path, {value['path']}, but no bytes; embed them")
    extension = extension_of(content)
    return (f"{member.extension}.{extension}" if member.extension else extension), content


def _is_media_key(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and key.removeprefix(prefix) in EXTENSIONS


def _bytes(member: Member, value: Any) -> bytes:
    if member.kind == "json":
        return json.dumps(value, ensure_ascii=False).encode()
    return value.encode() if isinstance(value, str) else bytes(value)


def write_tar(path: Path, blocks: Iterable[pa.Table], layout: Layout, first_row: int) -> None:
    """Writes rows as a tar whose bytes depend on the rows alone."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        before = None
        for key, row in _keyed(blocks, layout, first_row):
            if key == before:
                raise SchemaMismatchError(
                    f"two rows in turn have the key {key!r} and would become one; make them differ"
                )
            before = key
            for extension, content in layout.encode(row):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def _keyed(blocks: Iterable[pa.Table], layout: Layout, first_row: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        for row in block.cast(layout.plain).to_pylist():
            yield (_checked_key(row[_KEY]) if layout.is_sample else f"{first_row:09d}"), row
            first_row += 1


def _checked_key(key: Any) -> str:
    text = "" if key is None else key.decode(errors="surrogateescape") if isinstance(key, bytes) else str(key)
    name = text.rpartition("/")[2]
    if not name or "." in name or text.startswith("/") or ".." in text.split("/") or "\0" in text:
        raise SchemaMismatchError(
            f"{key!r} is no key for a tar: it is a name without dots, in folders inside of the tar; mend it, or leave "
            "__key__ out for numbers"
        )
    return text
