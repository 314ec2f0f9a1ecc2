"""In from HF's ``datasets`` and out to it, to Arrow, polars and DuckDB.

- ``from_dataset``: a ``datasets.Dataset`` as one of ours
- ``placed``: in which files its rows lie; ``kept``: what lies in no file, written to the cache folder once
- ``transform``: what its ``with_transform`` was given
- ``exports``: the methods of a Dataset that hand it out
- ``reader``: as Arrow record batches; ``examples`` and ``tables``: as a ``datasets.IterableDataset``
"""
