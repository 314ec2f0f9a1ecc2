"""A language model of bytes, small enough to learn something in seconds on one core."""

from __future__ import annotations

from typing import Any

__all__ = ["make_model", "next_byte_loss"]

_CONTEXT = 8
_WIDTH = 24


def make_model(seed: int) -> tuple[Any, Any]:
    """A model and its optimiser, the same for the same seed."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Embedding(256, _WIDTH),
        nn.Flatten(2),
        nn.Linear(_CONTEXT * _WIDTH, 192),
        nn.ReLU(),
        nn.Linear(192, 256),
    )
    return model, torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)


def next_byte_loss(model: Any, tokens: Any) -> Any:
    """Mean loss, in nats, of each byte given the eight before it; ``tokens`` is int64 [rows, length + 1]."""
    from torch.nn import functional

    before, after = tokens[:, :-1], tokens[:, 1:]
    contexts = functional.pad(before, (_CONTEXT - 1, 0)).unfold(1, _CONTEXT, 1)
    return functional.cross_entropy(model(contexts).flatten(0, 1), after.flatten())
