"""The demo, and the sample it reads: shards of real text that ship with the package.

shards.py makes the shards, model.py is the tiny language model, train.py is one rank of a training job,
stream.py says which rows a job was handed, jobs.py starts and kills such jobs, run.py tells the story.
"""

from rowmill.demo.shards import write_shards

__all__ = ["write_shards"]
