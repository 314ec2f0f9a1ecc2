"""The stages of a dataset's chain, one a file; each is an immutable description and one pure function."""

from rowmill.stages.batch import Batch
from rowmill.stages.cached import Cached
from rowmill.stages.clip import Clip
from rowmill.stages.columns import Rename, Select
from rowmill.stages.filter import Filter
from rowmill.stages.identity import describe_function
from rowmill.stages.map import Map
from rowmill.stages.of_sources import OfSources
from rowmill.stages.pack import Pack
from rowmill.stages.pad import Pad
from rowmill.stages.tokenize import Tokenize

__all__ = [
    "Batch",
    "Cached",
    "Clip",
    "Filter",
    "Map",
    "OfSources",
    "Pack",
    "Pad",
    "Rename",
    "Select",
    "Stage",
    "Tokenize",
    "describe_function",
]

Stage = Batch | Cached | Clip | Filter | Map | OfSources | Pack | Pad | Rename | Select | Tokenize
