"""A language model of one recurrent layer, small enough for a laptop."""

from __future__ import annotations

from typing import Any

__all__ = ["make_model", "next_token_loss"]


def make_model(vocab_size: int, width: int, seed: int) -> Any:
    """The model, the same for the same seed."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model = nn.ModuleDict({"tokens": nn.Embedding(vocab_size, width), "cell": nn.GRU(width, width, batch_first=True)})
    # The embedding is the output layer as well; at torch's own scale its first guesses would be certain and wrong.
    nn.init.normal_(model["tokens"].weight, std=0.05)  # type: ignore[arg-type]
    return model


def next_token_loss(model: Any, inputs: Any, labels: Any) -> Any:
    """Mean loss in nats; ``inputs`` and ``labels`` are int64 (batch, seq_len)."""
    from torch.nn import functional

    hidden, _ = model["cell"](model["tokens"](inputs))
    logits = functional.linear(hidden, model["tokens"].weight)
    return functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
