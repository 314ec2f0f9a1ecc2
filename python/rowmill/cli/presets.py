"""``rowmill presets``: the data sets that have a short name."""

from __future__ import annotations

from rowmill.cli.output import AsJson, print_json, print_table


def presets(as_json: AsJson = False) -> None:
    """List the data sets that rowmill.create_huggingface_dataset knows by a short name.

    Any full repository name of the Hub serves as well, and so does the path of local shards.
    """
    from rowmill.presets import list_available_datasets

    known = list_available_datasets()
    if as_json:
        print_json(known)
        return
    names = ("name", "path", "config", "column", "size", "streaming", "tokenizer", "description")
    print_table(names, ([_cell(preset[name]) for name in names] for preset in known), right=["size"])


def _cell(value: object) -> str:
    return {None: "-", True: "yes", False: "no"}.get(value, str(value)) if value in (None, True, False) else str(value)
