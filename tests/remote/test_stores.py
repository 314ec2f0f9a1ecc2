"""Object stores: listed, signed for and read, against a server that speaks S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shards import write_shards

import rowmill

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket with Parquet shards, and the environment that leads to it."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true",
    }  # fmt: skip
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    # Buckets are opened once a process: each test has one of its own.
    name = f"bucket-{port}"
    store = boto3.resource("s3", endpoint_url=settings["AWS_ENDPOINT_URL"], region_name="us-east-1")
    made = store.create_bucket(Bucket=name)
    for path in write_shards(tmp_path / "data", container="parquet"):
        made.upload_file(str(path), f"corpus/{path.name}")
    made.put_object(Key="corpus/README.md", Body=b"no data")
    yield made
    server.stop()


def rows(dataset: rowmill.Dataset) -> list[int]:
    return [row["id"] for row in dataset]


def test_a_folder_a_pattern_and_an_object_are_read(bucket: Any, tmp_path: Path) -> None:
    here = rowmill.open(str(tmp_path / "data"))
    there = rowmill.open(f"s3://{bucket.name}/corpus/")
    assert there.fingerprint == here.fingerprint
    assert rows(there.shuffle(7)) == rows(here.shuffle(7))
    assert rows(rowmill.open(f"s3://{bucket.name}/corpus/shard-[02].parquet")) == rows(
        rowmill.open([str(tmp_path / "data" / f"shard-{index}.parquet") for index in (0, 2)])
    )
    assert rows(rowmill.open(f"s3://{bucket.name}/corpus/shard-3.parquet")) == list(range(63, 70))
    assert "s3cret" not in repr(there._plan.source.options)


def test_what_is_not_there_is_told(bucket: Any) -> None:
    with pytest.raises(rowmill.MissingShardError, match=r"README\.md"):
        rowmill.open(f"s3://{bucket.name}/corpus/*.tar")
    with pytest.raises(rowmill.MissingShardError):
        rowmill.open(f"s3://{bucket.name}/corpus/nothing.parquet")


def test_an_object_that_is_replaced_is_an_error(bucket: Any, tmp_path: Path) -> None:
    rowmill.remote.configure(cache=False)
    ds = rowmill.open(f"s3://{bucket.name}/corpus/shard-0.parquet")
    other = write_shards(tmp_path / "other", sizes=[23], container="parquet", columns=["id"])[0]
    bucket.upload_file(str(other), "corpus/shard-0.parquet")
    with pytest.raises(rowmill.CorruptShardError, match="changed"):
        list(ds)
