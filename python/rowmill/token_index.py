"""The token-count index: how many tokens each row has as a document, counted once and kept where indexes are.

It is found by what its counts depend on: the data's fingerprint, the tokenizer's, and how that is used. Nothing
else names it, so that every process of a job finds it by itself.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import shlex
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rowmill import _rust
from rowmill.exceptions import SchemaMismatchError
from rowmill.folders import index_folder
from rowmill.mixing.source import MixedSource
from rowmill.paths import short_path
from rowmill.plan import Plan
from rowmill.stages import Batch, Clip, Pack, Tokenize
from rowmill.stages.pack import WINDOWS

__all__ = [
    "TokenTotals",
    "build_index",
    "find_index",
    "how_to_build",
    "lane_samples",
    "num_tokens",
    "own_lane_samples",
    "why_uncountable",
    "window_counts",
]

# Of what decides a count; another one is another file.
_VERSION = 1

_KEPT_ANSWERS = 8


@dataclass(frozen=True)
class TokenTotals:
    """What a token-count index says of the whole data set.

    Attributes:
        num_rows: Rows of the data set.
        num_tokens: Tokens of all of them, with what begins and ends each document.
        num_left_out: Rows left out for damage (``on_error="skip"``).
        num_counted: Rows that were counted now; the others were known.
        num_bytes: Bytes of the index.
        path: The index; of a mix the folder that those of its sources lie in.
    """

    num_rows: int
    num_tokens: int
    num_left_out: int
    num_counted: int
    num_bytes: int
    path: str


@dataclass
class _Opened:
    """An index that is open, and what was worked out with it."""

    counts: _rust.TokenCounts
    answers: dict[Any, list[int]] = field(default_factory=dict)


# By source.
_opened: weakref.WeakKeyDictionary[Any, dict[str, _Opened]] = weakref.WeakKeyDictionary()


def build_index(
    plan: Plan,
    *,
    num_threads: int | None = None,
    force: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> TokenTotals:
    """Counts the tokens of every row on all cores, unless they are known; a pass that was killed goes on.

    Raises:
        SchemaMismatchError: The rows are no documents that the engine reads.
    """
    plan = plan.uncached
    reason = why_uncountable(plan)
    if reason is not None:
        raise SchemaMismatchError(reason)
    parts = _parts(plan)
    total, before, made = sum(part.source.rust.num_rows for _, part in parts), 0, []
    for first_row, part in parts:
        of_all = None if progress is None else functools.partial(_tell, progress, before, total)
        made.append((first_row, _count(part, num_threads, force, of_all)))
        before += part.source.rust.num_rows
    counts = _joined(made)
    if plan.is_mixed:
        _opened.pop(plan.source, None)  # what was put together of earlier counts
    paths = [str(path) for path in counts.paths]
    return TokenTotals(
        num_rows=counts.num_rows,
        num_tokens=counts.num_tokens,
        num_left_out=counts.num_left_out,
        num_counted=counts.num_counted,
        num_bytes=counts.num_bytes,
        path=paths[0] if len(paths) == 1 else os.path.commonpath(paths),
    )


def find_index(plan: Plan) -> _rust.TokenCounts | None:
    """The index of what ``plan`` packs; None where there is none."""
    opened = _find(plan.uncached)
    return None if opened is None else opened.counts


def window_counts(plan: Plan) -> _rust.TokenCounts | None:
    """The counts that whole windows are packed by; None where they are not packed so.

    Raises:
        SchemaMismatchError: They are wanted, and not there.
    """
    if plan.pipeline.pack is None or plan.pipeline.pack.mode != WINDOWS:
        return None
    reason = why_uncountable(plan)
    if reason is not None:
        raise SchemaMismatchError(f'mode="{WINDOWS}" packs by counts of the documents\' tokens: {reason}')
    counts = find_index(plan)
    if counts is None:
        raise SchemaMismatchError(
            f'mode="{WINDOWS}" packs by the tokens of the documents, which have not been counted; do it once: '
            f"{how_to_build(plan)}"
        )
    return counts


def lane_samples(plan: Plan, first_epoch: int) -> list[int] | None:
    """The samples that each lane gives in a finite pass; None without an index."""
    plan = plan.uncached
    opened, pack = _find(plan), plan.pipeline.pack
    if opened is None or pack is None:
        return None
    epochs = plan.epochs_per_pass
    assert epochs is not None, "an endless pass is not asked for its end"
    stopping = plan.stopping if plan.is_mixed else None
    key = (pack.mode, pack.seq_len, first_epoch, epochs, plan.position_range, plan.order, plan.pipeline.rows, stopping)
    if key not in opened.answers:
        while len(opened.answers) >= _KEPT_ANSWERS:
            opened.answers.pop(next(iter(opened.answers)))
        opened.answers[key] = opened.counts.lane_samples(
            plan.rust_order,
            mode=pack.mode,
            seq_len=pack.seq_len,
            first_epoch=first_epoch,
            num_epochs=epochs,
            positions=plan.position_range,
        )
    return opened.answers[key]


def own_lane_samples(plan: Plan, epoch: int) -> list[int] | None:
    """The samples that each lane of a packed source gives in one of its epochs; None without an index."""
    return lane_samples(plan.with_(num_epochs=None), epoch)


def num_tokens(plan: Plan, epoch: int) -> int | None:
    """The tokens of an epoch over all ranks; None without an index."""
    counts = find_index(plan)
    if counts is None:
        return None
    if plan.pipeline.positions == (0, None) and not plan.is_mixed:
        return counts.sum(*plan.pipeline.rows)
    return sum(counts.lane_tokens(plan.rust_order, first_epoch=epoch, num_epochs=1, positions=plan.position_range))


def why_uncountable(plan: Plan) -> str | None:
    """Why nobody counts the documents of ``plan`` before they are read; None where it can be done."""
    if plan.is_over_files:
        return (
            'documents are counted in all files, and with lanes_over="files" none is looked at before its turn comes; '
            "open them without it, or let the lanes run on with .repeat(), which needs no count"
        )
    if plan.uncached.pipeline.packs_python_rows:
        return (
            "Python functions before .pack make the documents, so they are not counted before they are read; .cache() "
            "behind the functions writes the documents once, and those can be counted; .repeat() needs no count"
        )
    return None


def how_to_build(plan: Plan) -> str:
    """The commands that build the index, or the call where no command can name what is to be counted."""
    missing = [part for _, part in _parts(plan) if _find_part(part) is None]
    commands = [_command(part) for part in missing]
    if not commands or None in commands:
        return "ds.count_tokens()"
    shown = "`, `".join(shlex.join(command) for command in commands if command is not None)
    return f"`{shown}` (in Python: ds.count_tokens())"


def _parts(plan: Plan) -> list[tuple[int, Plan]]:
    """What is counted by itself: of each source the row id of its first row, and a plan of its documents alone.

    So a source has one index, whether it is read alone or in any mix.
    """
    plan = plan.uncached
    if not isinstance(plan.source, MixedSource):
        return [(0, plan)]
    if plan.mixes_samples:
        return plan.source.placed_plans
    own = tuple(itertools.takewhile(lambda stage: not isinstance(stage, Batch), plan.stages))
    packed = next((at for at, stage in enumerate(own) if isinstance(stage, Pack)), len(own))
    own = tuple(stage for stage in own[: packed + 1] if not isinstance(stage, Clip))
    return [(first_row, part.with_(stages=(*part.stages, *own))) for first_row, part in plan.source.placed_plans]


def _count(
    plan: Plan, num_threads: int | None, force: bool, progress: Callable[[int, int], object] | None
) -> _rust.TokenCounts:
    path, key = _place(plan)
    pack = plan.pipeline.pack
    counts = plan.table().count_tokens(
        token_column=plan.pipeline.token_column,
        eos=None if pack is None else pack.eos,
        path=path,
        key=key,
        num_threads=num_threads,
        force=force,
        progress=progress,
    )
    _opened.setdefault(plan.source, {})[str(path)] = _Opened(counts)
    return counts


def _tell(progress: Callable[[int, int], object], before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _joined(parts: Sequence[tuple[int, _rust.TokenCounts]]) -> _rust.TokenCounts:
    return parts[0][1] if len(parts) == 1 and parts[0][0] == 0 else _rust.TokenCounts.joined(parts)


def _find(plan: Plan) -> _Opened | None:
    if why_uncountable(plan) is not None:
        return None
    if not isinstance(plan.source, MixedSource):
        return _find_part(plan)
    if plan.pipeline.pack is not None and plan.pipeline.pack.mode == WINDOWS and not plan.mixes_samples:
        raise SchemaMismatchError(
            f'mode="{WINDOWS}" fits documents over the windows of one order, and a mix has those of all its sources; '
            'pack each source so and mix the samples, or take mode="best_fit"'
        )
    found = [(first_row, _find_part(part)) for first_row, part in _parts(plan)]
    opened = [(first_row, one.counts) for first_row, one in found if one is not None]
    if len(opened) < len(found):
        return None
    known = _opened.setdefault(plan.source, {})
    name = os.pathsep.join(str(path) for _, counts in opened for path in counts.paths)
    if name not in known:
        known[name] = _Opened(_joined(opened))
    return known[name]


def _find_part(plan: Plan) -> _Opened | None:
    path, key = _place(plan)
    known = _opened.setdefault(plan.source, {})
    if str(path) not in known:
        counts = _rust.TokenCounts.open(path, key, plan.source.rust.num_rows)
        if counts is None:
            return None
        known[str(path)] = _Opened(counts)
    return known[str(path)]


def _place(plan: Plan) -> tuple[Path, str]:
    """The file of the counts, and what it says that they belong to."""
    source = plan.source
    told = json.dumps([_VERSION, source.rust.fingerprint, source.rust.num_rows, *_content(plan)])
    key = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
    folder = source.options.index_dir
    return index_folder(None if folder is None else Path(folder)) / f"{key}.tokens", key


def _content(plan: Plan) -> list[Any]:
    """What makes a row a document of so many tokens; columns by their names in the files."""
    pipeline = plan.pipeline
    tokenize, pack = pipeline.tokenize, pipeline.pack
    stored = {name: source for source, name in pipeline.columns}
    if tokenize is not None:
        parts = [[literal, None if name is None else stored[name]] for literal, name in tokenize.parts]
        ends = [tokenize.bos is not None, tokenize.eos is not None]
        return ["text", tokenize.tokenizer.fingerprint, parts, ends]
    if pack is None:
        raise SchemaMismatchError(
            "there are no tokens to count: .tokenize(...) makes them of text, .pack(..., column=NAME) names them"
        )
    return ["tokens", stored[pack.column], pack.eos is not None]


def _command(plan: Plan) -> list[str] | None:
    options, pipeline = plan.source.options, plan.pipeline
    if options.ranges or options.indices:
        # Rows of a dataset that was open elsewhere: no path names them.
        return None
    command = ["rowmill", "index", *(short_path(path) for path in options.paths)]
    if pipeline.tokenize is None:
        stored = {name: source for source, name in pipeline.columns}
        command += ["--token-column", stored[pipeline.pack.column] if pipeline.pack is not None else ""]
    else:
        tokenizer = pipeline.tokenize.tokenizer.name
        if tokenizer != "bytes" and not os.path.isfile(tokenizer):
            return None
        command += ["--tokens", short_path(tokenizer), *_text_options(pipeline.tokenize, pipeline.columns)]
    command += ["--split", options.split] if options.split is not None else []
    return command + (["--index-dir", options.index_dir] if options.index_dir is not None else [])


def _text_options(tokenize: Tokenize, columns: Sequence[tuple[str, str]]) -> list[str]:
    stored = {name: source for source, name in columns}
    if len(tokenize.parts) == 1 and not tokenize.parts[0][0]:
        column = stored[tokenize.parts[0][1] or ""]
    else:
        column = "".join(
            literal.replace("{", "{{").replace("}", "}}") + ("" if name is None else f"{{{stored[name]}}}")
            for literal, name in tokenize.parts
        )
    options = ["--column", column] if column != "text" else []
    tokenizer = tokenize.tokenizer
    if tokenize.eos is None:
        options += ["--no-append-eos"]
    elif tokenizer.name != "bytes":
        options += ["--eos-token", str(tokenize.eos)]
    if tokenize.bos is not None:
        options += ["--prepend-bos", "--bos-token", str(tokenize.bos)]
    return options + (["--allow-special"] if tokenizer.allows_special else [])
