"""Decoders by extension: what each makes, what each refuses, and that they travel to workers and cursors."""

from __future__ import annotations

import io
import json
import pickle
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rowmill
from rowmill.decoders import make_decode


def array_file(array: Any, **keywords: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **keywords)
    return out.getvalue()


def image_file(kind: str, size: tuple[int, int] = (5, 3)) -> bytes:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    pixels = (np.arange(size[0] * size[1] * 3) % 251).astype(np.uint8).reshape(size[1], size[0], 3)
    image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def open_samples(folder: Path, *samples: dict[str, bytes]) -> rowmill.Dataset:
    with tarfile.open(folder / "a.tar", "w") as tar:
        for index, sample in enumerate(samples):
            for extension, value in sample.items():
                info = tarfile.TarInfo(f"{index:04}.{extension}")
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
    return rowmill.open(folder, index_dir=folder)


def shout(value: bytes) -> str:
    return value.decode().upper()


def test_auto_goes_by_the_extension_and_leaves_the_rest(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    sample = {
        "json": b'{"a": [1, null]}',
        "meta.json": b"3",
        "txt": "größe".encode(),
        "cls": b" 12\n",
        "npy": array_file(array),
        "f.npy": array_file(np.asfortranarray(array)),
        "bin": b"\x00\x01",
        "pickle": b"cos\nsystem\n",
        "png": image_file("PNG"),
    }
    (row,) = open_samples(tmp_path, sample).decode()
    assert row["json"] == {"a": [1, None]}
    assert (row["meta.json"], row["txt"], row["cls"]) == (3, "größe", 12)
    assert (row["bin"], row["pickle"], row["__key__"]) == (sample["bin"], sample["pickle"], "0000")
    for name in ("npy", "f.npy"):
        assert row[name].dtype == np.int16
        np.testing.assert_array_equal(row[name], array)
        assert row[name].flags.writeable
    assert (row["png"].mode, row["png"].size) == ("RGB", (5, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "PPM"])
def test_images_are_what_the_decoder_is_called_as_in_webdataset(tmp_path: Path, kind: str) -> None:
    value = image_file(kind)
    ds = open_samples(tmp_path, {kind.lower(): value})

    def decoded(how: str) -> Any:
        (row,) = ds.decode(how)
        return row[kind.lower()]

    image = decoded("pil")
    pixels = np.asarray(image)
    assert np.array_equal(decoded("rgb8"), pixels)
    assert decoded("rgb").dtype == np.float32
    np.testing.assert_allclose(decoded("rgb"), pixels / 255, rtol=1e-6)
    assert torch.equal(decoded("torchrgb8"), torch.from_numpy(pixels.transpose(2, 0, 1).copy()))
    assert decoded("torchrgb").shape == (3, 3, 5)
    assert decoded("torch").dtype == torch.float32
    assert (decoded("l8").shape, decoded("torchl8").shape, decoded("pilrgba").mode) == ((3, 5), (1, 3, 5), "RGBA")


@pytest.mark.parametrize("how", ["pil", "rgb", "rgb8", "rgba8", "torchrgb", "torchrgb8", "torchl", "l", "pill"])
def test_images_equal_webdatasets(how: str) -> None:
    autodecode = pytest.importorskip("webdataset.autodecode")
    value = image_file("PNG")
    theirs = autodecode.ImageHandler(how)("png", value)
    ours = make_decode(how, ["png"])({"png": value})["png"]
    assert type(ours) is type(theirs) or how.startswith("pil")
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.dtype, ours.shape[-2:]) == (theirs.dtype, theirs.shape[-2:])
    np.testing.assert_array_equal(ours.reshape(theirs.shape), theirs)


def test_a_mapping_names_all_that_is_decoded(tmp_path: Path) -> None:
    ds = open_samples(tmp_path, {"json": b"1", "a.txt": b"x", "b.txt": b"y", "cls": b"2"})
    (row,) = ds.decode({"txt": shout, "b.txt": "text", "cls": "int"})
    assert row == {"__key__": "0000", "json": b"1", "a.txt": "X", "b.txt": "y", "cls": 2}


