"""Lanes over files: of a data set of very many files nothing but names and sizes is known before a file's turn comes.

- ``source.py``: the files, as a dataset has them
- ``reader.py``: their rows, lane by lane
"""
