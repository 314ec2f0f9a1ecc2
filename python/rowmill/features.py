"""HF's features, which ``datasets`` keeps as JSON in a schema's metadata."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["features_of"]


def features_of(schema: pa.Schema) -> Any:
    """The features in ``schema``'s metadata: ``datasets.Features``, a plain dict without ``datasets``, or None."""
    metadata = schema.metadata or {}
    if b"huggingface" not in metadata:
        return None
    try:
        stored = json.loads(metadata[b"huggingface"])["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return None
    wanted = {name: stored[name] for name in schema.names if name in stored}
    if importlib.util.find_spec("datasets") is None:
        return wanted
    from datasets import Features

    return Features.from_dict(wanted)
