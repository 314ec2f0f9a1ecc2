"""pack: documents of token ids as sequences of one length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rowmill.arguments import count, positive

__all__ = ["PACK_VERSION", "WINDOWS", "Pack", "make_pack"]

# Of what decides which token comes in which sample; as in Rust's text::pack.
PACK_VERSION = 1
# The mode whose groups are whole windows, fitted by counts of the documents' tokens.
WINDOWS = "best_fit_windows"


@dataclass(frozen=True, slots=True)
class Pack:
    """Sequences of ``seq_len`` tokens; see ``Dataset.pack``."""

    seq_len: int
    mode: str = "concat"
    labels: str | None = "shifted"
    position_ids: bool = False
    document_ids: bool = False
    loss_mask: bool = False
    cu_seqlens: bool = False
    flatten: bool = False
    pad_token_id: int | None = None
    eos: int | None = None
    column: str = "input_ids"

    @property
    def names(self) -> list[str]:
        """The columns of a sample, without the cuts."""
        chosen = {
            "input_ids": True,
            "labels": self.labels is not None,
            "position_ids": self.position_ids,
            "document_ids": self.document_ids,
            "loss_mask": self.loss_mask,
        }
        return [name for name, is_wanted in chosen.items() if is_wanted]

    def pad_id(self, eos: int | None) -> int:
        """The id of padded places: as asked for, else what ends a document, ``eos`` where the tokenizer ends it.

        Padded places carry no loss and no document: any id serves, and the end of a document is in every vocabulary.
        """
        return next((known for known in (self.pad_token_id, self.eos, eos) if known is not None), 0)

    def describe(self) -> str:
        # What only changes how a sample is shown leaves the stream as it is.
        return f"pack({self.seq_len},{self.mode},v{PACK_VERSION},{self.column},eos={self.eos})"


def make_pack(*, seq_len: int, mode: str, labels: str | None, pad_token_id: int | None, **shown: Any) -> Pack:
    """The stage, with its arguments checked.

    Raises:
        ValueError: An argument is out of its range.
    """
    if mode not in ("concat", "best_fit", WINDOWS):
        raise ValueError(f'mode must be "concat", "best_fit" or "{WINDOWS}", not {mode!r}')
    if labels not in ("shifted", "copy", None):
        raise ValueError(f'labels must be "shifted", "copy" or None, not {labels!r}')
    pad = None if pad_token_id is None else count("pad_token_id", pad_token_id)
    length = positive("seq_len", seq_len, 1)
    if length >= 1 << 31:
        raise ValueError(f"seq_len must be below 2^31, not {length}")
    return Pack(seq_len=length, mode=mode, labels=labels, pad_token_id=pad, **shown)
