"""Well-known corpora by a short name: where they lie, which column is the text, and what reads them well."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import Any

from rowmill.exceptions import DatasetNotFoundError
from rowmill.hub_cache import is_repo_name

__all__ = ["PRESETS", "Preset", "UnknownDatasetError", "find_preset", "list_available_datasets"]


class UnknownDatasetError(DatasetNotFoundError, ValueError):
    """No preset, no folder and no repository can have that name."""


@dataclass(frozen=True, slots=True)
class Preset:
    """How a data set is read where nobody says otherwise.

    Attributes:
        name: What it is called here.
        description: What it is.
        repo: The repository on the Hub.
        config: The configuration, or None for the only one.
        revision: The revision, where it is not the main branch.
        data_dir: The folder of the repository, where not all of it is meant.
        column: The column of text; None where it is found by the schema.
        split: The usual split.
        size: About how much there is.
        is_streamed: Whether what is not here is read over the network, and not downloaded, unless a caller says so.
        tokenizer: A tokenizer of the Hub.
    """

    name: str
    description: str
    repo: str
    config: str | None = None
    revision: str | None = None
    data_dir: str | None = None
    column: str | None = None
    split: str = "train"
    size: str = "unknown"
    is_streamed: bool = False
    tokenizer: str = "gpt2"

    def as_dict(self) -> dict[str, Any]:
        """The preset as plain values, for listings."""
        return {
            "name": self.name,
            "description": self.description,
            "path": self.repo,
            "config": self.config,
            "revision": self.revision or "main",
            "split": self.split,
            "column": self.column,
            "size": self.size,
            "streaming": self.is_streamed,
            "tokenizer": self.tokenizer,
        }


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "fineweb",
            "English web text, cleaned and deduplicated; a sample of 10 billion tokens",
            "HuggingFaceFW/fineweb",
            config="sample-10BT",
            column="text",
            size="about 28 GB",
            is_streamed=True,
        ),
        Preset(
            "fineweb-edu",
            "Educational pages of FineWeb; a sample of 10 billion tokens",
            "HuggingFaceFW/fineweb-edu",
            config="sample-10BT",
            column="text",
            size="about 28 GB",
            is_streamed=True,
        ),
        Preset(
            "pile",
            "The Pile without the parts that were taken down: books, papers, code, web",
            "monology/pile-uncopyrighted",
            column="text",
            size="hundreds of GB",
            is_streamed=True,
        ),
        Preset(
            "tiny_shakespeare",
            "40,000 lines of Shakespeare's plays in one document a split",
            "karpathy/tiny_shakespeare",
            # Its main branch is a script, which nobody runs any more; the Hub keeps the rows as Parquet.
            revision="refs/convert/parquet",
            data_dir="default",
            column="text",
            size="about 1 MB",
        ),
        Preset(
            "shakespeare",
            "The same plays in passages of some hundred words",
            "Trelis/tiny-shakespeare",
            column="Text",
            size="about 1 MB",
        ),
    )
}


def list_available_datasets() -> list[dict[str, Any]]:
    """What ``create_huggingface_dataset`` knows by a short name; any full repository name does as well.

    Returns:
        For each its name, description, path (the repository), config, revision, split, column, size, streaming
        (whether it is, by default) and tokenizer.

    Example:
        >>> import rowmill
        >>> print(*(preset["name"] for preset in rowmill.list_available_datasets()))
        fineweb fineweb-edu pile tiny_shakespeare shakespeare
    """
    return [preset.as_dict() for preset in PRESETS.values()]


def find_preset(name: str) -> Preset:
    """The preset of that name, or one without defaults for a repository's full name.

    Raises:
        UnknownDatasetError: It is neither; the text has the nearest names and the right form.
    """
    if name in PRESETS:
        return PRESETS[name]
    if is_repo_name(name) and "/" in name:
        return Preset(name, "a repository on the Hub", name)
    known = {preset.repo: preset.name for preset in PRESETS.values()}
    folded = {alias.lower().replace("_", "-"): alias for alias in (*PRESETS, *known)}
    near = difflib.get_close_matches(name.lower().replace("_", "-"), folded, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(folded[one] for one in near)}? " if near else ""
    raise UnknownDatasetError(
        f"{name!r} is no data set that is known here: {hint}The short names are {', '.join(PRESETS)}; any other is "
        f"written in full, as in HuggingFaceFW/fineweb, and a local one as a path that exists ({os.curdir}/data)",
        name,
    )
