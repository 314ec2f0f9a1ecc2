"""What a tree holds for its readers: every configuration that can be loaded, with its splits and their files."""

from __future__ import annotations

from rowmill.exceptions import DatasetNotFoundError, MissingShardError
from rowmill.hub.card import read_configs, read_metadata
from rowmill.hub.layout import Layout, Tree, find_layout_among

__all__ = ["Holdings", "find_holdings"]

Holdings = dict[str, Layout]


def find_holdings(tree: Tree) -> Holdings:
    """The configurations of a tree, by the code that ``load_dataset`` finds them with; those it refuses are left out.

    Raises:
        CorruptShardError: The card cannot be read at all.
    """
    configs = read_configs(read_metadata(tree.readme, tree.standalone, tree.place), tree.place)
    holdings: Holdings = {}
    # Without a list of them there is one, by the names of files.
    for name in configs or ["default"]:
        try:
            holdings[name] = find_layout_among(configs, tree, name)
        except (DatasetNotFoundError, MissingShardError, ValueError):
            continue
    return holdings
