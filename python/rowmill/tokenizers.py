"""What a user calls a tokenizer, as one that the engine runs: a file, a folder, an object, a name, or "bytes"."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rowmill._rust import Tokenizer
from rowmill.exceptions import CorruptShardError, MissingShardError, SchemaMismatchError
from rowmill.hub_cache import find_in_hub_cache, is_repo_name

__all__ = ["ResolvedTokenizer", "resolve_tokenizer"]

_FILE = "tokenizer.json"

# Read in this order where they lie beside the tokenizer; each may name the special tokens.
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json")

# What is asked for where nothing names the token.
_WELL_KNOWN = {
    "eos": ("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>"),
    "bos": ("<s>", "<|begin_of_text|>", "<bos>"),
    "pad": ("<pad>", "[PAD]", "<|pad|>"),
}


@dataclass(frozen=True)
class _Found:
    """A tokenizer's file and what is said of its special tokens, by "eos", "bos" and "pad"."""

    origin: str
    content: bytes
    special: Mapping[str, str | int]


@dataclass(frozen=True, eq=False)
class ResolvedTokenizer:
    """A tokenizer that is ready to encode; it pickles with the content of its file.

    Attributes:
        name: Where it comes from, for messages.
        eos_id: The id that ends a document, or None where none is known.
        bos_id: The id that begins a document, or None where none is known.
        pad_id: The id that pads, or None where none is named.
        function: The user's own function from a text to its ids, where that is what was handed over: the slow way,
            which runs in Python; ``rust`` is None then, and nothing is known of its ids.
    """

    name: str
    rust: Tokenizer = field(repr=False)
    eos_id: int | None
    bos_id: int | None
    function: Callable[[str], Sequence[int]] | None = None
    pad_id: int | None = None
    _content: bytes | None = field(default=None, repr=False)
    _allow_special: bool = False

    @property
    def fingerprint(self) -> str:
        """What makes ids what they are: the file, the options, the engine and its versions."""
        return "function" if self.function is not None else self.rust.fingerprint

    @property
    def allows_special(self) -> bool:
        """Whether the spelling of a special token in a text is that token."""
        return self._allow_special

    @property
    def adds_eos(self) -> bool:
        """Whether the file's own post-processor already ends every text with ``eos_id``."""
        return self.eos_id is not None and self.function is None and self.rust.suffix[-1:] == [self.eos_id]

    @property
    def adds_bos(self) -> bool:
        """Whether the file's own post-processor already begins every text with ``bos_id``."""
        return self.bos_id is not None and self.function is None and self.rust.prefix[:1] == [self.bos_id]

    def required_eos(self) -> int:
        """The id that ends a document.

        Raises:
            ValueError: None is known.
        """
        return self._required("eos", self.eos_id, "append_eos=False")

    def required_bos(self) -> int:
        """The id that begins a document.

        Raises:
            ValueError: None is known.
        """
        return self._required("bos", self.bos_id, "prepend_bos=False")

    def required_pad(self) -> int:
        """The id that pads: the one that is named for it, else the end-of-text id.

        Masks and labels keep the two apart, as padding is 0 in the one and -100 in the others.

        Raises:
            ValueError: None is known.
        """
        id = self.eos_id if self.pad_id is None else self.pad_id
        if id is None:
            raise ValueError(
                f"{self.name}: nothing says which token pads, and no token that ends a text is known, which would do "
                "too; pass pad_token_id="
            )
        return id

    def describe(self) -> dict[str, Any]:
        """The tokenizer and its engine, as ``Dataset.describe`` tells it."""
        told: dict[str, Any] = {"tokenizer": self.name, "eos": self.eos_id, "bos": self.bos_id}
        if self.function is not None:
            return {**told, "engine": "python", "reason": "a Python function makes the ids, one text at a time"}
        engine = self.rust.engine
        version = f" ({engine['version']}, Unicode {engine['unicode']})" if engine["version"] else ""
        return {**told, "engine": f"{engine['name']}{version}", "reason": engine["reason"]}

    def _required(self, kind: str, id: int | None, without: str) -> int:
        if id is None:
            raise ValueError(
                f"{self.name}: nothing says which token is {kind.upper()}, and none of {', '.join(_WELL_KNOWN[kind])} "
                f"is in the vocabulary; name it with {kind}_token=, or pass {without}"
            )
        return id

    def __getstate__(self) -> dict[str, Any]:
        # The engine's tables stay behind. The engine is named, for the texts that decided on it are gone.
        engine = "auto" if self.function is not None else self.rust.engine["name"]
        return {**self.__dict__, "rust": engine}

    def __setstate__(self, state: dict[str, Any]) -> None:
        engine = state["rust"]
        self.__dict__.update(state)
        rust = Tokenizer.bytes() if self._content is None else self._reload(self._content, engine)
        self.__dict__["rust"] = None if self.function is not None else rust

    def _reload(self, content: bytes, engine: str) -> Tokenizer:
        return Tokenizer.from_json(
            content, origin=self.name, allow_special=self._allow_special, engine=engine, probes=()
        )


