"""A tokenizer by its name: from the Hub's cache on this machine, else from the Hub."""

from __future__ import annotations

from pathlib import Path

from rowmill.exceptions import DatasetNotFoundError, MissingShardError, OfflineError
from rowmill.hub.repository import open_repository
from rowmill.hub.settings import find_settings
from rowmill.hub_cache import cached_repos, find_in_hub_cache, is_repo_name

__all__ = ["cached_tokenizer", "fetch_tokenizer", "find_tokenizer"]

_FILE = "tokenizer.json"
_FILES = [_FILE, "tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json"]
# Repositories that were renamed; caches hold either.
_RENAMED = {
    "gpt2": "openai-community/gpt2",
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "roberta-base": "FacebookAI/roberta-base",
}


def fetch_tokenizer(name: str) -> Path:
    """The path of a repository's tokenizer.json, downloaded where the cache does not have it.

    Raises:
        OfflineError: It is neither cached nor to be had; the text says which tokenizers are cached.
        ImportError: ``huggingface_hub``, which downloads it, is not installed.
        MissingShardError: There is no such repository, or none with a tokenizer.json.
    """
    return cached_tokenizer(name) or _fetch(_RENAMED.get(name, name), name)


def cached_tokenizer(name: str) -> Path | None:
    """The same where the cache has it, under its old name or its new one; asks nobody."""
    for known in dict.fromkeys([name, _RENAMED.get(name, name)]):
        try:
            return find_in_hub_cache(known, _FILE)
        except OfflineError:
            continue
    return None


def find_tokenizer(name: str) -> str | Path:
    """What ``.tokenize`` takes for a name, a path or "bytes": the cache's file where it has one; asks nobody."""
    is_name = is_repo_name(name) and name != "bytes" and not Path(name).exists()
    return (cached_tokenizer(name) if is_name else None) or name


def _fetch(repo: str, name: str) -> Path:
    settings = find_settings()
    if settings.is_offline:
        raise OfflineError(f"the network is switched off. {_advice(name)}", name)
    try:
        repository = open_repository(repo, None, settings, kind="model")
        if _FILE not in repository.listing:
            raise MissingShardError(f"the repository {repo} has no {_FILE}; choose another tokenizer", name)
        return Path(repository.fetch([path for path in _FILES if path in repository.listing])[0])
    except DatasetNotFoundError:
        raise MissingShardError(
            f"there is no repository {repo} on the Hub, or none that you may read. Choose another tokenizer: a name, "
            'the path of a tokenizer.json, or "bytes", which needs no file',
            name,
        ) from None
    except OfflineError as error:
        raise OfflineError(f"{error.message}. {_advice(name)}", name) from error
    except ImportError:
        raise ImportError(
            f"the tokenizer {name!r} is not cached on this machine, and downloading it needs huggingface_hub: "
            "pip install 'rowmill[hub]'"
        ) from None


def _advice(name: str) -> str:
    cached = cached_repos("models", _FILE)
    known = f"cached here: {', '.join(cached)}" if cached else "no tokenizer is cached here"
    return (
        f"The tokenizer {name!r} is not in the Hub's cache ({known}); where there is a network, this downloads it: "
        f"hf download {name} --include '*token*.json'. The path of a tokenizer.json does as well, and \"bytes\" needs "
        "no file"
    )
