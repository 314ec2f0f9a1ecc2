"""HF's features, which ``datasets`` keeps as JSON in a schema's metadata, and what they say of images and sounds."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rowmill.exceptions import SchemaMismatchError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["decode_features", "features_of", "with_features"]

_KEY = b"huggingface"


def features_of(schema: pa.Schema) -> Any:
    """The features in ``schema``'s metadata: ``datasets.Features``, a plain dict without ``datasets``, or None."""
    stored = _stored(schema)
    if stored is None:
        return None
    wanted = {name: stored[name] for name in schema.names if name in stored}
    if importlib.util.find_spec("datasets") is None:
        return wanted
    from datasets import Features

    return Features.from_dict(wanted)


def with_features(schema: pa.Schema, columns: Sequence[tuple[str, str]], given: str | None) -> pa.Schema:
    """``schema`` with the features of ``columns``, (stored name, name) each, under their names here.

    Args:
        schema: What is read of the files.
        columns: Its columns.
        given: Features by stored name, as JSON, that stand for those in the files.
    """
    stored = _stored(schema) if given is None else json.loads(given)
    if stored is None or (given is None and all(old == name for old, name in columns)):
        return schema
    features = {name: stored[old] for old, name in columns if old in stored}
    return schema.with_metadata({**(schema.metadata or {}), _KEY: json.dumps({"info": {"features": features}})})


def _stored(schema: pa.Schema) -> dict[str, Any] | None:
    try:
        stored = json.loads((schema.metadata or {})[_KEY])["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return None
    return stored if isinstance(stored, dict) else None


def decode_features(row: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, Any]:
    """``row`` with its images and sounds decoded; what ``.map`` takes.

    Images become ``PIL.Image.Image``, sounds ``{"array": float32 [frames] or [channels, frames], "sampling_rate",
    "path"}``; everything else stays.

    Args:
        row: A row whose images and sounds are ``{"bytes", "path"}``.
        features: What its columns are: ``ds.features``.

    Raises:
        ImportError: Pillow (images) or soundfile (sounds) is not installed.

    Example:
        >>> from rowmill.features import decode_features
        >>> decode_features({"n": 1}, {"n": {"dtype": "int64", "_type": "Value"}})
        {'n': 1}
    """
    return {name: _decoded(value, features.get(name)) for name, value in row.items()}


def _decoded(value: Any, feature: Any) -> Any:
    if value is None or feature is None:
        return value
    if isinstance(feature, list):
        return [_decoded(part, feature[0]) for part in value]
    kind = _of(feature, "_type") or type(feature).__name__
    if kind == "Image":
        return _image(value, _of(feature, "mode"))
    if kind == "Audio":
        return _audio(value)
    if kind in ("List", "LargeList", "Sequence"):
        inner = _of(feature, "feature")
        if isinstance(value, Mapping):  # a Sequence of a dict is a dict of lists
            return {name: [_decoded(part, inner.get(name)) for part in parts] for name, parts in value.items()}
        return [_decoded(part, inner) for part in value]
    if isinstance(feature, Mapping) and isinstance(value, Mapping):
        return {name: _decoded(part, feature.get(name)) for name, part in value.items()}
    return value


def _of(feature: Any, name: str) -> Any:
    """A part of a feature, whether it is one of ``datasets``' or a plain dict."""
    return feature.get(name) if isinstance(feature, Mapping) else getattr(feature, name, None)


def _opened(value: Any, what: str) -> Any:
    """What to read an image or a sound from: its bytes, else its path."""
    import io

    content = value if isinstance(value, bytes | str) else (value.get("bytes") or value.get("path"))
    if not content:
        raise SchemaMismatchError(f"the {what} has neither bytes nor a path: {value!r}")
    return io.BytesIO(content) if isinstance(content, bytes) else content


def _image(value: Any, mode: str | None) -> Any:
    if not isinstance(value, bytes | str | Mapping):
        return value
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("decoding images takes Pillow: pip install pillow") from error
    image: Image.Image = Image.open(_opened(value, "image"))
    image.load()  # also closes the file
    if image.getexif().get(_ORIENTATION) is not None:
        image = ImageOps.exif_transpose(image)
    return image.convert(mode) if mode and mode != image.mode else image


# EXIF's tag of how a camera was held.
_ORIENTATION = 0x0112


def _audio(value: Any) -> Any:
    if not isinstance(value, bytes | str | Mapping):
        return value
    try:
        import soundfile
    except ImportError as error:
        raise ImportError("decoding audio takes soundfile: pip install soundfile") from error
    array, rate = soundfile.read(_opened(value, "sound"), dtype="float32")
    path = value.get("path") if isinstance(value, Mapping) else None
    return {"path": path, "array": array.T, "sampling_rate": rate}
