"""Data sets of the Hub: which files a name means, at which commit, and how they come here.

- ``load.py`` ``rowmill.load_dataset``; ``urls.py`` the ``hf://`` paths of ``rowmill.open``
- ``layout.py`` from a tree of files to configurations and splits, with ``card.py`` for the YAML of a README,
  ``patterns.py`` for globs and conventions, ``formats.py`` for what a suffix means; ``slices.py`` for ``train[:10%]``
- ``repository.py`` one repository at one commit; ``revisions.py`` from a revision to that commit; ``listing.py`` its
  files; ``names.py`` what may be a name; ``cached.py`` what lies in the clients' caches; ``records.py`` what
  processes share
- ``client.py`` the only file that asks the network, ``answers.py`` what its refusals mean; ``settings.py`` how it does
- ``converted.py`` what only ``datasets`` can read, through it once
- ``registry.py`` the data sets of a project; ``tokenizer.py`` tokenizers by name
"""