def resolve_tokenizer(
    tokenizer: Any,
    *,
    eos_token: str | int | None = None,
    bos_token: str | int | None = None,
    allow_special: bool = False,
    engine: str = "auto",
    probes: Sequence[str] = (),
) -> ResolvedTokenizer:
    """A tokenizer that is ready to encode.

    Args:
        tokenizer: Path of a ``tokenizer.json`` or of a folder with one; a ``tokenizers.Tokenizer``; a fast tokenizer
            of ``transformers``; the name of a repository in the Hub's cache on this machine; "bytes"; or a function
            from a text to its ids, which is slow.
        eos_token: Spelling or id of the token that ends a document; found beside the tokenizer where it is None.
        bos_token: The same for the one that begins a document.
        allow_special: Whether the spelling of a special token in a text is that token.
        engine: "auto"; "fast" and "reference" are for tests.
        probes: Texts of the data on which the engines must agree for the fast one to serve.

    Raises:
        MissingShardError: No file, folder or cached repository of that name.
        CorruptShardError: The file is no tokenizer, or one whose ids cannot be had.
        ValueError: The tokens that are named are not in the vocabulary.

    Example:
        >>> from rowmill.tokenizers import resolve_tokenizer
        >>> resolve_tokenizer("bytes").rust.encode("mill")
        [109, 105, 108, 108]
    """
    asked = {"eos": eos_token, "bos": bos_token}
    if isinstance(tokenizer, str) and tokenizer == "bytes":
        rust = Tokenizer.bytes()
        return ResolvedTokenizer("bytes", rust, *_special_ids(rust, asked, {"eos": "<|endoftext|>"}))
    found = _find(tokenizer)
    if found is None:
        return _from_function(tokenizer, eos_token, bos_token)
    rust = Tokenizer.from_json(
        found.content, origin=found.origin, allow_special=allow_special, engine=engine, probes=list(probes)
    )
    if (reason := rust.engine["reason"]) is not None:
        warnings.warn(
            f"{found.origin}: the slower engine tokenizes, some two megabytes a second and thread: {reason}",
            stacklevel=2,
        )
    eos, bos = _special_ids(rust, asked, found.special)
    pad = _special_id(rust, "pad", None, found.special.get("pad", rust.pad_token))
    return ResolvedTokenizer(
        found.origin, rust, eos, bos, pad_id=pad, _content=found.content, _allow_special=allow_special
    )


def _from_function(function: Any, eos: str | int | None, bos: str | int | None) -> ResolvedTokenizer:
    """The slow way: nothing is known of the ids."""
    if isinstance(eos, str) or isinstance(bos, str):
        raise ValueError("a function's vocabulary is not known: give eos_token= and bos_token= as ids")
    name = getattr(function, "__qualname__", type(function).__name__)
    return ResolvedTokenizer(name, None, eos, bos, function=function)  # type: ignore[arg-type]


