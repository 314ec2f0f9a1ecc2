"""In from HF's ``datasets`` and out to it, to Arrow, polars and DuckDB.

- ``from_dataset``: a ``datasets.Dataset`` as one of ours
- ``placed``: in which files its rows lie; ``kept``: what lies in no file, written to the cache folder once
- ``exports``: the methods of a Dataset that hand it out
- ``reader``: as Arrow record batches; ``examples``: as a ``datasets.IterableDataset``
"""
