"""What the suffixes of files say: the format that ``datasets`` would read a set of files as."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["FORMATS", "is_data_file", "keep_of_format", "most_common_format", "suffixes"]

# The table of datasets 5.2, by its names of formats; the test of layouts compares them.
_SUFFIXES = {
    "csv": "csv tsv",
    "json": "json jsonl ndjson",
    "parquet": "parquet geoparquet gpq",
    "arrow": "arrow",
    "text": "txt",
    "conll": "conll conllu",
    "webdataset": "tar",
    "xml": "xml",
    "hdf5": "hdf5 h5",
    "eval": "eval",
    "harbor": "toml md",
    "lance": "lance",
    "tsfile": "tsfile",
    "vortex": "vortex",
    "fasta": "fa fasta fna ffn faa frn afa",
    "genbank": "gb gbk genbank",
    "fastq": "fq fastq",
    "pdb": "pdb ent",
    "mmcif": "cif mmcif",
    "imagefolder": (
        "blp bmp dib bufr cur pcx dcx dds ps eps fit fits fli flc ftc ftu gbr gif grib png apng jp2 j2k jpc jpf jpx "
        "j2c icns ico im iim tif tiff jfif jpe jpg jpeg msp pcd pxr pbm pgm ppm pnm psd bw rgb rgba sgi ras tga icb "
        "vda vst webp wmf emf xbm xpm"
    ),
    "audiofolder": (
        "mpg aiff au avr caf flac htk svx mat4 mat5 mpc2k ogg paf pvf raw rf64 sd2 sds ircam voc w64 wav nist wavex "
        "wve xi mp3 opus 3gp 3g2 asf flv m4v webm f4v wmv wma ogm mxf nut"
    ),
    "videofolder": "mpeg avi mp4 mov mkv",
    "meshfolder": "glb gltf ply stl",
    "pdffolder": "pdf",
    "niftifolder": "nii",
}
FORMATS = tuple(_SUFFIXES)
# Formats whose suffixes may be written in capitals as well.
_OF_MEDIA = ("pdb", "imagefolder", "audiofolder", "videofolder", "meshfolder", "pdffolder", "niftifolder")
_MEDIA_NOTES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_NOTES = {
    **dict.fromkeys((*_OF_MEDIA, "mmcif"), _MEDIA_NOTES),
    "harbor": ("task.toml", "instruction.md"),
    "lance": ("latest_version_hint.json",),
}
_NOTE_SUFFIXES = {"lance": ("idx", "txn", "manifest")}
_FORMAT_OF = {suffix: name for name, listed in _SUFFIXES.items() for suffix in listed.split()}
_ALL_NOTES = {note for notes in _NOTES.values() for note in notes}
# What a draw between suffixes goes by, before the alphabet.
_FAVOURITES = ("parquet", "lance", "vortex", "arrow", "jsonl", "json", "csv")


def suffixes(path: str) -> list[str]:
    """All suffixes of a file's name, as they are written: "x.tar.gz" has tar and gz."""
    return posixpath.basename(path).split(".")[1:]


def _is_written_so(suffix: str) -> bool:
    lower = suffix.lower()
    return lower in _FORMAT_OF and (suffix == lower or (suffix == suffix.upper() and _FORMAT_OF[lower] in _OF_MEDIA))


def is_data_file(path: str) -> bool:
    """Whether a name promises data of any format."""
    return any(
        _is_written_so(suffix) or suffix == "zip" or suffix in _NOTE_SUFFIXES["lance"] for suffix in suffixes(path)
    )


def most_common_format(paths: Iterable[str]) -> str | None:
    """The format of the suffix that most files have; "zip" for archives, None where no suffix is known."""
    counted = Counter(
        (suffix.lower(), posixpath.basename(path) in _ALL_NOTES) for path in paths for suffix in suffixes(path)
    )

    def rank(item: tuple[tuple[str, bool], int]) -> tuple[object, ...]:
        (suffix, is_note), number = item
        return (not is_note, number, *(suffix == favourite for favourite in _FAVOURITES), f".{suffix}")

    for (suffix, _), _ in sorted(counted.items(), key=rank, reverse=True):
        if suffix in _FORMAT_OF or suffix == "zip":
            return _FORMAT_OF.get(suffix, suffix)
    return None


def keep_of_format(paths: Sequence[str], name: str) -> list[str]:
    """The files of a format, archives and its notes among them."""
    listed = _SUFFIXES.get(name, "").split()
    wanted = {
        *listed,
        *(suffix.upper() for suffix in listed if name in _OF_MEDIA),
        "zip",
        *_NOTE_SUFFIXES.get(name, ()),
    }
    # A suffix counts wherever a dot begins it, as in the names of `datasets`' own expression.
    return [
        path
        for path in paths
        if wanted.intersection(path.split(".")[1:]) or posixpath.basename(path) in _NOTES.get(name, ())
    ]