def _find(tokenizer: Any) -> _Found | None:
    """The file behind what the user handed over; None for a function."""
    if isinstance(tokenizer, (str, os.PathLike)):
        return _find_file(os.fspath(tokenizer))
    special = {
        kind: token for kind in _WELL_KNOWN if isinstance(token := getattr(tokenizer, f"{kind}_token", None), str)
    }
    inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(inner, "to_str") and hasattr(inner, "get_vocab"):
        origin = getattr(tokenizer, "name_or_path", None) or f"{type(tokenizer).__module__}.{type(tokenizer).__name__}"
        return _Found(str(origin), inner.to_str().encode(), special)
    if getattr(tokenizer, "is_fast", None) is False:
        raise SchemaMismatchError(
            f"{type(tokenizer).__name__} is one of transformers' slow tokenizers, without a tokenizer.json: load it "
            "with use_fast=True, or pass a function from a text to its ids, such as its .encode"
        )
    if not callable(tokenizer):
        raise SchemaMismatchError(
            f"a tokenizer is a path, a name, a tokenizers.Tokenizer, a transformers tokenizer, "
            f'"bytes" or a function, not {type(tokenizer).__name__}'
        )
    return None


def _find_file(name: str | bytes) -> _Found:
    path = Path(os.fsdecode(name)).expanduser()
    if path.is_dir():
        if not (path / _FILE).is_file():
            raise MissingShardError(
                f"{path} has no {_FILE}; AutoTokenizer.from_pretrained({str(path)!r}).save_pretrained(FOLDER) of "
                "transformers writes one for most tokenizers",
                str(path),
            )
        path = path / _FILE
    if not path.is_file():
        if not is_repo_name(str(name)):
            raise MissingShardError(f"no tokenizer at {path}: no such file or folder", str(path))
        path = find_in_hub_cache(str(name), _FILE)
    return _Found(str(path), path.read_bytes(), _special_beside(path))


def _special_beside(path: Path) -> dict[str, str | int]:
    """What the files beside a tokenizer say of its special tokens; the first that says it counts."""
    special: dict[str, str | int] = {}
    for name in _SETTINGS:
        settings = _read_object(path.with_name(name))
        for kind in _WELL_KNOWN:
            if (token := _token_in(settings, kind)) is not None:
                special.setdefault(kind, token)
    return special


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        settings = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptShardError(f"{path} is damaged: it is no JSON ({error})", str(path)) from error
    return settings if isinstance(settings, dict) else {}


def _token_in(settings: Mapping[str, Any], kind: str) -> str | int | None:
    """A token as these files spell it: a string, a token with its flags, or ids."""
    token = settings.get(f"{kind}_token")
    token = token.get("content") if isinstance(token, dict) else token
    if isinstance(token, str):
        return token
    ids = settings.get(f"{kind}_token_id")
    ids = ids[0] if isinstance(ids, list) and ids else ids
    return ids if isinstance(ids, int) and not isinstance(ids, bool) else None


def _special_ids(
    rust: Tokenizer, asked: Mapping[str, str | int | None], special: Mapping[str, str | int]
) -> tuple[int | None, int | None]:
    """The ids that end and begin a document: as asked for, as the files beside say, or by a well-known name."""
    eos, bos = (_special_id(rust, kind, asked[kind], special.get(kind)) for kind in ("eos", "bos"))
    return eos, bos


def _special_id(rust: Tokenizer, kind: str, asked: str | int | None, named: str | int | None) -> int | None:
    if asked is not None:
        if (id := _known(rust, asked)) is None:
            raise ValueError(f"{rust.origin}: {kind}_token={asked!r} is not in its vocabulary of {rust.vocab_size} ids")
        return id
    ids = (_known(rust, token) for token in (named, *_WELL_KNOWN[kind]) if token is not None)
    return next((id for id in ids if id is not None), None)


def _known(rust: Tokenizer, token: str | int) -> int | None:
    if isinstance(token, str):
        return rust.token_to_id(token)
    return int(token) if 0 <= token < rust.vocab_size else None
