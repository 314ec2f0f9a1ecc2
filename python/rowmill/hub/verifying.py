"""``rowmill.hub.verify``: whether what is on the Hub is what was pushed, found out from the Hub and not from memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from rowmill.exceptions import CorruptShardError, DatasetNotFoundError, RowmillError
from rowmill.hub.card import Config, default_config, read_configs, read_metadata
from rowmill.hub.comparing import Comparison, brief
from rowmill.hub.layout import Tree, find_layout_among
from rowmill.hub.listing import Listing
from rowmill.hub.manifests import Manifest, SentFile, is_manifest, manifest_path, read_manifest
from rowmill.hub.names import check_repo_name
from rowmill.hub.report import Report
from rowmill.hub.settings import find_settings
from rowmill.hub.writing import Writer

__all__ = ["verify"]

_PIECE = 1 << 20


def verify(
    repo: str,
    revision: str | None = None,
    *,
    against: Any = None,
    config: str | None = None,
    columns: Sequence[str] | None = None,
    deep: bool = False,
    token: str | bool | None = None,
) -> Report:
    """Compares a data set of the Hub with what it was made of, or with what its push wrote down.

    The tree is listed anew, and every size and hash in it compared; the rows of each Parquet file are counted by its
    footer, read over the network. Nothing is taken from a cache.

    Args:
        repo: The repository.
        revision: Branch, tag or commit; main when None.
        against: The folder (or dataset, or dict of splits) that was pushed: its columns and rows are counted, and its
            fingerprint compared with the one that the push wrote down; where there is none to compare with, that is a
            problem, which ``deep`` solves. Where the repository has the folder's own files, put there by other means,
            they are compared one by one.
        config: Only this configuration. None is every one, and with ``against`` the default one.
        columns: The columns that were pushed; all when None.
        deep: Read every byte back; with ``against``, compare every row, by pyarrow over the network.
        token: For a private repository; the user's own when None.

    Returns:
        A report with ``ok``, ``problems`` (a sentence each), ``warnings`` and ``facts``.

    Raises:
        DatasetNotFoundError: There is no such repository.
        OfflineError: The Hub cannot be reached.
        ValueError: ``against`` is given, and there are several configurations to choose from.
    """
    client = Writer(check_repo_name(repo), find_settings(token=token))
    sha = client.commit_of(revision or "main")
    listing = client.listing(sha)
    report = Report(facts={"repo": repo, "sha": sha, "num_files": len(listing)})
    report.facts["num_bytes"] = sum(file.size for file in listing.values())
    check = _Check(client, sha, listing, config, report)
    check.holdings()
    check.manifests()
    check.counts()
    if against is not None:
        check.compare(against, columns, deep)
    elif deep:
        check.every_byte()
    return report


class _Check:
    """One verification; what is wrong goes into the report."""

    def __init__(self, client: Writer, sha: str, listing: Listing, config: str | None, report: Report) -> None:
        self.client, self.sha, self.listing, self.config, self.report = client, sha, listing, config, report
        # The files of each split, by configuration.
        self._splits: dict[str, dict[str, list[str]]] = {}
        self._default: str | None = None
        self._manifests: dict[str, Manifest] = {}
        self._rows: dict[str, int] = {}
        self._columns: dict[str, list[str]] = {}

    def holdings(self) -> None:
        """What readers find, by configuration."""
        tree = self.client.tree(self.sha, self.listing)
        try:
            configs = read_configs(read_metadata(tree.readme, tree.standalone, tree.place), tree.place)
            self._default = default_config(configs, tree.place) if configs else "default"
        except CorruptShardError as error:
            self.report.problems.append(str(error))
            return
        for config in (configs or ["default"]) if self.config is None else [self.config]:
            self._find(tree, config, configs)

    def _find(self, tree: Tree, config: str, configs: Mapping[str, Config]) -> None:
        try:
            self._splits[config] = find_layout_among(configs, tree, config).splits
        except DatasetNotFoundError as error:
            # One without files is no problem of its own: those that were sent and are gone are told one by one.
            told = self.report.warnings if config in (configs or ["default"]) else self.report.problems
            told.append(f"configuration {config} has no files: {error}")
        except (RowmillError, ValueError) as error:
            self.report.problems.append(f"configuration {config} cannot be read: {error}")

    def manifests(self) -> None:
        """Every file that a push has written down is there, with its size and hash."""
        own = None if self.config is None else manifest_path(self.config)
        for path in [path for path in self.listing if is_manifest(path) and own in (None, path)]:
            try:
                self._manifests[path] = read_manifest(self.client.read(path, self.sha), path)
            except CorruptShardError as error:
                self.report.problems.append(str(error))
        for sent in self._promised().values():
            self._compare_sent(sent)

    def _promised(self) -> dict[str, SentFile]:
        sent = [split for manifest in self._manifests.values() for split in manifest.values()]
        return {file.path: file for split in sent for file in split.files}

    def _compare_sent(self, sent: SentFile) -> None:
        there = self.listing.get(sent.path)
        if there is None:
            self.report.problems.append(f"{sent.path} is not there")
        elif there.size != sent.size:
            self.report.problems.append(f"{sent.path} has {there.size:,} bytes, and not {sent.size:,}")
        elif (sha256 := there.sha256 or self._sha256_of(sent.path)) not in (None, sent.sha256):
            self.report.problems.append(f"{sent.path} has other bytes: its SHA-256 is {sha256}")

    def _sha256_of(self, path: str) -> str | None:
        """Of a file that git keeps itself, whose tree has another hash; None, and told, where it cannot be read."""
        return self._digest_of(path, hashlib.sha256())

    def counts(self) -> None:
        """The rows of each Parquet file, by its footer."""
        promised = self._promised()
        for path in [path for path in self._files() if path.endswith(".parquet")]:
            try:
                metadata = self.client.footer(path, self.sha)
                self._rows[path] = metadata.num_rows
                self._columns[path] = metadata.schema.to_arrow_schema().names
            except (RowmillError, OSError, ValueError) as error:
                self.report.problems.append(f"{path} cannot be read back: {brief(error)}")
                continue
            number = promised[path].num_rows if path in promised else None
            if number not in (None, self._rows[path]):
                self.report.problems.append(f"{path} has {self._rows[path]:,} rows, and not {number:,}")
        self.report.facts["num_rows"] = sum(self._rows.values())
        self.report.facts["splits"] = {
            split if len(self._splits) == 1 else f"{config}/{split}": sum(self._rows[path] for path in paths)
            for config, splits in self._splits.items()
            for split, paths in splits.items()
            if all(path in self._rows for path in paths)
        }

    def _files(self) -> list[str]:
        """The files that this is about: all of them, or those of the configuration."""
        if self.config is None:
            return list(self.listing)
        own = {path for splits in self._splits.values() for paths in splits.values() for path in paths}
        own |= {*self._promised(), manifest_path(self.config)}
        return [path for path in self.listing if path in own]

    def compare(self, against: Any, columns: Sequence[str] | None, deep: bool) -> None:
        """The repository and what it was made of."""
        comparison = Comparison(self.client, self.sha, self.listing, self._rows, self._columns, self.report)
        if comparison.own_files(against, self._promised()):
            if deep:
                self.every_byte()
            return
        config = self.config or self._default
        if config is None:
            known = ", ".join(self._splits)
            raise ValueError(f"{self.client.repo} has several configurations; choose one by config=: {known}")
        sent = self._manifests.get(manifest_path(config), {})
        comparison.splits(against, config, self._splits.get(config, {}), sent, columns, deep)

    def every_byte(self) -> None:
        """Reads every file over the network, and compares what came with what the tree says."""
        for path in self._files():
            there = self.listing[path]
            digest = hashlib.sha256() if there.sha256 else _git_hash(there.size)
            if self._digest_of(path, digest) not in (None, there.sha256 or there.blob_id):
                self.report.problems.append(f"{path} comes with other bytes than the tree says")

    def _digest_of(self, path: str, digest: Any) -> str | None:
        try:
            with self.client.remote_file(path, self.sha) as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except (RowmillError, OSError, ValueError) as error:
            self.report.problems.append(f"{path} cannot be read back: {brief(error)}")
            return None
        return str(digest.hexdigest())


def _git_hash(size: int) -> Any:
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
