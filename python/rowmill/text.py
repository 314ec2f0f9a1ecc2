"""What a dataset makes of text: token ids, sequences of them, and batches of one width."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rowmill.exceptions import RowmillError
from rowmill.stages import Stage
from rowmill.stages.pack import make_pack
from rowmill.stages.pad import make_pad
from rowmill.stages.tokenize import make_tokenize

if TYPE_CHECKING:
    from rowmill.dataset import Dataset
    from rowmill.plan import Plan

__all__ = ["Texts"]


class Texts:
    """The methods of a Dataset that tokenize, pack and pad."""

    _plan: Plan

    def _with_stage(self, stage: Stage) -> Dataset:
        raise NotImplementedError

    def tokenize(
        self,
        tokenizer: Any,
        *,
        column: str | Sequence[str] = "text",
        append_eos: bool = True,
        prepend_bos: bool = False,
        eos_token: str | int | None = None,
        bos_token: str | int | None = None,
        allow_special: bool = False,
        keep_columns: str | Sequence[str] = (),
    ) -> Dataset:
        r"""Encodes each row's text as ``input_ids``: the ids of Python's ``tokenizers``, made in Rust threads.

        Args:
            tokenizer: Path of a ``tokenizer.json`` or of its folder, a ``tokenizers.Tokenizer``, a fast tokenizer
                of transformers, the name of a repository in the Hub cache, or "bytes".
            column: Column of text; several, joined by line ends; or a template such as ``"{title}\n{text}"``. A null
                is an empty text.
            append_eos: End each document with the end-of-text id, unless the tokenizer does so itself.
            prepend_bos: Begin each document with the beginning-of-text id, unless the tokenizer does so itself.
            eos_token: Which token (or id) ends a document; found beside the tokenizer, or by its usual names, if None.
            bos_token: Which token (or id) begins one.
            allow_special: Take special tokens in the text as such; as plain text otherwise.
            keep_columns: Columns that stay beside the ids.
        """
        stage = make_tokenize(
            tokenizer, column, append_eos, prepend_bos, eos_token, bos_token, allow_special, keep_columns, self._probes
        )
        return self._with_stage(stage)

    def pack(
        self,
        seq_len: int,
        *,
        mode: Literal["concat", "best_fit", "best_fit_windows"] = "concat",
        labels: Literal["shifted", "copy"] | None = "shifted",
        position_ids: bool = False,
        document_ids: bool = False,
        loss_mask: bool = False,
        cu_seqlens: bool = False,
        flatten: bool = False,
        pad_token_id: int | None = None,
        column: str = "input_ids",
    ) -> Dataset:
        """Packs documents of token ids into samples of ``seq_len`` tokens, in Rust threads; see docs/pretraining.

        Each lane packs its own documents, so ranks x workers must divide ``num_lanes``; ``len`` is known once their
        tokens have been counted (``count_tokens``).

        Args:
            seq_len: Tokens of a sample.
            mode: "concat" (every token of every document once, documents cut wherever a sample ends), "best_fit"
                (only documents longer than ``seq_len`` are cut; the rest of a sample is padded), or
                "best_fit_windows" (the same, fitted over whole windows of the order: less padding, and a resume that
                reads less; wants ``count_tokens`` first).
            labels: "shifted" (the token that follows in the same document), "copy" (``input_ids``, for models that
                shift), or None; -100 where nothing follows and where padded.
            position_ids: Add places in each document's part of the sample, from 0.
            document_ids: Add the row id of each token's document; -1 where padded.
            loss_mask: Add True where the label counts.
            cu_seqlens: Add int32 boundaries of the documents in each sample, and ``max_seqlen``.
            flatten: Hand a batch out as one sequence of batch size x ``seq_len``, with one ``cu_seqlens``.
            pad_token_id: What stands in ``input_ids`` where padded; the end-of-text id, or 0, if None.
            column: Column that holds the ids, where they were not made by ``tokenize``.
        """
        stage = make_pack(
            seq_len=seq_len,
            mode=mode,
            labels=labels,
            position_ids=position_ids,
            document_ids=document_ids,
            loss_mask=loss_mask,
            cu_seqlens=cu_seqlens,
            flatten=flatten,
            pad_token_id=pad_token_id,
            column=column,
        )
        return self._with_stage(stage)

    def pad(
        self,
        max_length: int | None = None,
        *,
        padding: Literal["longest", "max_length"] = "longest",
        truncation: bool = True,
        pad_token_id: int | None = None,
        padding_side: Literal["left", "right"] = "right",
        truncation_side: Literal["left", "right"] = "right",
        pad_to_multiple_of: int | None = None,
        labels: str | None = None,
        label_mask: str | None = None,
        pad_values: Mapping[str, float | None] | None = None,
        column: str = "input_ids",
    ) -> Dataset:
        """Makes batches of rows of token ids one width, as a transformers tokenizer does; see docs/fine-tuning.

        A batch has ``input_ids``, ``attention_mask`` (1 real, 0 padding), and all other columns with a value a token
        padded too: ``labels`` with -100, the rest with 0. It stands before or after ``.batch``; padding runs in Rust
        threads, unless Python functions have made the rows.

        Args:
            max_length: Longest row that truncation leaves, and the width of "max_length".
            padding: "longest" (as the batch's longest row) or "max_length".
            truncation: Cut longer rows to ``max_length``; the special tokens that ``.tokenize`` puts at both ends of a
                row stay.
            pad_token_id: What stands in ``input_ids`` where padded: the tokenizer's padding token if None, else its
                end-of-text token.
            padding_side: Where padding goes.
            truncation_side: Where a long row is cut.
            pad_to_multiple_of: Round the width up to a multiple of this.
            labels: "input_ids" makes labels of the ids; the name of a column takes those.
            label_mask: Column that says which labels count, for ``labels="input_ids"``: a list with one 0 or 1 a
                token, or the number of tokens of the prompt, which do not count. The others are -100.
            pad_values: What stands where other columns are padded; None leaves a list column as it is.
            column: Column that holds the ids, where they were not made by ``tokenize``.
        """
        stage = make_pad(
            max_length=max_length,
            padding=padding,
            truncation=truncation,
            pad_token_id=pad_token_id,
            padding_side=padding_side,
            truncation_side=truncation_side,
            pad_to_multiple_of=pad_to_multiple_of,
            labels=labels,
            label_mask=label_mask,
            pad_values=pad_values,
            column=column,
        )
        return self._with_stage(stage)

    def _probes(self, columns: Sequence[str]) -> list[dict[str, Any]]:
        """A few rows, spread over the data, where the engine reads these columns as they are and can."""
        if self._plan.is_over_files:
            return []
        pipeline = self._plan.pipeline
        if pipeline.row_stages or pipeline.batch is not None or not set(columns) <= set(pipeline.column_names):
            return []
        names = tuple((stored, name) for stored, name in pipeline.columns if name in columns)
        start, stop = pipeline.rows
        row_ids = sorted({start + (stop - start) * at // 4 for at in range(4)} if stop > start else ())
        with contextlib.suppress(RowmillError, OSError):
            # Damage is met, and told, where the row is read.
            return self._plan.source.rust.table(list(names), "auto").fetch(row_ids)
        return []
