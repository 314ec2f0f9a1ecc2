"""Refusals, faults and secrets: typed errors that say what to do, the exact bytes or none, and no token anywhere."""

import io
import os
import pickle
import time
import traceback
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import HubServer

import rowmill
from rowmill.exceptions import AccessDeniedError, CorruptShardError, OfflineError
from rowmill.hub.answers import scrub
from rowmill.hub.client import patiently
from rowmill.hub.names import check_file_name
from rowmill.hub.settings import find_settings

pytest.importorskip("huggingface_hub")

TOKEN = "hf_SecretSecretSecret"


def parquet(start: int, stop: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(start, stop))}), sink)
    return sink.getvalue()


FILES = {f"train-{shard}.parquet": parquet(shard * 500, shard * 500 + 500) for shard in range(3)}


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr("rowmill.hub.client.FIRST_WAIT", 0.001)
    # The client's own patience, too, which begins at a second.
    sleep = time.sleep
    monkeypatch.setattr("time.sleep", lambda seconds: sleep(min(seconds, 0.01)))


def ids(dataset: rowmill.Dataset) -> list[int]:
    return [row["id"] for row in dataset.shard(1, 0)]


def test_each_refusal_is_an_error_that_says_what_to_do(hub: HubServer):
    hub.create_repo("alice/private", FILES, private=True)
    hub.create_repo("alice/gated", FILES, gated="manual")
    for token in (False, "hf_of_bob"):
        with pytest.raises(
            rowmill.AccessDeniedError, match=f"gated.*{hub.endpoint}/datasets/alice/gated.*hf auth login"
        ):
            rowmill.load_dataset("alice/gated", token=token)
        with pytest.raises(rowmill.DatasetNotFoundError, match="private"):
            rowmill.load_dataset("alice/private", token=token)
    with pytest.raises(rowmill.AccessDeniedError, match="does not accept the token"):
        rowmill.load_dataset("alice/gated", token="hf_wrong_wrong")
    hub.repos["dataset", "alice/gated"].approved.add("bob")
    assert rowmill.load_dataset("alice/gated", token="hf_of_bob").num_rows == 1500
    for name in ("alice/a b", "../alice", "a/b/c", "alice--demo", ".hidden/x", "alice/..", ""):
        with pytest.raises((rowmill.DatasetNotFoundError, ValueError)):
            rowmill.load_dataset(name)


FAULTS = {
    "busy": {"status": 503, "times": 3},
    "too many requests": {"status": 429, "times": 3, "headers": {"Retry-After": "0"}},
    "a limit that resets": {"status": 429, "times": 2, "headers": {"RateLimit": '"api";r=0;t=0'}},
    "hung up": {"disconnect": True, "times": 2},
    "cut in the middle": {"cut": 700, "times": 2, "method": "GET", "path": "resolve.*parquet"},
    "cut short": {"truncate": 700, "times": 1, "method": "GET", "path": "resolve.*parquet"},
    "flipped bits": {"flip": (100,), "times": 1, "method": "GET", "path": "resolve.*parquet"},
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_passes_is_waited_for_and_the_bytes_are_exact(hub: HubServer, name: str):
    hub.create_repo("alice/demo", FILES)
    fault = hub.fault(**FAULTS[name])
    assert ids(rowmill.load_dataset("alice/demo")) == list(range(1500))
    assert fault.struck == fault.times


def test_an_address_that_expired_is_asked_for_again(hub: HubServer):
    hub.create_repo("alice/demo", FILES)
    hub.redirects = True
    fault = hub.fault(status=403, host="cdn", times=4)
    assert ids(rowmill.load_dataset("alice/demo")) == list(range(1500))
    assert fault.struck == 4


def test_what_stays_wrong_is_a_typed_error_and_leaves_nothing_wrong_behind(hub: HubServer, home: Path):
    hub.create_repo("alice/demo", FILES)
    fault = hub.fault(flip=(100,), method="GET", path="resolve.*train-1")
    with pytest.raises(rowmill.CorruptShardError, match=r"train-1.parquet.*other bytes"):
        rowmill.load_dataset("alice/demo")
    assert fault.struck == 2
    assert not list((home / "hub").rglob("train-1.parquet"))
    hub.faults.clear()
    hub.fault(status=500, path="/tree/")
    with pytest.raises(rowmill.OfflineError, match="could not be reached"):
        rowmill.load_dataset("alice/demo", revision="main", cache_dir=home / "other")
    hub.faults.clear()
    assert ids(rowmill.load_dataset("alice/demo")) == list(range(1500))


def test_the_wait_is_the_servers(monkeypatch: pytest.MonkeyPatch):
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)

    class Busy(Exception):
        def __init__(self, status: int, **headers: str) -> None:
            super().__init__()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            self.response = type("Response", (), {"status_code": status, "headers": named})()

    answers: list[Exception] = [Busy(429, Retry_After="7"), Busy(429, RateLimit='"api";r=0;t=31'), Busy(503)]

    def ask() -> str:
        if answers:
            raise answers.pop(0)
        return "done"

    assert patiently(ask) == "done"
    assert 7 <= slept[0] < 7.2
    assert 31 <= slept[1] < 31.2
    assert slept[2] < 60
    with pytest.raises(Busy):
        patiently(lambda: (_ for _ in ()).throw(Busy(404)))
    assert len(slept) == 3


