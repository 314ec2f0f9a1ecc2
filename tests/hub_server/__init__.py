"""A Hub on loopback for tests: what ``huggingface_hub`` and ``datasets`` ask of the real one, with faults on demand.

    with HubServer() as hub:
        repo = hub.create_repo("alice/demo", {"data/train.parquet": data})
        hub.fault(status=503, times=2, path="/resolve/")
        ...  # a client with HF_ENDPOINT=hub.endpoint
        assert hub.count("GET", "/resolve/") == 3

- ``blobs`` contents with git's and LFS's names; ``repos`` commits, branches, tags; ``users`` tokens and who may what
- ``faults`` what goes wrong and when; ``log`` every request that came
- ``wire`` one HTTP exchange; ``reading``, ``resolving``, ``uploading``, ``managing`` the routes; ``server`` all of it
"""

from hub_server.faults import Fault
from hub_server.log import Request
from hub_server.repos import Repo
from hub_server.server import HubServer

__all__ = ["Fault", "HubServer", "Repo", "Request"]
