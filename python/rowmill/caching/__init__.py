"""What a chain of stages makes, written once and read from then on.

- ``functions.py``: what a Python function does, as a digest of its code and of all that it refers to
- ``key.py``: what decides on the rows of a chain, as the name of the folder that they are kept in
- ``build.py``: the writing: once on a machine, whole or resumable, within a budget
- ``in_blocks.py``: the same in the blocks of the source, whose order is then an order of the cache
- ``background.py``: the thread that writes it beside a pass, and the plan that reads it once it is whole
- ``going_over.py``: the iterator that goes over to it between two steps
- ``dataset.py``: ``Dataset.cache``
"""
