"""Data sets of the Hub: which files a name means, at which commit, how they come here, and how they go there.

- ``load.py`` ``rowmill.load_dataset``; ``drop_in.py`` what ``datasets`` is told beside; ``urls.py`` the ``hf://`` paths
  of ``rowmill.open``
- ``layout.py`` from a tree of files to configurations and splits, with ``card.py`` for the YAML of a README,
  ``patterns.py`` for globs and conventions, ``formats.py`` for what a suffix means; ``slices.py`` for ``train[:10%]``
- ``repository.py`` one repository at one commit; ``revisions.py`` from a revision to that commit; ``listing.py`` its
  files; ``names.py`` what may be a name; ``cached.py`` what lies in the clients' caches; ``records.py`` what
  processes share
- ``client.py`` the only file that asks the network, ``answers.py`` what its refusals mean; ``settings.py`` how it
  does; ``pieces.py`` large files, by several ranges at once; ``in_threads.py`` several of either
- ``streaming.py`` files that are read where they lie; ``together.py`` what rank 0 found, for other machines
- ``local.py`` data sets that are here; ``named_files.py`` files of a format, named one by one, wherever they lie
- ``converted.py`` what only ``datasets`` can read, through it once
- ``downloading.py`` a data set onto this machine; ``column_files.py`` some columns of it, ``target_folder.py`` how
  files come into a folder; ``readiness.py`` whether a job can start on it, with ``promised.py`` for what the card says,
  ``whole_folder.py`` for what a folder lacks, and ``planned_steps.py`` for the steps of its ranks
- ``pushing.py``, ``verifying.py`` a data set to the Hub, and the proof; ``staging.py`` its shards, ``merging.py`` their
  place beside what is there (``holdings.py``), ``dataset_cards.py`` its README, ``manifests.py`` what is noted of it,
  ``committing.py``, ``writing.py`` what changes a repository; ``comparing.py`` with data here, ``report.py`` what a
  check has found
- ``registry.py`` the data sets of a project; ``tokenizer.py`` tokenizers by name
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowmill.hub.downloading import download as download
    from rowmill.hub.pushing import push as push
    from rowmill.hub.readiness import preflight as preflight
    from rowmill.hub.together import load_together as load_together
    from rowmill.hub.verifying import verify as verify

__all__ = ["download", "load_together", "preflight", "push", "verify"]

_LAZY = {
    "download": "downloading",
    "load_together": "together",
    "preflight": "readiness",
    "push": "pushing",
    "verify": "verifying",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'rowmill.hub' has no attribute {name!r}")
    function = getattr(importlib.import_module(f"rowmill.hub.{_LAZY[name]}"), name)
    globals()[name] = function
    return function