def test_a_token_is_nowhere_but_in_the_requests_to_the_hub(
    hub: HubServer, home: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    hub.add_user("carol", TOKEN)
    hub.create_repo("carol/demo", FILES, private=True)
    hub.redirects = True
    told = []
    with caplog.at_level(0):
        ds = rowmill.load_dataset("carol/demo", token=TOKEN).shuffle(seed=1)
        told += [repr(ds), str(ds.state_dict()), str(ds.describe()), str(ds._plan), repr(find_settings(token=TOKEN))]
        told.append(pickle.dumps(ds).decode("latin-1"))
        broken = [
            {"status": 403, "message": f"no {TOKEN}"},
            {"status": 400, "message": TOKEN},
            {"status": 401},
            {"status": 500, "message": f"Bearer {TOKEN}"},
            {"disconnect": True},
            {"status": 403, "host": "cdn"},
        ]
        for number, fault in enumerate(broken):
            hub.faults.clear()
            hub.fault(**fault)
            with pytest.raises(rowmill.RowmillError) as caught:
                rowmill.load_dataset("carol/demo", token=TOKEN, cache_dir=home / str(number), columns=["id"])
            told.append("".join(traceback.format_exception(caught.value)))
            assert "Signature=" not in told[-1]
            assert caught.value.__cause__ is None
    output = capsys.readouterr()
    # The libraries' own debugging shows what the server said, which here is a token.
    logged = [record.getMessage() for record in caplog.records if record.name.split(".")[0] != "httpcore2"]
    text = "".join([*told, *logged, output.out, output.err])
    assert TOKEN not in text
    folders = [home, Path(os.environ["ROWMILL_CACHE"])]
    written = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 8
    for path in written:
        assert TOKEN.encode() not in path.read_bytes(), path
        assert b"Signature=" not in path.read_bytes(), path
    sent = hub.requests(host="cdn")
    assert sent
    assert all(TOKEN not in str(request.headers) + request.path for request in sent)
    assert any(request.token == TOKEN for request in hub.requests(host="hub"))


def test_texts_are_scrubbed():
    settings = find_settings(token="secret-of-a-mirror")
    said = "GET http://x/y?X-Amz-Signature=1&b=2 failed, authorization: Bearer abc.def, secret-of-a-mirror, hf_abcdefgh"
    assert scrub(said, settings) == "GET http://x/y failed, authorization: ***, ***, ***"


HOSTILE = ["../evil.parquet", "a/../../evil.parquet", "/etc/evil.parquet", "a//b.parquet", "./x.parquet",
           "..\\evil.parquet", "C:\\evil.parquet", "C:evil.parquet", "\\\\host\\share\\x.parquet",
           "a\nb.parquet", "a\x00b.parquet", "a\x7fb.parquet", ""]  # fmt: skip
ON_WINDOWS = ["con.parquet", "data/NUL", "aux", "com1.txt", "x/lpt9.parquet", "a.parquet.", "a ", "x/a:b.parquet",
              "what?.parquet", "CONOUT$", "data /x.parquet", 'q".parquet', "a|b", "<x>"]  # fmt: skip
HARMLESS = ["a.parquet", "data/..x/b.parquet", "x...y.parquet", "données/été.parquet", "console.parquet", ".hidden/a"]


def test_names_that_lead_elsewhere_are_refused():
    for name in HOSTILE:
        for windows in (False, True):
            with pytest.raises(CorruptShardError, match="cannot be written safely"):
                check_file_name(name, "alice/demo", windows=windows)
    for name in ON_WINDOWS:
        assert check_file_name(name, "alice/demo", windows=False) == name
        with pytest.raises(CorruptShardError, match="cannot be written safely"):
            check_file_name(name, "alice/demo", windows=True)
    for name in HARMLESS:
        assert check_file_name(name, "alice/demo", windows=True) == name


@pytest.mark.parametrize("name", ["../../../evil.parquet", "x/../../../../evil.parquet", "..\\evil.parquet"])
def test_a_repository_with_a_hostile_name_writes_nothing_outside(hub: HubServer, tmp_path: Path, name: str):
    hub.create_repo("alice/evil", {name: parquet(0, 1), "train.parquet": parquet(0, 3)})
    before = {path for path in tmp_path.rglob("*") if "home" not in path.parts and "rowmill" not in path.parts}
    try:
        ds = rowmill.load_dataset("alice/evil", data_files=["**/*evil.parquet", "train.parquet"])
        assert ids(ds) == [0, 1, 2]
    except rowmill.RowmillError as error:
        assert "cannot be written safely" in str(error)  # noqa: PT017
    assert not list(tmp_path.rglob("*evil.parquet"))
    assert {path for path in tmp_path.rglob("*") if "home" not in path.parts and "rowmill" not in path.parts} == before
    assert rowmill.load_dataset("alice/evil", data_files="train.parquet").num_rows == 3


def test_names_of_variables_stay_and_nothing_steers_a_terminal(hub: HubServer, home: Path):
    assert scrub("set HF_ENDPOINT, or HF_TOKEN", find_settings()) == "set HF_ENDPOINT, or HF_TOKEN"
    hub.create_repo("alice/rude", {"data/train.jsonl": "{}"})
    hub.fault(status=403, message="no \x1b]0;title\x07 \x1b[31mred")
    with pytest.raises(AccessDeniedError, match=r"no \]0;title") as caught:
        rowmill.load_dataset("alice/rude")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("token", ["grain-\u00e9", "two words", "two\nlines", " "])
def test_what_cannot_be_a_token_is_told_before_anything_is_asked(hub: HubServer, home: Path, token: str):
    with pytest.raises(AccessDeniedError, match="no token of the Hub") as caught:
        rowmill.load_dataset("alice/demo", token=token)
    assert not token.strip() or token not in str(caught.value)
    assert not hub.requests()
    assert find_settings(token="hf_of_alice\n").token == "hf_of_alice"


def test_an_answer_without_a_reason_is_not_called_silence(hub: HubServer, home: Path):
    hub.create_repo("alice/demo", {"data/train.jsonl": "{}"})
    hub.fault(status=404, path="/revision/", times=1)
    with pytest.raises(OfflineError, match="answered with status 404"):
        rowmill.load_dataset("alice/demo")
    hub.fault(truncate=30, path="/revision/", times=1)
    with pytest.raises(CorruptShardError, match=r"cannot be used: JSONDecodeError.*try again"):
        rowmill.load_dataset("alice/demo")
