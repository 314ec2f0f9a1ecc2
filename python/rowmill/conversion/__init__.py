"""From one form of data to another: text into the cache, and any data set into shards for others.

- ``kinds.py``, ``listing.py``: which files are text, by name and first bytes, and which ones a path means
- ``chunks.py``, ``ahead.py``: a text file, plain or compressed, in pieces that end at a line's end, and work on several
- ``json_types.py``, ``json_lines.py``, ``csv_files.py``: text to Arrow under one schema
- ``csv_types.py``, ``sanity.py``, ``nulls.py``: what a text can be, what pyarrow must not see, what it gets wrong
- ``blame.py``: the line that is at fault
- ``shard_writer.py``, ``text_files.py``, ``cache.py``: one conversion, and where it is kept
- ``shards.py``: ``rowmill.convert``; with ``row_blocks.py`` for the rows, ``sinks.py`` for what is written,
  ``writing.py`` for one shard after the other, and ``journal.py`` for what is finished
- ``tokens.py``: ``rowmill.tokenize``; with ``token_blocks.py`` for the ids and ``token_sinks.py`` for their formats
- ``layout.py``, ``plain.py``, ``media.py``, ``webdataset.py``: which column becomes which member of a tar, and the tar
- ``disk_errors.py``: what to do where there is no room
- ``progress.py``: a bar for what takes over a second
"""

from rowmill.conversion.cache import as_shards

__all__ = ["as_shards"]
