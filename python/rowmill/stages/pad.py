"""pad: rows of token ids as batches of one width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from rowmill import _rust
from rowmill.arguments import count, positive
from rowmill.stages.tokenize import INPUT_IDS, Tokenize

__all__ = ["ATTENTION_MASK", "LABELS", "Pad", "make_pad"]

ATTENTION_MASK = "attention_mask"
LABELS = "labels"

# What models have one a token of, whatever kind of list holds it; as in Rust's text::padded.
PER_TOKEN = (INPUT_IDS, ATTENTION_MASK, LABELS, "token_type_ids", "position_ids", "special_tokens_mask", "loss_mask")


@dataclass(frozen=True)
class Pad:
    """Batches of one width; see ``Dataset.pad``. ``special`` counts the tokens at both ends that truncation keeps."""

    max_length: int | None = None
    padding: str = "longest"
    truncation: bool = True
    pad_token_id: int | None = None
    padding_side: str = "right"
    truncation_side: str = "right"
    multiple_of: int | None = None
    labels: str | None = None
    label_mask: str | None = None
    values: tuple[tuple[str, float | None], ...] = ()
    column: str = INPUT_IDS
    special: tuple[int, int] = (0, 0)

    @cached_property
    def rust(self) -> _rust.Padding:
        """The same for the engine."""
        assert self.pad_token_id is not None, "the pipeline found it"
        return _rust.Padding(
            tokens=self.column,
            padding=self.padding,
            max_length=self.max_length,
            truncation=self.truncation,
            multiple_of=self.multiple_of,
            padding_side=self.padding_side,
            truncation_side=self.truncation_side,
            special=self.special,
            pad_id=self.pad_token_id,
            values=list(self.values),
            labels=self.labels,
            label_mask=self.label_mask,
        )

    @property
    def makes_labels(self) -> bool:
        """Whether labels are made of the ids."""
        return self.labels == self.column

    def fill(self, name: str) -> float:
        """What stands where a column is padded, as transformers' collators have it."""
        asked = dict(self.values).get(name)
        if name == INPUT_IDS:
            return self.pad_token_id or 0
        return {LABELS: -100, "special_tokens_mask": 1}.get(name, 0) if asked is None else asked

    def shown_name(self, name: str) -> str:
        """The name under which a column comes out."""
        if name == self.column:
            return INPUT_IDS
        return LABELS if name == self.labels else name

    def shown_names(self, names: list[str]) -> list[str]:
        """The columns of a batch of rows with these columns."""
        shown = [self.shown_name(name) for name in names]
        shown += [] if ATTENTION_MASK in shown else [ATTENTION_MASK]
        return [*shown, LABELS] if self.makes_labels else shown

    def after(self, tokenize: Tokenize | None) -> Pad:
        """This one with what the tokenizer knows: the padding's id, and the special tokens at both ends.

        Raises:
            ValueError: Nothing says which id pads.
        """
        if tokenize is None:
            if self.pad_token_id is None:
                raise ValueError(
                    ".pad needs pad_token_id=ID: no .tokenize stands before it whose tokenizer could name it"
                )
            return self
        id = tokenize.tokenizer.required_pad() if self.pad_token_id is None else self.pad_token_id
        return replace(self, pad_token_id=id, special=tokenize.num_special)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "rust"}


def make_pad(
    *,
    max_length: int | None,
    padding: str | bool,
    truncation: bool,
    pad_token_id: int | None,
    padding_side: str,
    truncation_side: str,
    pad_to_multiple_of: int | None,
    labels: str | None,
    label_mask: str | None,
    pad_values: Mapping[str, float | None] | None,
    column: str,
) -> Pad:
    """The stage, with its arguments checked.

    Raises:
        ValueError: An argument is out of its range.
    """
    padding = "longest" if padding is True else padding
    if padding not in ("longest", "max_length"):
        raise ValueError(f'padding must be "longest" or "max_length", not {padding!r}')
    if padding == "max_length" and max_length is None:
        raise ValueError('padding="max_length" needs a max_length')
    if not isinstance(truncation, bool):
        raise ValueError(f"truncation must be True or False, not {truncation!r}")
    for name, side in (("padding_side", padding_side), ("truncation_side", truncation_side)):
        if side not in ("left", "right"):
            raise ValueError(f'{name} must be "left" or "right", not {side!r}')
    if pad_token_id is not None and count("pad_token_id", pad_token_id) >= 1 << 32:
        raise ValueError(f"pad_token_id must be below 2^32, not {pad_token_id}")
    if label_mask is not None and labels != column:
        raise ValueError(f"label_mask chooses among labels that are made of the ids: pass labels={column!r} too")
    return Pad(
        max_length=None if max_length is None else positive("max_length", max_length, 1),
        padding=padding,
        truncation=truncation,
        pad_token_id=None if pad_token_id is None else int(pad_token_id),
        padding_side=padding_side,
        truncation_side=truncation_side,
        multiple_of=None if pad_to_multiple_of is None else positive("pad_to_multiple_of", pad_to_multiple_of, 1),
        labels=labels,
        label_mask=label_mask,
        values=tuple((name, None if value is None else float(value)) for name, value in (pad_values or {}).items()),
        column=column,
    )
