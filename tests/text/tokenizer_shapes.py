"""Tokenizer files in the shapes of well-known models, trained small on the package's own sample."""

from __future__ import annotations

import gzip
import importlib.resources
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

VOCAB_SIZE = 1500

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
_DEEPSEEK_WORDS = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
    r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
# The file itself holds a carriage return and a line feed where these patterns have their escapes.
DEEPSEEK = (r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", _DEEPSEEK_WORDS)
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"


@cache
def sample() -> tuple[str, ...]:
    """Texts to train on."""
    path = importlib.resources.files("rowmill") / "data" / "rust-book.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return tuple(json.loads(line)["text"] for line in lines[:12])


def isolated(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def bytes_only() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def framed(single: str, *specials: tuple[str, int]) -> Any:
    return processors.TemplateProcessing(single=single, pair=f"{single} $B:1", special_tokens=list(specials))


def byte_level(pre_tokenizer: Any, specials: list[str], **model: Any) -> Tokenizer:
    """A byte-level BPE; special tokens have the last ids, as most models have them."""
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(sample(), trainer)
    tokenizer.add_special_tokens(specials)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def gpt2() -> Tokenizer:
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def roberta() -> Tokenizer:
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<s>", "</s>", "<pad>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    ids = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ids)
    return tokenizer


def gpt2_prefixed() -> Tokenizer:
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), ["<|endoftext|>"])


def llama3() -> Tokenizer:
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", *(f"<|reserved_{n}|>" for n in range(60))]
    parts = pre_tokenizers.Sequence([isolated(LLAMA3), bytes_only()])
    tokenizer = byte_level(parts, specials, ignore_merges=True)
    bos = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), framed("<|begin_of_text|> $A", bos)]
    )
    return tokenizer


def qwen2() -> Tokenizer:
    parts = pre_tokenizers.Sequence([isolated(QWEN2), bytes_only()])
    tokenizer = byte_level(parts, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.normalizer = normalizers.NFC()
    names = ("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|repo_name|>", "<think>", "</think>", "<|file_sep|>")
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def o200k() -> Tokenizer:
    parts = pre_tokenizers.Sequence([isolated(O200K), bytes_only()])
    return byte_level(parts, ["<|endoftext|>", "<|endofprompt|>"])


def deepseek_v3() -> Tokenizer:
    patterns = (pattern.replace(r"\r", "\r").replace(r"\n", "\n") for pattern in DEEPSEEK)
    parts = pre_tokenizers.Sequence([*map(isolated, patterns), bytes_only()])
    bos = "<\uff5cbegin\u2581of\u2581sentence\uff5c>"
    tokenizer = byte_level(parts, [bos, "<\uff5cend\u2581of\u2581sentence\uff5c>"])
    tokenizer.normalizer = normalizers.Sequence([])
    tokenizer.add_tokens([AddedToken("<\uff5cUser\uff5c>", normalized=False), AddedToken("<think>", normalized=False)])
    tokenizer.post_processor = framed(f"{bos} $A", (bos, tokenizer.token_to_id(bos)))
    return tokenizer


def neox() -> Tokenizer:
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>", "<|padding|>"])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken(" " * length, normalized=True) for length in range(24, 1, -1)])
    return tokenizer


def starcoder() -> Tokenizer:
    digits = pre_tokenizers.Digits(individual_digits=True)
    parts = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return byte_level(parts, ["<|endoftext|>", "<fim_prefix>", "<filename>", "<gh_stars>"])


def bloom() -> Tokenizer:
    parts = pre_tokenizers.Sequence([isolated(BLOOM), bytes_only()])
    return byte_level(parts, ["<unk>", "<s>", "</s>", "<pad>"])


def falcon() -> Tokenizer:
    parts = [
        pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False),
        isolated("[0-9][0-9][0-9]"),
    ]
    return byte_level(pre_tokenizers.Sequence(parts), [">>TITLE<<", ">>ABSTRACT<<", "<|endoftext|>"])


def sentencepiece_bpe(added: list[str]) -> dict[str, Any]:
    """A BPE over characters with a fallback to bytes, as JSON without normaliser and pre-tokeniser."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<unk>", "<s>", "</s>", *added]
    byte_names = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, special_tokens=[*specials, *byte_names], show_progress=False)
    tokenizer.train_from_iterator(sample(), trainer)
    root: dict[str, Any] = json.loads(tokenizer.to_str())
    root["added_tokens"] = [token for token in root["added_tokens"] if token["content"] in specials]
    root["pre_tokenizer"] = None
    return root


def llama2() -> Tokenizer:
    root = sentencepiece_bpe([])
    tokenizer = Tokenizer.from_str(json.dumps(root))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.post_processor = framed("<s> $A", ("<s>", 1))
    return tokenizer


def mistral() -> Tokenizer:
    tokenizer = Tokenizer.from_str(json.dumps(sentencepiece_bpe([])))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.post_processor = framed("<s> $A", ("<s>", 1))
    return tokenizer


def gemma() -> Tokenizer:
    root = sentencepiece_bpe(["<bos>", "<eos>", *(f"<unused{n}>" for n in range(50)), "\n\n", "▁▁", "▁▁▁"])
    for token in root["added_tokens"]:
        token["special"] = token["content"] in ("<unk>", "<s>", "</s>", "<bos>", "<eos>")
    tokenizer = Tokenizer.from_str(json.dumps(root))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = framed("<bos> $A", ("<bos>", tokenizer.token_to_id("<bos>")))
    return tokenizer


def bert() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=VOCAB_SIZE, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(sample(), trainer)
    tokenizer.post_processor = framed("[CLS] $A [SEP]", ("[CLS]", 2), ("[SEP]", 3))
    return tokenizer


def t5() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(sample(), trainer)
    tokenizer.post_processor = framed("$A </s>", ("</s>", 1))
    return tokenizer


SHAPES: dict[str, Callable[[], Tokenizer]] = {
    shape.__name__: cache(shape)
    for shape in (
        gpt2,
        roberta,
        gpt2_prefixed,
        llama3,
        qwen2,
        o200k,
        deepseek_v3,
        neox,
        starcoder,
        bloom,
        falcon,
        llama2,
        mistral,
        gemma,
        bert,
        t5,
    )
}
