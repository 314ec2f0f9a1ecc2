"""A language model, small enough to learn something in seconds on one core."""

from __future__ import annotations

from typing import Any

__all__ = ["Momentum", "make_model", "next_token_loss"]

_CONTEXT = 8
_WIDTH = 16
_HIDDEN = 32
_LEARNING_RATE, _MOMENTUM = 0.3, 0.9


def make_model(seed: int, vocab_size: int) -> tuple[Any, Any]:
    """A model of ``vocab_size`` ids and its optimiser, the same for the same seed."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Embedding(vocab_size, _WIDTH),
        nn.Flatten(2),
        nn.Linear(_CONTEXT * _WIDTH, _HIDDEN),
        nn.ReLU(),
        nn.Linear(_HIDDEN, vocab_size),
    )
    return model, Momentum(list(model.parameters()))


class Momentum:
    """Gradient descent with momentum. torch's own would import its compiler, which takes longer than the training."""

    def __init__(self, parameters: list[Any], learning_rate: float = _LEARNING_RATE) -> None:
        self._parameters, self._learning_rate = parameters, learning_rate
        self._velocities = [parameter.detach() * 0 for parameter in parameters]

    def step(self) -> None:
        """Moves the parameters by their gradients, and forgets these."""
        for parameter, velocity in zip(self._parameters, self._velocities, strict=True):
            velocity.mul_(_MOMENTUM).add_(parameter.grad)
            parameter.data.sub_(velocity, alpha=self._learning_rate)
            parameter.grad = None

    def state_dict(self) -> list[Any]:
        """What a checkpoint has to keep."""
        return self._velocities

    def load_state_dict(self, state: list[Any]) -> None:
        """Goes on where a checkpoint was taken."""
        self._velocities = state


def next_token_loss(model: Any, input_ids: Any, labels: Any) -> Any:
    """Mean loss, in nats, of the token after each eight; both int64 [rows, length], -100 where nothing is asked."""
    from torch.nn import functional

    contexts = functional.pad(input_ids, (_CONTEXT - 1, 0)).unfold(1, _CONTEXT, 1)
    return functional.cross_entropy(model(contexts).flatten(0, 1), labels.flatten())
