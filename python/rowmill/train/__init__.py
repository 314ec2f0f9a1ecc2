"""An example of a training loop that resumes exactly: ``python -m rowmill.train --dataset-name tiny_shakespeare``.

__main__.py is its command line, loop.py the loop with its checkpoints, model.py a small language model.
"""

from rowmill.train.loop import Settings, train

__all__ = ["Settings", "train"]
