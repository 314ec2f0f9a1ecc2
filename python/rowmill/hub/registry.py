"""The data sets of a project: a table in ``rowmill.toml`` that pins each to a commit, and the same table in its README.

The convention is a folder for each data set (``data/<name>/``) and one for what training writes (``outputs/``), both
left to git's ignorance: what is in git is the table, from which anybody gets the same bytes.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from rowmill.exceptions import CorruptShardError, DatasetNotFoundError, RowmillError
from rowmill.folders import cache_folder
from rowmill.hub.records import lock_of
from rowmill.hub_cache import is_repo_name

__all__ = ["Entry", "Registry", "count_rows", "open_registry"]

_FILE, _README, _IGNORE = "rowmill.toml", "README.md", ".gitignore"
_BEGIN, _END = "<!-- rowmill registry: begin -->", "<!-- rowmill registry: end -->"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA = re.compile(r"[0-9a-f]{40}")
_IGNORED = ("data/", "outputs/")


@dataclass(frozen=True)
class Entry:
    """One data set of a project.

    Attributes:
        name: What the project calls it.
        folder: Where its files are, from the project's folder.
        repo: The repository on the Hub; None for one that is not there.
        sha: The commit that is meant.
        config: The configuration.
        split: The split.
        rows: How many rows it has; None where nobody has counted.
        use: What it is for.
    """

    name: str
    folder: str
    repo: str | None = None
    sha: str | None = None
    config: str | None = None
    split: str | None = None
    rows: int | None = None
    use: str | None = None


@dataclass
class Registry:
    """The table of the project in ``folder``."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file that holds the table."""
        return self.folder / _FILE

    def add(self, entry: Entry, *, replace: bool = False) -> None:
        """Adds a data set, and writes the table.

        Raises:
            ValueError: The name is taken (unless ``replace``), or a part of the entry is no good.
        """
        _check(entry)
        with self._alone():
            if entry.name in self.entries and not replace:
                raise ValueError(f"{self.path} has a data set {entry.name} already; remove it, or say --replace")
            self.entries[entry.name] = entry
            self.save()

    def remove(self, name: str) -> Entry:
        """Takes a data set out of the table; its files stay where they are.

        Raises:
            DatasetNotFoundError: There is none of that name.
        """
        with self._alone():
            if name not in self.entries:
                known = ", ".join(self.entries) or "none"
                raise DatasetNotFoundError(f"{self.path} has no data set {name!r}; it has {known}", name)
            gone = self.entries.pop(name)
            self.save()
        return gone

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes the table meanwhile; it is read anew, for somebody may have since."""
        with lock_of(cache_folder() / "hub" / "locks", "registry", str(self.path.resolve())):
            self.entries = open_registry(self.folder).entries
            yield

    def save(self) -> None:
        """Writes the table, with everything else in the file as it was, and the README's where it has the markers."""
        toml = _tomlkit()
        text = _text(self.path)
        document = toml.document() if text is None else toml.parse(text)
        table = document.setdefault("datasets", toml.table(is_super_table=True))
        for name in [name for name in table if name not in self.entries]:
            del table[name]
        for entry in self.entries.values():
            values = {name: value for name, value in asdict(entry).items() if name != "name" and value is not None}
            written = table.setdefault(entry.name, toml.table())
            for name in [name for name in written if name not in values]:
                del written[name]
            for name, value in values.items():
                if written.get(name) != value:
                    written[name] = value
        _write(self.path, toml.dumps(document))
        self._write_readme()

    def table(self) -> str:
        """The table in Markdown."""
        head = ["| data set | repository | commit | folder | rows | use |", "|---|---|---|---|---|---|"]
        return "\n".join([*head, *(_line(entry) for entry in self.entries.values())])

    def init(self) -> list[str]:
        """Makes the folder a project: its files, folders and README's table.

        Returns:
            What was made or changed; nothing of what was there is lost, and a second call changes nothing.
        """
        before = {name: _text(self.folder / name) for name in (_FILE, _README, _IGNORE)}
        folders = [name for name in ("data", "outputs") if not (self.folder / name).is_dir()]
        for name in folders:
            (self.folder / name).mkdir(parents=True)
        ignored = before[_IGNORE] or ""
        missing = [
            line for line in _IGNORED if line not in {known.strip().lstrip("/") for known in ignored.splitlines()}
        ]
        if missing:
            _write(self.folder / _IGNORE, _with_lines(ignored, missing))
        readme = before[_README]
        if readme is None or _BEGIN not in readme:
            lines = [] if readme else [f"# {self.folder.resolve().name}"]
            _write(self.folder / _README, _with_lines(readme or "", [*lines, "", "## Data", "", _BEGIN, _END]))
        with self._alone():
            self.save()
        changed = [name for name, text in before.items() if _text(self.folder / name) != text]
        return sorted([*changed, *(f"{name}/" for name in folders)])

    def check(self) -> list[str]:
        """What is not as the table says: commits that are not pinned, folders and rows that differ, an old README."""
        problems = [problem for entry in self.entries.values() for problem in self._problems(entry)]
        readme = _text(self.folder / _README)
        if readme is not None and _BEGIN in readme and self._rendered(readme) != readme:
            problems.append(
                f"{_README}: its table is not that of {_FILE}; `rowmill registry add` or `init` writes it anew"
            )
        return problems

    def _problems(self, entry: Entry) -> list[str]:
        try:
            _check(entry)
        except ValueError as error:
            return [str(error)]
        found = []
        if entry.repo is not None and entry.sha is None:
            found.append(f"{entry.name}: {entry.repo} is not pinned to a commit; give its --sha")
        folder = self.folder / entry.folder
        if not folder.is_dir() or not any(folder.iterdir()):
            fetch = f"; this fetches it: {_command(entry)}" if entry.repo else ""
            return [*found, f"{entry.name}: there is nothing in {entry.folder}{fetch}"]
        if entry.rows is not None:
            found += self._compare_rows(entry, folder)
        return found

    def _compare_rows(self, entry: Entry, folder: Path) -> list[str]:
        try:
            num_rows = count_rows(folder, entry)
        except (RowmillError, OSError, ValueError) as error:
            return [f"{entry.name}: {error}"]
        return [] if num_rows == entry.rows else [f"{entry.name}: {num_rows:,} rows, and not {entry.rows:,}"]

    def _write_readme(self) -> None:
        readme = _text(self.folder / _README)
        if readme is not None and _BEGIN in readme and (made := self._rendered(readme)) != readme:
            _write(self.folder / _README, made)

    def _rendered(self, readme: str) -> str:
        before, _, rest = readme.partition(_BEGIN)
        _, end, after = rest.partition(_END)
        if not end:
            raise CorruptShardError(
                f"{self.folder / _README} has {_BEGIN} and not {_END} behind it; write that where the table ends",
                str(self.folder / _README),
            )
        return f"{before}{_BEGIN}\n{self.table()}\n{_END}{after}"


