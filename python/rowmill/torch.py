"""The only file that knows torch: the base class, tensors, and a DataLoader whose state is true with workers."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from typing import TYPE_CHECKING, Any

__all__ = [
    "IterableDatasetBase",
    "TorchDataLoader",
    "all_gather_bytes",
    "broadcast_bytes",
    "dtype_name",
    "has_torch",
    "is_tensor",
    "pin_functions",
    "stack",
    "tensor_from",
    "tensor_import",
]

if TYPE_CHECKING:
    from torch.utils.data import DataLoader as TorchDataLoader
    from torch.utils.data import IterableDataset

    class IterableDatasetBase(IterableDataset[Any]):
        """torch.utils.data.IterableDataset where torch is importable, else object."""

elif importlib.util.find_spec("torch") is not None:
    from torch.utils.data import DataLoader as TorchDataLoader
    from torch.utils.data import IterableDataset as IterableDatasetBase
else:
    IterableDatasetBase = object

    class TorchDataLoader:
        """Says what is missing, where it is asked for."""

        def __class_getitem__(cls, _item: Any) -> type:
            return cls

        def __init__(self, *_arguments: Any, **_keywords: Any) -> None:
            raise ImportError("rowmill.DataLoader needs torch (pip install 'rowmill[torch]'); ds.loader() does without")


def has_torch() -> bool:
    """Whether torch is here; asked only after the base class has been made."""
    return IterableDatasetBase is not object


def tensor_import() -> Any:
    """torch's function that takes a DLPack capsule without a copy, or None without torch."""
    if not has_torch():
        return None
    from torch.utils.dlpack import from_dlpack

    return from_dlpack


def pin_functions() -> Any:
    """Functions that page-lock memory for CUDA, (address, bytes), and release it, (address); None without CUDA."""
    reason = None
    if not has_torch():
        reason = "torch is not installed"
    else:
        import torch

        if not torch.cuda.is_available():
            reason = "torch sees no CUDA device"
    if reason is not None:
        warnings.warn(f"pin_memory=True has no effect: {reason}; batches stay in pageable memory", stacklevel=2)
        return None
    return _register_with_cuda, _unregister_with_cuda


def _register_with_cuda(address: int, num_bytes: int) -> None:
    import torch

    # cudaHostRegister with flags 0; torch then sees its tensors as pinned, since it asks CUDA for the attribute.
    code = torch.cuda.cudart().cudaHostRegister(address, num_bytes, 0)  # type: ignore[no-untyped-call]
    if int(code) != 0:
        raise RuntimeError(f"CUDA could not pin {num_bytes} bytes of the loader's memory (error {int(code)})")


def _unregister_with_cuda(address: int) -> None:
    import torch

    torch.cuda.cudart().cudaHostUnregister(address)  # type: ignore[no-untyped-call]


def all_gather_bytes(message: bytes) -> list[bytes]:
    """The messages of all ranks of ``torch.distributed``, by rank; this one's alone where there is no such job."""
    distributed = _job()
    if distributed is None:
        return [message]
    import torch

    device = _device_of(distributed)
    length = torch.tensor([len(message)], dtype=torch.int64, device=device)
    lengths = [torch.empty_like(length) for _ in range(distributed.get_world_size())]
    distributed.all_gather(lengths, length)
    longest = max(int(one) for one in lengths)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(message)] = torch.frombuffer(bytearray(message), dtype=torch.uint8)
    padded = padded.to(device)
    messages = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(messages, padded)
    return [bytes(one[: int(n)].cpu().numpy()) for one, n in zip(messages, lengths, strict=True)]


def broadcast_bytes(message: bytes) -> bytes | None:
    """Rank 0's message, on every rank of ``torch.distributed``; None where there is no such job."""
    distributed = _job()
    if distributed is None:
        return None
    import torch

    is_first, device = distributed.get_rank() == 0, _device_of(distributed)
    length = torch.tensor([len(message)], dtype=torch.int64, device=device)
    distributed.broadcast(length, 0)
    content = torch.zeros(int(length), dtype=torch.uint8)
    if is_first and message:
        content = torch.frombuffer(bytearray(message), dtype=torch.uint8)
    content = content.to(device)
    distributed.broadcast(content, 0)
    return bytes(content.cpu().numpy())


def _job() -> Any:
    """``torch.distributed`` where a job of it has begun; looked up, never imported."""
    distributed = sys.modules.get("torch.distributed")
    is_begun = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if is_begun else None


def _device_of(distributed: Any) -> Any:
    import torch

    # NCCL moves what lies on a GPU only.
    return torch.device("cuda", torch.cuda.current_device()) if distributed.get_backend() == "nccl" else "cpu"


def tensor_from(values: Any, dtype: str | None) -> Any:
    """A tensor of NumPy values; of their own type where ``dtype`` is None."""
    import torch

    tensor = torch.from_numpy(values) if values.flags.writeable else torch.tensor(values)
    return tensor if dtype is None else tensor.to(getattr(torch, dtype))


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def stack(tensors: list[Any]) -> Any:
    """One tensor of tensors of the same shape and type."""
    import torch

    return torch.stack(tensors)


def dtype_name(dtype: Any) -> str:
    """The field's name ("int64", "bfloat16") of a torch, NumPy or Python dtype, or of its name."""
    text = str(dtype)
    if text.startswith("torch."):
        return text.removeprefix("torch.")
    if isinstance(dtype, str) and dtype == "bfloat16":
        return dtype
    import numpy as np

    name: str = np.dtype(dtype).name
    return name
