"""Readers of token files, written from their published layouts and sharing nothing with rowmill."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

# Megatron-LM's numbers of types, from megatron/core/datasets/indexed_dataset.py.
MEGATRON_DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}


def read_megatron(prefix: Path) -> list[list[int]]:
    """The documents of ``prefix.bin`` and ``prefix.idx``."""
    index = prefix.with_suffix(".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    assert np.frombuffer(index, "<u8", 1, 9)[0] == 1
    dtype = np.dtype(MEGATRON_DTYPES[index[17]])
    num_sequences, num_documents = (int(number) for number in np.frombuffer(index, "<u8", 2, 18))
    sizes = np.frombuffer(index, "<i4", num_sequences, 34)
    pointers = np.frombuffer(index, "<i8", num_sequences, 34 + 4 * num_sequences)
    documents = np.frombuffer(index, "<i8", num_documents, 34 + 12 * num_sequences)
    assert len(index) == 34 + 12 * num_sequences + 8 * num_documents
    ids = np.memmap(prefix.with_suffix(".bin"), dtype, "r") if pointers.any() or sizes.any() else np.empty(0, dtype)
    sequences = [
        ids[start // dtype.itemsize : start // dtype.itemsize + size]
        for start, size in zip(pointers, sizes, strict=True)
    ]
    return [
        [int(token) for sequence in sequences[first:last] for token in sequence]
        for first, last in itertools.pairwise(documents)
    ]


def read_nanogpt(path: Path) -> list[int]:
    """The ids of a bare stream, as nanoGPT's train.py maps it."""
    return [int(token) for token in np.fromfile(path, np.uint16)]


def read_llmc(path: Path) -> list[int]:
    """The ids behind llm.c's header, as its dataloader reads it."""
    header = np.fromfile(path, np.int32, 256)
    dtype = {(20240520, 1): np.uint16, (20240801, 7): np.uint32}[int(header[0]), int(header[1])]
    ids = np.fromfile(path, dtype, offset=1024)
    assert len(ids) == header[2]
    return [int(token) for token in ids]