def open_registry(folder: str | os.PathLike[str] = ".") -> Registry:
    """The table of a project; an empty one where it has no ``rowmill.toml``.

    Raises:
        CorruptShardError: The file cannot be read as such a table.
    """
    place = Path(folder)
    path, text = place / _FILE, _text(place / _FILE)
    if text is None:
        return Registry(place)
    try:
        datasets = tomllib.loads(text).get("datasets", {})
    except tomllib.TOMLDecodeError as error:
        raise CorruptShardError(f"{path} is no TOML: {error}", str(path)) from None
    if not isinstance(datasets, dict):
        raise CorruptShardError(f"{path}: datasets must be tables, as in [datasets.web]", str(path))
    return Registry(place, {name: _entry(name, values, path) for name, values in datasets.items()})


def count_rows(folder: Path, entry: Entry) -> int:
    """Rows of an entry's split in a folder; "train" where none is named."""
    from rowmill.hub.load import load_dataset

    split = entry.split or "train"
    try:
        return load_dataset(folder.absolute(), entry.config, split=split).num_rows
    except DatasetNotFoundError:
        # Files without the README that tells of configurations.
        return load_dataset(folder.absolute(), split=split).num_rows


def _entry(name: str, values: Any, path: Path) -> Entry:
    known = {one.name for one in fields(Entry)} - {"name"}
    if not isinstance(values, Mapping):
        raise CorruptShardError(f"{path}: {name} must be a table, as in [datasets.{name}]", str(path))
    if unknown := sorted(set(values) - known):
        raise CorruptShardError(
            f"{path}: {name} has {', '.join(unknown)}, which nobody knows; there are {', '.join(sorted(known))}",
            str(path),
        )
    for key, value in values.items():
        if not isinstance(value, int if key == "rows" else str) or isinstance(value, bool):
            raise CorruptShardError(f"{path}: {name}.{key} is {value!r}, which it cannot be", str(path))
    return Entry(name, **{"folder": f"data/{name}", **values})


def _check(entry: Entry) -> None:
    """Raises ValueError for what no entry can have; none leads out of the project's folder."""
    parts = PurePosixPath(entry.folder.replace("\\", "/"))
    is_inside = not parts.is_absolute() and ".." not in parts.parts and not re.match(r"[A-Za-z]:", entry.folder)
    checks = {
        "name": _NAME.fullmatch(entry.name) is not None,
        "folder": is_inside and bool(parts.parts),
        "repo": entry.repo is None or is_repo_name(entry.repo),
        "sha": entry.sha is None or _SHA.fullmatch(entry.sha) is not None,
        "rows": entry.rows is None or entry.rows >= 0,
    }
    wanted = {
        "name": "letters, digits, _ . and -",
        "folder": "a folder inside the project",
        "repo": "owner/name",
        "sha": "the 40 hex digits of a commit",
        "rows": "a count",
    }
    for part, is_good in checks.items():
        if not is_good:
            raise ValueError(f"{entry.name}: {part} is {getattr(entry, part)!r}, and must be {wanted[part]}")


def _line(entry: Entry) -> str:
    cells = (
        entry.name + (f" ({entry.split})" if entry.split else ""),
        (entry.repo or "-") + (f", {entry.config}" if entry.config else ""),
        entry.sha[:12] if entry.sha else "-",
        f"`{entry.folder}`",
        "-" if entry.rows is None else f"{entry.rows:,}",
        entry.use or "-",
    )
    return "| " + " | ".join(" ".join(cell.replace("|", r"\|").split()) for cell in cells) + " |"


def _command(entry: Entry) -> str:
    """What brings a data set to where the table says."""
    options = [("--name", entry.config), ("--split", entry.split), ("--revision", entry.sha), ("--to", entry.folder)]
    given = "".join(f" {option} {shlex.quote(value)}" for option, value in options if value)
    return f"rowmill download {entry.repo}{given}"


def _with_lines(text: str, lines: list[str]) -> str:
    made = text if not text or text.endswith("\n") else text + "\n"
    return made + "\n".join(lines) + "\n"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise CorruptShardError(
            f"{path} is no text in UTF-8 (byte {error.start:,} is not); write it anew, in UTF-8", str(path)
        ) from None


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _tomlkit() -> Any:
    try:
        import tomlkit
    except ImportError:
        raise ImportError("writing rowmill.toml needs tomlkit: pip install 'rowmill[hub]'") from None
    return tomlkit
