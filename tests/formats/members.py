"""Samples of a tar back to the rows that they were made of, by what dataset.json says under members."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from rowmill.conversion.layout import Layout, Member
from rowmill.conversion.media import EXTENSIONS


def samples_of(tar: Path) -> list[dict[str, Any]]:
    """Members with one key in turn, as webdataset groups them."""
    samples: list[dict[str, Any]] = []
    with tarfile.open(tar) as archive:
        for member in archive:
            key, _, extension = member.name.partition(".")
            if not samples or samples[-1]["__key__"] != key:
                samples.append({"__key__": key})
            assert extension not in samples[-1]
            samples[-1][extension] = archive.extractfile(member).read()
    return samples


def rows_of(samples: Iterable[Mapping[str, Any]], schema: pa.Schema) -> list[dict[str, Any]]:
    """The rows of ``schema`` that became these samples."""
    layout = Layout.of(schema)
    rows = [row_of(sample, layout) for sample in samples]
    columns = [
        pa.array([row.get(field.name) for row in rows], field.type).cast(target.type)
        for field, target in zip(layout.plain, schema, strict=True)
    ]
    return pa.table(columns, schema=schema).to_pylist()


def row_of(sample: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    rest = {} if layout.is_sample else json.loads(sample.get("json", b"{}"))
    row = {"__key__": sample["__key__"]} if layout.is_sample else {}
    for name, member in layout.members.items():
        content = sample.get(member.extension)
        if member.kind == "media":
            found = media_of(sample, member)
            row[name] = None if found is None else {"bytes": found, "path": rest.get(name)}
        elif member.kind == "json":
            row[name] = rest[name] if not layout.is_sample else None if content is None else json.loads(content)
        else:
            # A null stands in json, as null; a row without it there has a member.
            assert layout.is_sample or (content is None) == (name in rest and rest[name] is None)
            row[name] = content if content is None or member.kind == "bytes" else content.decode()
    return row


def media_of(sample: Mapping[str, Any], member: Member) -> bytes | None:
    prefix = f"{member.extension}." if member.extension else ""
    names = {member.extension, *(prefix + extension for extension in EXTENSIONS)}
    return next((content for name, content in sample.items() if name in names), None)
