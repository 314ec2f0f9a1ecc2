"""The demo, and the sample it reads: real text that ships with the package.

shards.py makes shards of rows, sources.py two sources of documents; model.py is the tiny language model, train.py one
rank of a training job; stream.py says which samples a job was handed, jobs.py starts and kills such jobs, run.py tells
the story.
"""

from rowmill.demo.shards import write_shards
from rowmill.demo.sources import tokenizer_path, write_sources

__all__ = ["tokenizer_path", "write_shards", "write_sources"]
