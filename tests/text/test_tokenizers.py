"""What a user may call a tokenizer, and the tokens that end and begin its documents."""

from __future__ import annotations

import importlib.resources
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest

from rowmill.exceptions import CorruptShardError, MissingShardError, OfflineError, SchemaMismatchError
from rowmill.tokenizers import ResolvedTokenizer, resolve_tokenizer

SHIPPED = Path(str(importlib.resources.files("rowmill") / "data" / "tokenizer.json"))
TEXT = "Grind the rows, 12 at a time.\n\tDon't stop. \U00016ea0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_bytes(SHIPPED.read_bytes())
    return tmp_path


def edited(folder: Path, **changes: Any) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def template(single: list[dict[str, Any]]) -> dict[str, Any]:
    token = {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
    sequence = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    return {"type": "TemplateProcessing", "single": single, "pair": sequence, "special_tokens": {token["id"]: token}}


TOKEN = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
SEQUENCE = {"Sequence": {"id": "A", "type_id": 0}}


def test_a_file_a_folder_and_a_name_in_the_hub_s_cache_are_the_same_tokenizer(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub" / "models--mill--small" / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_bytes(SHIPPED.read_bytes())
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("0123abcd")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    found = [resolve_tokenizer(name) for name in (SHIPPED, str(SHIPPED), folder, "mill/small")]
    assert len({tokenizer.fingerprint for tokenizer in found}) == 1
    assert found[3].name.endswith("tokenizer.json")
    assert len({tuple(tokenizer.rust.encode(TEXT)) for tokenizer in found}) == 1


def test_a_name_that_is_not_in_the_cache_names_the_command_that_downloads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OfflineError, match="hf download mill/absent --include"):
        resolve_tokenizer("mill/absent")


@pytest.mark.parametrize("name", ["../mill", "mill/../../x", "a/b/c", ".hidden", "no such.json", "mill/--x"])
def test_what_is_no_name_of_a_repository_is_a_missing_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingShardError, match="no such file or folder"):
        resolve_tokenizer(name)


def test_a_folder_without_the_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingShardError, match="save_pretrained"):
        resolve_tokenizer(tmp_path)


def test_objects_are_read_through_their_json() -> None:
    tokenizers = pytest.importorskip("tokenizers", minversion="0.23")
    plain = tokenizers.Tokenizer.from_file(str(SHIPPED))
    plain.enable_truncation(3)
    plain.enable_padding(length=64)

    class Wrapped:
        """What a fast tokenizer of transformers looks like."""

        backend_tokenizer = plain
        name_or_path = "mill/wrapped"
        eos_token = "!"
        bos_token = None

        def __call__(self, text: str) -> list[int]:
            raise AssertionError("the slow way")

    expected = resolve_tokenizer(SHIPPED)
    assert resolve_tokenizer(plain).fingerprint == expected.fingerprint
    wrapped = resolve_tokenizer(Wrapped())
    assert (wrapped.fingerprint, wrapped.name) == (expected.fingerprint, "mill/wrapped")
    assert wrapped.eos_id == wrapped.rust.token_to_id("!") != expected.eos_id


def test_slow_tokenizers_and_nonsense_are_refused() -> None:
    class Slow:
        is_fast = False

        def __call__(self, text: str) -> list[int]:
            return []

    with pytest.raises(SchemaMismatchError, match="use_fast=True"):
        resolve_tokenizer(Slow())
    with pytest.raises(SchemaMismatchError, match="not int"):
        resolve_tokenizer(7)


def test_a_function_is_the_slow_way_with_ids_that_only_the_caller_knows() -> None:
    resolved = resolve_tokenizer(len, eos_token=3)
    assert (resolved.function, resolved.rust, resolved.required_eos()) == (len, None, 3)
    assert not resolved.adds_eos
    assert "Python function" in resolved.describe()["reason"]
    with pytest.raises(ValueError, match="as ids"):
        resolve_tokenizer(len, eos_token="</s>")


def test_the_bytes_need_no_file() -> None:
    resolved = resolve_tokenizer("bytes")
    assert resolved.rust.encode("aß") == [97, 195, 159]
    assert (resolved.required_eos(), resolved.rust.vocab_size, resolved.bos_id) == (256, 257, None)
    assert pickle.loads(pickle.dumps(resolved)).fingerprint == resolved.fingerprint


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("tokenizer_config.json", {"eos_token": "!"}, "!"),
        ("tokenizer_config.json", {"eos_token": {"content": "!", "lstrip": False}}, "!"),
        ("special_tokens_map.json", {"eos_token": "!"}, "!"),
        ("generation_config.json", {"eos_token_id": [5, 6]}, 5),
        ("generation_config.json", {"eos_token_id": 5}, 5),
        ("tokenizer_config.json", {"eos_token": None}, "<|endoftext|>"),
        ("tokenizer_config.json", {"eos_token": "not in the vocabulary"}, "<|endoftext|>"),
        ("tokenizer_config.json", [], "<|endoftext|>"),
    ],
)
def test_the_end_of_documents_is_found_beside_the_file(folder: Path, file: str, content: Any, expected: Any) -> None:
    (folder / file).write_text(json.dumps(content))
    resolved = resolve_tokenizer(folder)
    assert resolved.eos_id == (expected if isinstance(expected, int) else resolved.rust.token_to_id(expected))


