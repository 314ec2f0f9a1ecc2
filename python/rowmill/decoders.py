"""Values by the extension of their column: JSON, text, numbers, arrays, images.

What :meth:`rowmill.Dataset.decode` puts over the rows of a WebDataset, whose values are bytes. Nothing is ever
unpickled, and a value that does not decode is an error of rowmill's that names its sample and column.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rowmill import torch as _torch
from rowmill.exceptions import CorruptShardError, SchemaMismatchError
from rowmill.stages.identity import describe_function

__all__ = ["Decode", "Decoders", "make_decode"]

Decoders = str | Mapping[str, str | Callable[[bytes], Any]]

_SUFFIXES = {
    "json": ("json", "jsn"),
    "text": ("txt", "text", "transcript"),
    "int": ("cls", "cls2", "class", "count", "index", "inx", "id", "int"),
    "npy": ("npy",),
}
_IMAGES = ("jpg", "jpeg", "jpe", "png", "webp", "ppm", "pgm", "pbm", "pnm", "bmp", "gif", "tif", "tiff")
# Pillow knows formats that start other programs; a file's name does not choose what it is opened as.
_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "PPM", "BMP", "GIF", "TIFF")
_MODES = {"l": "L", "rgb": "RGB", "rgba": "RGBA"}


@dataclass(frozen=True)
class Decode:
    """The function that ``.decode`` maps over rows, or over batches of them.

    Attributes:
        plan: Column, name of the decoder for error texts, decoder.
        identity: What stands for it in a cursor.
    """

    plan: tuple[tuple[str, str, Callable[[bytes], Any]], ...]
    identity: str

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The decoded columns of a row."""
        decoded = {}
        for column, name, function in self.plan:
            value = row.get(column)
            if isinstance(value, bytes):
                decoded[column] = self._one(row, column, name, function, value)
            elif isinstance(value, list):
                decoded[column] = [
                    self._one(row, column, name, function, each) if isinstance(each, bytes) else each for each in value
                ]
        return decoded

    def __rowmill_describe__(self) -> str:
        """As :func:`describe_function` gives it for other functions."""
        return self.identity

    def _one(self, row: dict[str, Any], column: str, name: str, function: Callable[[bytes], Any], value: bytes) -> Any:
        try:
            return function(value)
        except Exception as error:
            # A user's own function fails with its own error; what this module made says more.
            place = f"the column {column!r} of sample {row.get('__key__')!r}"
            if not name:
                error.add_note(f"while decoding {place}")
                raise
            raise CorruptShardError(
                f"{place} cannot be decoded as {name}: {error or type(error).__name__}; mend the value, or leave the "
                f'column as bytes with .decode({{"{column}": "bytes"}})'
            ) from error


def make_decode(decoders: Decoders, columns: Sequence[str]) -> Decode:
    """What decodes these columns.

    Raises:
        SchemaMismatchError: A decoder is not known, has no column, or needs a package that is not installed.
    """
    rules = _by_extension(decoders) if isinstance(decoders, str) else dict(decoders)
    plan = []
    for column in columns:
        extension = _extension(column, rules)
        if extension is not None and column != "__key__":
            plan.append((column, *_decoder(rules[extension], column)))
    if not isinstance(decoders, str):
        _check_used(rules, columns)
    return Decode(tuple(entry for entry in plan if entry[1] != "bytes"), f"decode({_identity(decoders)})")


def _by_extension(choice: str) -> dict[str, str | Callable[[bytes], Any]]:
    image = "pil" if choice == "auto" else choice
    if image not in _IMAGE_KINDS:
        raise SchemaMismatchError(
            f'decoders must be "auto", a mapping, or one of {", ".join(_IMAGE_KINDS)}: {choice!r}'
        )
    rules: dict[str, str | Callable[[bytes], Any]] = dict.fromkeys(_IMAGES, image)
    return {**rules, **{suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes}}


def _extension(column: str, rules: Mapping[str, Any]) -> str | None:
    """The longest extension with a rule that the column is or ends with."""
    parts = column.lower().split(".")
    ends = (".".join(parts[start:]) for start in range(len(parts)))
    return column if column in rules else next((end for end in ends if end in rules), None)


