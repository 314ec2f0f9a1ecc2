"""Objects on a network: ``https://``, ``s3://``, ``gs://`` and ``az://`` by ranges, others as whole files.

- ``urls.py``: which paths are URLs, and which objects a URL means
- ``files.py``: objects that a caller knows already, as a dataset
- ``credentials.py``: what is said to which server, found anew in every process
- ``settings.py``: limits, the cache on disk, counters
- ``fetched.py``: whole files in the cache
- ``objects.py``: an object as a file of Python's
"""

from rowmill.remote.credentials import set_headers, set_token
from rowmill.remote.files import RemoteFile, open_files
from rowmill.remote.settings import configure, stats

__all__ = ["RemoteFile", "configure", "open_files", "set_headers", "set_token", "stats"]
