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


@pytest.mark.parametrize(
    "name",
    [
        "a b.parquet",
        "a%20b.parquet",
        "a#b.parquet",
        "a[1].parquet",
        "a?b=c.parquet",
        "a+b.parquet",
        "\u00e9\u4e16.parquet",
    ],
)
def test_a_key_is_read_by_name_and_by_listing_whatever_its_letters(bucket: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "data" / "shard-0.parquet"
    for key in (f"odd/{name}", f"{name.removesuffix('.parquet')}/x.parquet"):
        bucket.upload_file(str(path), key)
        # Others that a key would mean if it were decoded, or taken as a pattern.
        bucket.put_object(Key=key.replace("%20", " ").replace("[1]", "1").replace("?", "x") + ".other", Body=b"x")
        expected = list(range(23))
        assert rows(rowmill.open(f"s3://{bucket.name}/{key}")) == expected
        folder = key.rpartition("/")[0]
        assert rows(rowmill.open(f"s3://{bucket.name}/{folder}/")) == expected
        if not set(folder) & set("*?["):
            assert rows(rowmill.open(f"s3://{bucket.name}/{folder}/*.parquet")) == expected
        again = rowmill.open(f"s3://{bucket.name}/{key}")
        assert again.fingerprint == rowmill.open(path).fingerprint


def test_a_name_is_not_decoded(bucket: Any, tmp_path: Path) -> None:
    bucket.upload_file(str(tmp_path / "data" / "shard-0.parquet"), "x/a b.parquet")
    with pytest.raises(rowmill.MissingShardError, match=rf"{bucket.name}/x/a%2520b\.parquet"):
        rowmill.open(f"s3://{bucket.name}/x/a%20b.parquet")


def test_what_is_missing_or_refused_names_bucket_and_key(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"s3://{bucket.name}/no/such.parquet", f"s3://{bucket.name}-no/some/key.parquet"):
        with pytest.raises(rowmill.MissingShardError, match=url) as caught:
            rowmill.open(url)
        assert caught.value.path == url
    for url in (f"s3://{bucket.name}-no/some/", f"s3://{bucket.name}/nothing/"):
        with pytest.raises(rowmill.MissingShardError, match=url):
            rowmill.open(url)


@pytest.fixture
def closed_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a bucket at a store that refuses everybody."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ALLOW_HTTP": "true",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield f"closed-{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_refusal_names_bucket_and_key_and_no_secret(closed_store: str) -> None:
    for url in (f"s3://{closed_store}/some/key.parquet", f"s3://{closed_store}/some/"):
        with pytest.raises(rowmill.AccessDeniedError, match=url) as caught:
            rowmill.open(url)
        assert "s3cret" not in str(caught.value)
        assert "AWS" in str(caught.value) or "variables" in str(caught.value)


def test_folders_named_key_value_make_columns(bucket: Any, tmp_path: Path) -> None:
    data, local = tmp_path / "data", tmp_path / "hive"
    for at, (year, lang) in enumerate([(2023, "en"), (2024, "a b"), (2024, "x%20y")]):
        path = data / f"shard-{[0, 2, 3][at]}.parquet"
        folder = f"year={year}/lang={lang}"
        (local / folder).mkdir(parents=True)
        (local / folder / "x.parquet").write_bytes(path.read_bytes())
        bucket.upload_file(str(path), f"hive/{folder}/x.parquet")
    here = rowmill.open(local)
    there = rowmill.open(f"s3://{bucket.name}/hive/")
    assert there.column_names == here.column_names
    assert {"year", "lang"} <= set(there.column_names)
    assert there.fingerprint == here.fingerprint
    assert list(there) == list(here)