def test_an_argument_counts_more_than_files_and_must_be_known(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"eos_token": "!", "bos_token": "#"}')
    resolved = resolve_tokenizer(folder, eos_token=7)
    assert (resolved.eos_id, resolved.bos_id) == (7, resolved.rust.token_to_id("#"))
    for unknown in ("<absent>", 4096, -1):
        with pytest.raises(ValueError, match="not in its vocabulary of 4096 ids"):
            resolve_tokenizer(folder, eos_token=unknown)


def test_damaged_settings_are_named(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(CorruptShardError, match=r"tokenizer_config\.json is damaged"):
        resolve_tokenizer(folder)


def test_an_unknown_end_is_asked_for() -> None:
    resolved = resolve_tokenizer(SHIPPED)
    with pytest.raises(ValueError, match="name it with bos_token="):
        resolved.required_bos()


def test_what_the_post_processor_adds_is_known(folder: Path) -> None:
    resolved = resolve_tokenizer(folder)
    assert (resolved.adds_eos, resolved.adds_bos) == (False, False)
    ended = resolve_tokenizer(edited(folder, post_processor=template([SEQUENCE, TOKEN])))
    assert (ended.adds_eos, ended.adds_bos) == (True, False)
    assert ended.rust.encode("x") == [*resolved.rust.encode("x"), 0]
    both = resolve_tokenizer(edited(folder, post_processor=template([TOKEN, SEQUENCE, TOKEN])), bos_token=0)
    assert (both.adds_eos, both.adds_bos) == (True, True)
    assert both.rust.encode("x") == [0, *resolved.rust.encode("x"), 0]


def test_the_slower_engine_is_told_of_once_with_the_reason(folder: Path) -> None:
    pre_tokenizer = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    with pytest.warns(UserWarning, match="add_prefix_space"):
        slow = resolve_tokenizer(edited(folder, pre_tokenizer=pre_tokenizer))
    assert slow.describe()["engine"].startswith("reference")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again: ResolvedTokenizer = pickle.loads(pickle.dumps(slow))
    assert again.fingerprint == slow.fingerprint
    assert again.rust.encode(TEXT) == slow.rust.encode(TEXT)


def test_a_tokenizer_that_is_kept_is_that_of_the_file_and_the_options_as_they_are_now(folder: Path) -> None:
    before = (folder / "tokenizer.json").read_bytes()
    first = resolve_tokenizer(folder)
    special = resolve_tokenizer(folder, allow_special=True)
    assert special.rust.encode("a<|endoftext|>")[-1] == 0 != first.rust.encode("a<|endoftext|>")[-1]
    changed = resolve_tokenizer(edited(folder, normalizer={"type": "Lowercase"}))
    assert changed.rust.encode("MILL") == first.rust.encode("mill") != first.rust.encode("MILL")
    (folder / "tokenizer.json").write_bytes(before)
    for _ in range(2):
        again = resolve_tokenizer(folder, probes=[TEXT])
        assert (again.fingerprint, again.rust.origin) == (first.fingerprint, first.rust.origin)
        assert again.rust.encode("MILL") == first.rust.encode("MILL")


def test_a_file_that_pads_names_its_token(folder: Path) -> None:
    padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 5}
    padding |= {"pad_type_id": 0, "pad_token": "<|endoftext|>"}
    assert resolve_tokenizer(folder).pad_id is None
    assert resolve_tokenizer(edited(folder, padding=padding)).pad_id == 0


def test_a_tokenizer_survives_a_pickle() -> None:
    resolved = resolve_tokenizer(SHIPPED, allow_special=True)
    again = pickle.loads(pickle.dumps(resolved))
    assert (again.fingerprint, again.eos_id) == (resolved.fingerprint, resolved.eos_id)
    assert again.rust.encode("a<|endoftext|>") == resolved.rust.encode("a<|endoftext|>")


def test_nothing_is_printed_by_an_engine(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Tables of 6 and of 10 keys are those that the fast engine reports on most often.
    for count in (6, 7, 9, 10, 11, 20, 30, 50):
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        added = [{"id": 4096 + at, "content": f"<mill {count} {at}>", **flags} for at in range(count)]
        resolved = resolve_tokenizer(edited(folder, added_tokens=added))
        assert resolved.rust.engine["name"] == "fast"
        assert resolved.rust.encode(f"x<mill {count} 0>")[-1] == 4096
    assert capfd.readouterr() == ("", "")