def test_batches_are_decoded_before_and_after_they_are_put_together(tmp_path: Path) -> None:
    ds = open_samples(tmp_path, *({"cls": b"%d" % index, "txt": b"t"} for index in range(4)))
    (before,) = ds.decode().batch(4)
    (after,) = ds.batch(4).decode()
    assert before["cls"].tolist() == [0, 1, 2, 3]
    assert after["cls"] == [0, 1, 2, 3]
    assert before["txt"] == after["txt"] == ["t"] * 4


def test_a_missing_value_stays_none(tmp_path: Path) -> None:
    ds = open_samples(tmp_path, {"json": b"1"}, {"cls": b"2"})
    assert [(row["json"], row["cls"]) for row in ds.decode()] == [(1, None), (None, 2)]


@pytest.mark.parametrize(
    ("extension", "value", "text"),
    [
        ("json", b"{", "as json"),
        ("json", b"[" * 200_000, "as json"),
        ("txt", b"\xff", "as text"),
        ("cls", b"seven", "as int"),
        ("cls", b"9" * 5000, "as int"),
        ("npy", b"", "as npy"),
        ("npy", array_file(np.arange(5))[:-1], "bytes of data for an array of shape"),
        ("npy", array_file(np.arange(5)).replace(b"(5,)", b"(9,)"), "bytes of data for an array of shape"),
        ("npy", array_file(np.array([{}], dtype=object), allow_pickle=True), "never unpickled"),
        ("jpg", b"no image", "as pil"),
        ("jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "as pil"),
    ],
)
def test_what_does_not_decode_names_its_sample_and_column(
    tmp_path: Path, extension: str, value: bytes, text: str
) -> None:
    if extension == "jpg":
        pytest.importorskip("PIL")
    ds = open_samples(tmp_path, {extension: value})
    with pytest.raises(rowmill.CorruptShardError, match=text) as caught:
        list(ds.decode())
    assert f"column {extension!r} of sample '0000'" in str(caught.value)


def test_an_error_of_the_users_own_function_stays_what_it_is(tmp_path: Path) -> None:
    ds = open_samples(tmp_path, {"txt": b"x"})
    with pytest.raises(ZeroDivisionError) as caught:
        list(ds.decode({"txt": lambda _: 1 / 0}))
    assert caught.value.__notes__ == ["while decoding the column 'txt' of sample '0000'"]


def test_wrong_requests_name_what_there_is(tmp_path: Path) -> None:
    ds = open_samples(tmp_path, {"txt": b"x"})
    for decoders, text in [
        ("pillow", "one of pil, torch"),
        ({"jpg": "pil"}, "names 'jpg', but the columns are __key__, txt"),
        ({"txt": "word"}, "no decoder 'word' for 'txt'; there are json, text"),
    ]:
        with pytest.raises(rowmill.SchemaMismatchError, match=text):
            ds.decode(decoders)  # type: ignore[arg-type]


def test_images_without_pillow_name_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_samples(tmp_path, {"jpg": b"x", "txt": b"y"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(rowmill.SchemaMismatchError, match="pip install pillow"):
        ds.decode()
    assert [row["txt"] for row in ds.decode({"txt": "text"})] == ["y"]
    assert "PIL" not in sys.modules or [row["jpg"] for row in ds.decode({"jpg": "bytes"})] == [b"x"]


def test_decoders_travel_to_workers_and_stand_in_cursors(tmp_path: Path) -> None:
    ds = open_samples(tmp_path, *({"cls": b"%d" % index} for index in range(12))).shuffle(1)
    decoded = ds.decode()
    loader = torch.utils.data.DataLoader(decoded, batch_size=None, num_workers=2)
    assert sorted(row["cls"] for row in loader) == list(range(12))
    assert pickle.loads(pickle.dumps(make_decode("auto", ["cls"])))({"cls": b"3"}) == {"cls": 3}
    items = iter(decoded)
    next(items)
    state = json.loads(json.dumps(items.state_dict()))
    ds.decode().load_state_dict(state)
    for other in (ds, ds.decode("rgb"), ds.decode({"cls": "int"}), ds.decode({"cls": shout})):
        with pytest.raises(rowmill.StateMismatchError):
            other.load_state_dict(state)
