"""Features: images and sounds stay bytes until they are decoded."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rowmill
from rowmill.features import decode_features

datasets = pytest.importorskip("datasets")


def picture(index: int) -> bytes:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.new("RGB", (4, 3), (index, 2, 3)).save(buffer, "png")
    return buffer.getvalue()


def test_images_are_bytes_until_they_are_decoded(tmp_path: Path) -> None:
    kinds = datasets.Features(
        {
            "image": datasets.Image(),
            "images": datasets.List(datasets.Image(mode="L")),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "pairs": datasets.Sequence({"n": datasets.Value("int32")}),
            "matrix": datasets.Array2D((2, 2), "float32"),
            "when": datasets.Value("timestamp[us]"),
        }
    )
    rows = [
        {"image": {"bytes": picture(index), "path": None}, "images": [{"bytes": picture(9), "path": "x.png"}] * index}
        | {"label": index % 2, "pairs": {"n": [index]}, "matrix": [[1.0, 2.0], [3.0, index]], "when": index}
        for index in range(3)
    ]
    theirs = datasets.Dataset.from_list(rows, features=kinds)
    theirs.save_to_disk(tmp_path / "saved")
    raw = theirs.cast_column("image", datasets.Image(decode=False)).cast_column(
        "images", datasets.List(datasets.Image(mode="L", decode=False))
    )
    saved = rowmill.open(tmp_path / "saved")
    for ours in (
        saved,
        rowmill.from_dataset(theirs),
        rowmill.from_dataset(datasets.load_from_disk(tmp_path / "saved")),
    ):
        assert ours.features == kinds
        assert [plain(row) for row in ours] == [plain(row) for row in raw]
    assert rowmill.from_dataset(raw).features == raw.features
    decoded = saved.map(decode_features, fn_kwargs={"features": saved.features})
    for ours, expected in zip(decoded, theirs, strict=True):
        assert ours["image"].tobytes() == expected["image"].tobytes()
        assert [image.mode for image in ours["images"]] == ["L"] * len(expected["images"])
        assert [image.tobytes() for image in ours["images"]] == [image.tobytes() for image in expected["images"]]


def test_a_transform_sees_images() -> None:
    rows = [{"image": {"bytes": picture(index), "path": None}, "n": index} for index in range(3)]
    theirs = datasets.Dataset.from_list(
        rows, features=datasets.Features({"image": datasets.Image(), "n": datasets.Value("int64")})
    ).with_transform(lambda batch: {"pixels": [np.asarray(image) for image in batch["image"]]})
    for ours, expected in zip(rowmill.from_dataset(theirs), theirs, strict=True):
        assert list(ours) == ["pixels"]
        assert (ours["pixels"] == expected["pixels"]).all()
    assert next(iter(rowmill.from_dataset(theirs).batch(3)))["pixels"].shape == (3, 3, 4, 3)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}


def test_sounds_name_the_package_that_decodes_them() -> None:
    sound = {"sound": {"bytes": b"RIFF", "path": None}}
    try:
        import soundfile  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pip install soundfile"):
            decode_features(sound, {"sound": {"_type": "Audio"}})
    assert decode_features({"sound": None}, {"sound": datasets.Audio()}) == {"sound": None}


def test_sounds_are_decoded(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    samples = np.array([[0, 1 << 14], [-(1 << 14), 5], [7, 0]], np.int16)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    whole = (tmp_path / "a.wav").read_bytes()
    for sound in ({"bytes": whole, "path": "a.wav"}, {"bytes": None, "path": str(tmp_path / "a.wav")}):
        made = decode_features({"sound": sound, "n": 1}, {"sound": datasets.Audio(), "n": datasets.Value("int64")})
        assert (made["n"], made["sound"]["sampling_rate"], made["sound"]["path"]) == (1, 8000, sound["path"])
        assert made["sound"]["array"].tolist() == (samples.T / 32768).astype(np.float32).tolist()
    with pytest.raises(rowmill.SchemaMismatchError, match="neither bytes nor a path"):
        decode_features({"sound": {"bytes": None, "path": None}}, {"sound": datasets.Audio()})
