"""What a chain of stages makes, written once and read from then on.

- ``functions.py``: what a Python function does, as a digest of its code and of all that it refers to
- ``key.py``: what decides on the rows of a chain, as the name of the folder that they are kept in
- ``build.py``: the writing: once on a machine, whole or resumable, within a budget
- ``dataset.py``: ``Dataset.cache``
"""
