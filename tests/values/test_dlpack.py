"""Batch buffers become tensors and arrays without a copy, and come back when those die."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
import torch

from rowmill import _rust

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
DTYPES += ["float16", "float32", "float64"]


@pytest.fixture(autouse=True)
def _every_buffer_comes_back():
    before = _rust.live_buffers()
    yield
    gc.collect()
    assert _rust.live_buffers() == before


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"])
@pytest.mark.parametrize("shape", [[], [0], [5], [2, 0, 3], [2, 3, 4]])
def test_a_tensor_has_the_dtype_and_shape_and_is_writable(dtype: str, shape: list[int]) -> None:
    tensor = _rust.export_zeros("tensor", 8 * 24, dtype, shape)
    assert tensor.dtype is getattr(torch, dtype)
    assert list(tensor.shape) == shape
    assert tensor.is_contiguous()
    assert tensor.numel() == 0 or tensor.data_ptr() % 64 == 0
    tensor.fill_(1)
    assert torch.equal(tensor, torch.ones(shape, dtype=tensor.dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [[], [0], [5], [2, 0, 3], [2, 3, 4]])
def test_an_array_has_the_dtype_and_shape_and_is_writable(dtype: str, shape: list[int]) -> None:
    array = _rust.export_zeros("ndarray", 8 * 24, dtype, shape)
    assert array.dtype == np.dtype(dtype)
    assert array.shape == tuple(shape)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.ctypes.data % 64 == 0
    array.fill(1)
    assert (array == 1).all()


def test_numpy_has_no_bfloat16_and_the_error_says_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"bfloat16.*torch format"):
        _rust.export_zeros("ndarray", 64, "bfloat16", [4])


@pytest.mark.parametrize("kind", ["capsule", "tensor", "ndarray"])
@pytest.mark.parametrize("shape", [[9], [2**40, 2**40], [2**63], [0, 2**62, 2**62]])
def test_a_shape_that_the_buffer_does_not_hold_is_refused(kind: str, shape: list[int]) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        _rust.export_zeros(kind, 64, "int64", shape)


def test_a_capsule_that_nobody_takes_gives_its_buffer_back() -> None:
    before = _rust.live_buffers()
    capsule = _rust.export_zeros("capsule", 64, "int64", [8])
    assert _rust.live_buffers() == before + 1
    del capsule
    assert _rust.live_buffers() == before


def test_a_capsule_is_taken_only_once() -> None:
    capsule = _rust.export_zeros("capsule", 64, "int64", [8])
    tensor = torch.from_dlpack(capsule)
    with pytest.raises(RuntimeError):
        torch.from_dlpack(capsule)
    del capsule
    assert tensor.sum() == 0


def test_the_buffer_lives_as_long_as_the_last_view() -> None:
    before = _rust.live_buffers()
    for kind in ("tensor", "ndarray"):
        whole = _rust.export_zeros(kind, 64, "int64", [2, 4])
        row = whole[1]
        del whole
        assert _rust.live_buffers() == before + 1
        assert row.shape == (4,)
        del row
        assert _rust.live_buffers() == before


def test_a_tensor_may_die_on_another_thread() -> None:
    before = _rust.live_buffers()
    tensors = [_rust.export_zeros("tensor", 64, "int64", [8]) for _ in range(100)]
    thread = threading.Thread(target=tensors.clear)
    thread.start()
    thread.join()
    assert _rust.live_buffers() == before
