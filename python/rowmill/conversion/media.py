"""What images and audio are, by their first bytes."""

from __future__ import annotations

__all__ = ["EXTENSIONS", "extension_of"]

_MAGIC = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"\xff\xfb": "mp3",
    b"\xff\xf3": "mp3",
}
_RIFF = {b"WEBP": "webp", b"WAVE": "wav"}
_UNKNOWN = "media"
EXTENSIONS = frozenset([*_MAGIC.values(), *_RIFF.values(), "mp4", _UNKNOWN])


def extension_of(content: bytes) -> str:
    """The extension of an image or audio file with this content; "media" where nobody knows."""
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12], _UNKNOWN)
    if content[4:8] == b"ftyp":
        return "mp4"
    return next((extension for magic, extension in _MAGIC.items() if content.startswith(magic)), _UNKNOWN)
