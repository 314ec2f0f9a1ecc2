"""The README of a pushed data set: YAML that readers go by, and a section that says what it is and how it was made."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rowmill.hub.card import read_metadata

if TYPE_CHECKING:
    import pyarrow as pa

    from rowmill.hub.merging import Merge
    from rowmill.hub.staging import StagedSplit

__all__ = ["make_card"]

Measure = Callable[[Sequence[str]], tuple[int, int | None]]

_BEGIN, _END = "<!-- rowmill push: begin -->", "<!-- rowmill push: end -->"
_SIZES = [(10**power, f"1{unit}" if power % 3 == 0 else f"{10 ** (power % 3)}{unit}") for power, unit in (
    (3, "K"), (4, "K"), (5, "K"), (6, "M"), (7, "M"), (8, "M"), (9, "B"), (10, "B"), (11, "B"), (12, "T"),
)]  # fmt: skip


def make_card(
    repo: str,
    made: Merge,
    *,
    license: str | None,
    column: str | None,
    left_out: Sequence[str],
    own: tuple[str, str] | None,
    measure: Measure,
) -> str:
    """The README with the splits of a push; what the one that is there says beside them stays.

    Args:
        repo: The repository.
        made: The push, and what is there.
        license: Its licence, as the Hub spells them; that of the card, or "unknown", when None.
        column: The column of text that is meant where there are several.
        left_out: Columns that are not pushed.
        own: The folder of a README beside the data, and its text. The text is taken as it is; of its YAML everything
            but the configurations, which are of the folder and not of the repository.
        measure: Bytes of files that are there, and their rows; None where nobody can say.
    """
    import yaml

    metadata = read_metadata(made.tree.readme, None, repo)
    said = {} if own is None else read_metadata(own[1], None, own[0])
    metadata |= {name: value for name, value in said.items() if name not in ("configs", "dataset_info")}
    metadata["license"] = license or metadata.get("license") or "unknown"
    metadata["configs"] = made.configs
    metadata["dataset_info"] = info = _info(metadata.get("dataset_info"), made, measure)
    metadata["size_categories"] = [_size_category(_num_rows(info))]
    tags = metadata.get("tags")
    metadata["tags"] = [*dict.fromkeys([*(tags if isinstance(tags, list) else []), "rowmill"])]
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=1000)
    section = "\n".join([_BEGIN, *_section(made.config, made.splits, column, left_out), _END])
    body = _body(made.tree.readme if own is None else own[1]) or f"# {repo.rpartition('/')[2]}"
    return f"---\n{head}---\n\n{_with_section(body, section)}"


def _info(known: Any, made: Merge, measure: Measure) -> Any:
    entries = [dict(one) for one in _as_list(known) if isinstance(one, Mapping)]
    own = next((one for one in entries if one.get("config_name", "default") == made.config), None)
    if own is None:
        own = {}
        entries.append(own)
    splits: list[dict[str, Any]] = [
        {"name": split.name, "num_bytes": split.num_bytes, "num_examples": split.num_rows} for split in made.splits
    ]
    splits += [_kept(name, files, own.get("splits"), measure) for name, files in made.kept.items() if files]
    features = _features(made.splits[0].schema) if made.splits[0].format == "parquet" else None
    num_bytes = sum(one["num_bytes"] for one in splits)
    # Readers refuse a list with a split too few or a wrong count: it is whole, or not there.
    is_counted = all(one["num_examples"] is not None for one in splits)
    # Always in the same order: the card of the same data is the same file.
    ours = {
        "config_name": made.config,
        **({} if features is None else {"features": features}),
        **({"splits": splits} if is_counted else {}),
        "download_size": num_bytes,
        "dataset_size": num_bytes,
    }
    own_others = {name: value for name, value in own.items() if name not in (*ours, "features", "splits")}
    own.clear()
    own.update({**ours, **own_others})
    return entries[0] if len(entries) == 1 else entries


def _kept(name: str, files: Sequence[str], listed: Any, measure: Measure) -> dict[str, Any]:
    """What the card says of a split that stays, and what it leaves out."""
    said = next((dict(one) for one in _mappings(listed) if one.get("name") == name), {"name": name})
    if not (_is_count(said.get("num_bytes")) and _is_count(said.get("num_examples"))):
        num_bytes, num_rows = measure(files)
        said |= {"num_bytes": num_bytes, "num_examples": num_rows}
    return said


def _num_rows(info: Any) -> int:
    """The rows that are told of; a card may say nothing of some."""
    splits = [split for one in _mappings(_as_list(info)) for split in _mappings(one.get("splits"))]
    return sum(split["num_examples"] for split in splits if _is_count(split.get("num_examples")))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _features(schema: pa.Schema) -> Any:
    """Features as `datasets` spells them; None without it, for readers then find them in the files."""
    if importlib.util.find_spec("datasets") is None:
        return None
    from datasets import Features

    return Features.from_arrow_schema(schema)._to_yaml_list()


def _size_category(num_rows: int) -> str:
    below = "n"
    for limit, name in _SIZES:
        if num_rows < limit:
            return f"{below}<{name}" if below == "n" else f"{below}<n<{name}"
        below = name
    return f"n>{below}"


def _section(config: str, splits: Sequence[StagedSplit], column: str | None, left_out: Sequence[str]) -> list[str]:
    import rowmill

    lines = [
        "",
        "## Data",
        "",
        f"Configuration `{config}`:",
        "",
        "| split | rows | files | bytes |",
        "|---|---|---|---|",
    ]
    lines += [f"| {one.name} | {one.num_rows:,} | {len(one.files):,} | {one.num_bytes:,} |" for one in splits]
    lines += ["", "| column | type |", "|---|---|"]
    lines += [f"| `{one.name}` | {str(one.type).replace('|', chr(92) + '|')} |" for one in splits[0].schema]
    if column is not None:
        lines += ["", *_layers(column, splits[0].schema)]
    if left_out:
        lines += ["", f"Left out of what it was made of: {', '.join(f'`{name}`' for name in left_out)}."]
    origins = "; ".join(f"{one.name} from data with fingerprint `{one.origin['fingerprint']}`" for one in splits)
    how = "tar shards as they were" if splits[0].format == "webdataset" else "Parquet with content-defined chunks"
    lines += ["", "## How it was made", "", f"By rowmill {rowmill.__version__}: {how}; {origins}.", ""]
    return lines


def _layers(column: str, schema: pa.Schema) -> list[str]:
    import pyarrow as pa

    def is_text(kind: Any) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    others = [one.name for one in schema if one.name != column and is_text(one.type)]
    text = f"The text of a row is its column `{column}`."
    if others:
        text += f" Beside it stand {', '.join(f'`{name}`' for name in others)}, which are not to be joined with it."
    return [text]


def _body(readme: str | None) -> str:
    """A README without its YAML."""
    text = (readme or "").removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.lstrip().startswith("---\n"):
        return text.strip("\n")
    _, _, rest = text.lstrip().removeprefix("---\n").partition("\n---")
    return rest.partition("\n")[2].strip("\n")


def _with_section(body: str, section: str) -> str:
    before, begin, rest = body.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if begin and end:
        return f"{before}{section}{after.rstrip()}\n"
    return f"{body}\n\n{section}\n"