def _check_used(rules: Mapping[str, Any], columns: Sequence[str]) -> None:
    used = {_extension(column, rules) for column in columns}
    if unused := [extension for extension in rules if extension not in used]:
        raise SchemaMismatchError(f"decode names {unused[0]!r}, but the columns are {', '.join(columns)}")


def _identity(decoders: Decoders) -> str:
    if isinstance(decoders, str):
        return decoders
    named = {name: how if isinstance(how, str) else describe_function(how) for name, how in decoders.items()}
    return ",".join(f"{name}={how}" for name, how in sorted(named.items()))


def _decoder(how: str | Callable[[bytes], Any], column: str) -> tuple[str, Callable[[bytes], Any]]:
    """A decoder's name, empty for a user's own, and its function."""
    if callable(how):
        return "", how
    if how in _IMAGE_KINDS:
        _check_installed(how, column)
        return how, functools.partial(_image, how)
    if how not in _NAMED:
        known = ", ".join([*_NAMED, *_IMAGE_KINDS])
        raise SchemaMismatchError(f"there is no decoder {how!r} for {column!r}; there are {known}, or give a function")
    return how, _NAMED[how]


def _check_installed(how: str, column: str) -> None:
    if importlib.util.find_spec("PIL") is None:
        raise SchemaMismatchError(
            f"column {column!r} holds images, and decoding them needs Pillow, which is not installed: "
            f'pip install pillow, or leave them as bytes with .decode({{"{column}": "bytes"}}) and so on'
        )
    if how.startswith("torch") and not _torch.has_torch():
        raise SchemaMismatchError(f"the decoder {how!r} needs torch, which is not installed: pip install torch")


def _json(value: bytes) -> Any:
    return json.loads(value)


def _text(value: bytes) -> str:
    return value.decode("utf-8")


def _int(value: bytes) -> int:
    return int(value)


def _npy(value: bytes) -> Any:
    """An array in NumPy's format; its claim of a size is checked before anything is allocated."""
    file = io.BytesIO(value)
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
        version
    )
    if read_header is None:
        raise ValueError(f"version {version} of the format is not read")
    with warnings.catch_warnings():
        # How old a writer was is nobody's concern here.
        warnings.simplefilter("ignore")
        shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    count = 1
    for size in shape:
        count *= size
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(value) - file.tell():
        raise ValueError(f"{len(value) - file.tell()} bytes of data for an array of shape {shape} and type {dtype}")
    array = np.frombuffer(value, dtype=dtype, count=count, offset=file.tell()).copy()
    return array.reshape(shape, order="F" if is_fortran else "C")


def _bytes(value: bytes) -> bytes:
    return value


_NAMED: dict[str, Callable[[bytes], Any]] = {
    "json": _json,
    "text": _text,
    "int": _int,
    "npy": _npy,
    "bytes": _bytes,
}


def _image_kinds() -> dict[str, tuple[str, str, bool]]:
    """WebDataset's names of image decoders: what is made, Pillow's mode, whether it stays in bytes."""
    kinds = {"pil": ("pil", "RGB", True), "torch": ("torch", "RGB", False)}
    for name, mode in _MODES.items():
        kinds[f"pil{name}"] = ("pil", mode, True)
        for maker in ("", "torch"):
            kinds[f"{maker}{name}"] = (maker or "numpy", mode, False)
            kinds[f"{maker}{name}8"] = (maker or "numpy", mode, True)
    return kinds


_IMAGE_KINDS = _image_kinds()


def _image(how: str, value: bytes) -> Any:
    """A Pillow image, an array [H, W, C], or a tensor [C, H, W]; floats are from 0 to 1."""
    from PIL import Image

    maker, mode, stays_bytes = _IMAGE_KINDS[how]
    with Image.open(io.BytesIO(value), formats=_PILLOW_FORMATS) as opened:
        image = opened.convert(mode)
    if maker == "pil":
        return image
    array = np.array(image)
    if not stays_bytes:
        array = array.astype(np.float32) / 255.0
    if maker == "numpy":
        return array
    channels = array[np.newaxis] if array.ndim == 2 else array.transpose(2, 0, 1)
    return _torch.tensor_from(np.ascontiguousarray(channels), None)
