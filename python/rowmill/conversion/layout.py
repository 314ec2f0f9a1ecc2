"""Rows as samples of a tar: which column becomes which member.

Rows with a ``__key__`` are samples already: each other column is a member, its name the extension, and a null has
none. Columns whose names begin with two underscores are what readers add, and are left out. Any other row gets its
number, padded with zeros, as its key, and these members:

- the one text column is ``txt``; several are ``NAME.txt`` each
- a bytes column is ``NAME.bin``, or ``NAME`` alone where that is an extension by itself (``jpg``, ``npy``, ...)
- the one image or audio column is ``jpg``, ``png``, ``wav``, ..., by its first bytes; several are ``NAME.jpg`` each
- everything else stands in one ``json``, an object by column names: numbers, truth values, lists, dicts as they are,
  dates, times and decimals as texts, the path of an image or audio, and a null of any column

``dataset.json`` says under ``members`` what became of each column.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rowmill.conversion.media import EXTENSIONS, extension_of
from rowmill.conversion.plain import kind_of, plain
from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KEY", "Layout", "Member"]

KEY = "__key__"
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
    """The members of each column of rows whose values are cast to ``plain``."""

    plain: pa.Schema
    members: dict[str, Member]
    is_sample: bool

    @staticmethod
    def of(schema: pa.Schema) -> Layout:
        """The layout of rows of ``schema``.

        Raises:
            SchemaMismatchError: A column has no place in a tar, two would be one member, or ``__key__`` is no key.
        """
        import pyarrow as pa

        cast = pa.schema([pa.field(field.name, plain(field.name, field.type)) for field in schema])
        is_sample = KEY in schema.names
        kinds = {field.name: kind_of(field.type) for field in schema}
        if is_sample:
            _check_key(cast.field(KEY).type)
        members = _sample_members(kinds) if is_sample else _row_members(kinds)
        _check(members)
        return Layout(cast, members, is_sample)

    def describe(self) -> dict[str, dict[str, str]]:
        """As it stands in ``dataset.json``."""
        return {name: {"extension": member.extension, "kind": member.kind} for name, member in self.members.items()}

    def encode(self, row: Mapping[str, Any]) -> list[tuple[str, bytes]]:
        """The members of one row of plain values: extension and bytes.

        Raises:
            SchemaMismatchError: An image has no bytes, or is by its bytes what another column is by its name.
        """
        found = self._sample(row) if self.is_sample else self._row(row)
        if len({extension for extension, _ in found}) < len(found):
            raise SchemaMismatchError(
                f"two columns of one row would both be .{_twice(found)}; rename one of {', '.join(self.members)}"
            )
        return found

    def _sample(self, row: Mapping[str, Any]) -> list[tuple[str, bytes]]:
        found = []
        for name, member in self.members.items():
            if (value := row[name]) is not None:
                extension, content = _media(name, member, value) if member.kind == "media" else _content(member, value)
                found.append((extension, content))
        # A sample of nulls alone must not vanish.
        return found or [("json", b"null" if self.members.get("json") == Member("json", "json") else b"{}")]

    def _row(self, row: Mapping[str, Any]) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        rest: dict[str, Any] = {}
        for name, member in self.members.items():
            value = row[name]
            if member.kind == "json" or value is None:
                rest[name] = value
            elif member.kind == "media":
                found.append(_media(name, member, value))
                rest.update({name: value["path"]} if value.get("path") is not None else {})
            else:
                found.append(_content(member, value))
        return [*found, ("json", _json(rest))] if rest or not found else found


def _twice(found: list[tuple[str, bytes]]) -> str:
    extensions = [extension for extension, _ in found]
    return next(extension for extension in extensions if extensions.count(extension) > 1)


def _sample_members(kinds: dict[str, str]) -> dict[str, Member]:
    return {name: Member(name.lower(), kind) for name, kind in kinds.items() if not name.startswith("__")}


def _row_members(kinds: dict[str, str]) -> dict[str, Member]:
    number = {kind: list(kinds.values()).count(kind) for kind in ("text", "media")}
    # An image is a png by its bytes; so may be what a column of that name holds.
    is_alone = number["media"] == 1 and not any(
        kind == "bytes" and _word(name) in EXTENSIONS for name, kind in kinds.items()
    )
    members = {}
    for name, kind in kinds.items():
        word = _word(name)
        extension = {
            "text": "txt" if number["text"] == 1 else f"{word}.txt",
            "media": "" if is_alone else word,
            "bytes": word if word in _EXTENSIONS else f"{word}.bin",
            "json": "json",
        }[kind]
        members[name] = Member(extension, kind)
    return members


def _word(name: str) -> str:
    """A column's name as a part of a file name; readers fold its case."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name.lower()) or "_"


def _check_key(kind: pa.DataType) -> None:
    from pyarrow import types

    if kind_of(kind) not in ("text", "bytes") and not types.is_integer(kind):
        raise SchemaMismatchError(
            f"__key__ is {kind}, but a key in a tar is a name: make it a text or an integer, or leave it out, and rows "
            "get their numbers"
        )


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
    if member.extension.rpartition(".")[2] in _EXTENSIONS:
        # A sample's own name for it, such as the jpg of what `datasets` read from a tar.
        return member.extension, content
    extension = extension_of(content)
    return (f"{member.extension}.{extension}" if member.extension else extension), content


def _content(member: Member, value: Any) -> tuple[str, bytes]:
    if member.kind == "json":
        return member.extension, _json(value)
    return member.extension, value.encode() if isinstance(value, str) else bytes(value)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
