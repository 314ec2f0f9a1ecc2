"""``load_dataset``: the rows that ``datasets`` gives, from every place, with as few requests as there can be."""

import io
import json
import pickle
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import clean_environment, hub_environment, run_client
from hub_server import HubServer

import rowmill
from rowmill.hub.slices import parse_split

pytest.importorskip("huggingface_hub")


def parquet(start: int, stop: int) -> bytes:
    sink = io.BytesIO()
    rows = range(start, stop)
    pq.write_table(pa.table({"id": list(rows), "text": [f"row {row}" for row in rows]}), sink, row_group_size=7)
    return sink.getvalue()


FILES = {f"data/train-{shard:05}-of-00003.parquet": parquet(shard * 10, shard * 10 + 10) for shard in range(3)}
FILES |= {"data/test-00000-of-00001.parquet": parquet(100, 110), "README.md": "---\nlicense: mit\n---\n"}


def ids(dataset: rowmill.Dataset) -> list[int]:
    return [row["id"] for row in dataset.shard(1, 0)]


@pytest.mark.usefixtures("home")
def test_a_repository_is_downloaded_once_and_then_read_as_it_is(hub: HubServer):
    repo = hub.create_repo("alice/demo", FILES)
    ds = rowmill.load_dataset("alice/demo")
    assert ids(ds) == list(range(30))
    # The commit, the tree, and a HEAD and a GET for each of three files and the README; nothing of the other split.
    assert hub.count() == 2 + 2 * 4
    assert hub.count(path="test-00000") == 0
    hub.forget()
    assert ids(rowmill.load_dataset("alice/demo", columns=["id"])) == list(range(30))
    assert [str(request.path) for request in hub.requests()] == ["/api/datasets/alice/demo/revision/main"]
    hub.forget()
    pinned = rowmill.load_dataset("alice/demo", revision=repo.sha)
    assert hub.count() == 0
    assert pinned.fingerprint == ds.fingerprint
    assert pinned.column_names == ["id", "text"]


@pytest.mark.usefixtures("home")
def test_the_commit_stands_in_cursor_and_fingerprint_and_a_cursor_of_another_is_refused(hub: HubServer):
    repo = hub.create_repo("alice/demo", FILES)
    first = repo.sha
    iterator = iter(rowmill.load_dataset("alice/demo").shuffle(seed=1).batch(4))
    next(iterator)
    cursor = iterator.state_dict()
    assert cursor["revision"] == f"alice/demo@{first}"
    # The same bytes at another commit.
    second = repo.commit({"notes.txt": "more"})
    moved = rowmill.load_dataset("alice/demo").shuffle(seed=1).batch(4)
    assert moved.state_dict()["revision"] == f"alice/demo@{second}"
    with pytest.raises(rowmill.StateMismatchError, match=f"alice/demo@{first}"):
        moved.load_state_dict(cursor)
    back = rowmill.load_dataset("alice/demo", revision=first).shuffle(seed=1).batch(4)
    assert back.fingerprint != moved.fingerprint
    back.load_state_dict(cursor)
    assert len(list(back)) == 7


def test_rows_and_order_are_those_of_datasets(hub: HubServer, home: Path):
    pytest.importorskip("datasets")
    yaml = "---\nconfigs:\n- config_name: b\n  data_files:\n  - {split: train, path: 'z/*'}\n"
    yaml += "- config_name: a\n  default: true\n  data_files: [x2.parquet, x10.parquet, x1.parquet]\n---\n"
    odd = {"x2.parquet": parquet(0, 5), "x10.parquet": parquet(5, 9), "x1.parquet": parquet(9, 12)}
    odd |= {"z/10.parquet": parquet(20, 25), "z/9.parquet": parquet(25, 29), "README.md": yaml}
    hub.create_repo("alice/demo", FILES)
    hub.create_repo("alice/odd", odd)
    asked = [
        ("alice/demo", {"split": "train[:10%]+test[-3:]"}),
        ("alice/demo", {"split": "train[15%:55%]"}),
        ("alice/demo", {"split": "test", "data_files": {"test": "data/t*-00000*"}}),
        ("alice/odd", {"split": "train"}),
        ("alice/odd", {"split": "train", "name": "b"}),
        ("parquet", {"split": "train", "data_files": "hf://datasets/alice/odd/z/*.parquet"}),
    ]
    code = f"""
import json
import pickle
from datasets import load_dataset
result = [list(load_dataset(path, **more)["id"]) for path, more in json.loads({json.dumps(asked)!r})]
"""
    theirs = run_client(hub, home / "theirs", code)
    assert [ids(rowmill.load_dataset(path, **more)) for path, more in asked] == theirs


@pytest.mark.usefixtures("home")
def test_what_datasets_made_of_this_commit_is_read_and_nothing_of_another(hub: HubServer, home: Path):
    pytest.importorskip("datasets")
    repo = hub.create_repo("alice/demoSet", FILES)
    made_at = repo.sha
    run_client(hub, home, 'import datasets; datasets.load_dataset("alice/demoSet")')
    hub.forget()
    ds = rowmill.load_dataset("alice/demoSet")
    assert ids(ds) == list(range(30))
    assert all(path.endswith(".arrow") for path in ds._plan.source.options.paths)
    assert hub.count("GET", "/resolve/") == 0
    # With nothing but what datasets left, offline.
    hub.forget()
    assert ids(rowmill.load_dataset("alice/demoSet", offline=True, split="test")) == list(range(100, 110))
    assert hub.count() == 0
    repo.commit({"data/train-00000-of-00003.parquet": parquet(500, 510)})
    assert ids(rowmill.load_dataset("alice/demoSet"))[:3] == [500, 501, 502]
    assert ids(rowmill.load_dataset("alice/demoSet", revision=made_at))[:3] == [0, 1, 2]


@pytest.mark.usefixtures("home")
def test_a_place_once_read_from_stays_the_place(hub: HubServer, home: Path):
    pytest.importorskip("datasets")
    hub.create_repo("alice/demo", FILES)
    before = rowmill.load_dataset("alice/demo")
    run_client(hub, home, 'import datasets; datasets.load_dataset("alice/demo")')
    # Arrow files have other blocks, so another order: a cursor taken before must still fit.
    assert rowmill.load_dataset("alice/demo").fingerprint == before.fingerprint


@pytest.mark.usefixtures("home")
def test_text_formats_are_read_and_others_go_through_datasets_once(hub: HubServer):
    pytest.importorskip("datasets")
    lines = "".join(json.dumps({"id": row}) + "\n" for row in range(5))
    hub.create_repo("alice/lines", {"train.jsonl": lines})
    hub.create_repo("alice/list", {"data.json": json.dumps([{"id": row} for row in range(5)])})
    readme = "---\nconfigs:\n- {config_name: default, data_files: a.csv, sep: ;}\n---\n"
    table = "id;b\n" + "".join(f"{row};x\n" for row in range(5))
    hub.create_repo("alice/table", {"a.csv": table, "README.md": readme})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inner/part.jsonl", lines)
    hub.create_repo("alice/zipped", {"train.zip": packed.getvalue()})
    names = ("lines", "list", "table", "zipped")
    for name in names:
        assert ids(rowmill.load_dataset(f"alice/{name}")) == list(range(5)), name
    hub.forget()
    for name in names:
        again = rowmill.load_dataset(f"alice/{name}", offline=True)
        assert (ids(again), again.state_dict()["revision"].split("@")[0]) == (list(range(5)), f"alice/{name}")
    assert hub.count() == 0


def test_folders_files_and_saved_datasets_come_before_the_hub(
    hub: HubServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    folder = Path("alice/demo")
    folder.mkdir(parents=True)
    (folder / "train.parquet").write_bytes(parquet(0, 8))
    (folder / "test.parquet").write_bytes(parquet(8, 10))
    hub.create_repo("alice/demo", FILES)
    assert ids(rowmill.load_dataset("alice/demo", split="test+train")) == [8, 9, *range(8)]
    assert ids(rowmill.load_dataset("alice/demo/*.parquet")) == [8, 9, *range(8)]
    assert ids(rowmill.load_dataset("alice/demo/test.parquet", split="train[1:]")) == [9]
    assert ids(rowmill.load_dataset("parquet", data_files={"x": "alice/demo/te*"}, split="x")) == [8, 9]
    rows = datasets.Dataset.from_dict({"id": list(range(20))})
    datasets.DatasetDict({"train": rows, "test": rows.select(range(3))}).save_to_disk("saved")
    assert ids(rowmill.load_dataset("saved", split="train[25%:50%]")) == list(range(5, 10))
    assert ids(rowmill.load_dataset("saved", split="test")) == [0, 1, 2]
    rows.save_to_disk("single")
    assert ids(rowmill.load_dataset("single")) == list(range(20))
    assert "revision" not in rowmill.load_dataset("single").state_dict()
    assert hub.count() == 0
    with pytest.raises(rowmill.DatasetNotFoundError, match="no such file"):
        rowmill.load_dataset("./nowhere")


@pytest.mark.usefixtures("home")
def test_what_a_readme_says_of_parquet_does_not_make_it_converted(hub: HubServer):
    readme = "---\nconfigs:\n- config_name: default\n  data_files: data/train*\n  columns: [id]\n  batch_size: 7\n---\n"
    hub.create_repo("alice/demo", {**FILES, "README.md": readme})
    for _ in range(2):
        ds = rowmill.load_dataset("alice/demo")
        assert (ds.column_names, ids(ds)) == (["id"], list(range(30)))
        assert all(path.endswith(".parquet") for path in ds._plan.source.options.paths)
    assert rowmill.load_dataset("alice/demo", columns=["text"]).column_names == ["text"]


@pytest.mark.usefixtures("home")
def test_open_takes_paths_of_the_hub(hub: HubServer):
    repo = hub.create_repo("alice/demo", FILES)
    repo.tag("v1")
    repo.pull_request()
    for url in (
        "hf://datasets/alice/demo/data/train-*.parquet",
        "hf://datasets/alice/demo@v1/data/train-0000[0-2]-of-00003.parquet",
        f"hf://datasets/alice/demo@{repo.sha}/**/train*",
        "hf://datasets/alice/demo@refs/pr/1/data/tr*",
        "hf://datasets/alice/demo@refs%2Fpr%2F1/data/tr*",
    ):
        ds = rowmill.open(url)
        assert (ids(ds), ds.state_dict()["revision"]) == (list(range(30)), f"alice/demo@{repo.sha}"), url
    assert len(ids(rowmill.open("hf://datasets/alice/demo"))) == 40
    assert ids(rowmill.load_dataset("hf://datasets/alice/demo@v1/data", split="test")) == list(range(100, 110))
    assert ids(rowmill.load_dataset("hf://datasets/alice/demo/data/test-*")) == list(range(100, 110))
    with pytest.raises(rowmill.MissingShardError, match=repo.sha):
        rowmill.open("hf://datasets/alice/demo/none/*.parquet")
    with pytest.raises(ValueError, match="hf://datasets/OWNER"):
        rowmill.open("hf://buckets/alice/demo")


@pytest.mark.usefixtures("home")
def test_the_drop_in_takes_the_arguments_of_old_scripts(hub: HubServer):
    hub.create_repo("alice/demo", FILES)
    ds = rowmill.fast_load_iterable_dataset("alice/demo", None, "train", num_proc=2, trust_remote_code=True)
    assert isinstance(ds, rowmill.SimpleArrowIterableDataset)
    shuffled = ds.shuffle(seed=3).shard(num_shards=2, index=0).map(lambda row: {"n": len(row["text"])}, batched=False)
    assert len(ds.shuffle(seed=3).shard(2, 0)) == 15
    assert len(list(shuffled)) == 15
    with pytest.raises(TypeError, match="no_such"):
        rowmill.fast_load_iterable_dataset("alice/demo", no_such=1)


def config_of(**said: Any) -> Any:
    """A ``DownloadConfig``, as far as anybody looks."""
    # A name of its own, and not an address: processes that share the tests must call them the same.
    return type("DownloadConfig", (), {**said, "__repr__": lambda self: f"DownloadConfig({said})"})()


HARMLESS: list[dict[str, Any]] = [
    {"features": None, "download_config": None, "download_mode": None, "storage_options": None},
    {"verification_mode": "all_checks", "keep_in_memory": True, "save_infos": True, "trust_remote_code": False},
    {"download_mode": "reuse_dataset_if_exists", "storage_options": {}, "ignore_verifications": True, "task": None},
    {"download_mode": "reuse_cache_if_exists", "use_auth_token": "hf_of_bob"},
    {"download_config": config_of(token="hf_of_bob", num_proc=2, max_retries=5, force_download=False)},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"download_mode": "force_redownload"}, "download_mode"),
    ({"download_mode": "sometimes"}, "download_mode"),
    ({"download_config": config_of(force_download=True)}, "download_mode"),
    ({"download_config": config_of(extract_compressed_file=True)}, "download_config"),
    ({"storage_options": {"key": "secret"}}, "storage_options"),
    ({"split": None}, "split=None"),
]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("said", HARMLESS, ids=lambda said: " ".join(said))
def test_what_datasets_is_told_beside_has_no_effect_or_the_one_that_it_says(hub: HubServer, said: dict[str, Any]):
    hub.create_repo("alice/demo", FILES)
    assert ids(rowmill.fast_load_iterable_dataset("alice/demo", **said)) == list(range(30))
    given = said.get("use_auth_token") or getattr(said.get("download_config"), "token", None)
    assert {request.token for request in hub.requests()} == {given}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("said", "named"), REFUSED, ids=lambda said: str(said))
def test_what_is_not_done_here_is_refused_by_name(hub: HubServer, said: dict[str, Any], named: str):
    hub.create_repo("alice/demo", FILES)
    with pytest.raises(ValueError, match=named) as caught:
        rowmill.fast_load_iterable_dataset("alice/demo", **said)
    assert "secret" not in str(caught.value)
    assert hub.count() == 0


@pytest.mark.usefixtures("home")
def test_a_download_config_may_say_that_the_network_is_off(hub: HubServer):
    hub.create_repo("alice/demo", FILES)
    config = config_of(local_files_only=True)
    with pytest.raises(rowmill.OfflineError):
        rowmill.fast_load_iterable_dataset("alice/demo", download_config=config)
    assert hub.count() == 0
    rowmill.load_dataset("alice/demo")
    assert ids(rowmill.fast_load_iterable_dataset("alice/demo", download_config=config)) == list(range(30))


@pytest.mark.usefixtures("home")
def test_given_features_say_what_columns_mean_and_cast_none(hub: HubServer):
    datasets = pytest.importorskip("datasets")
    hub.create_repo("alice/demo", {"data/train.parquet": FILES["data/train-00000-of-00003.parquet"]})
    plain = rowmill.load_dataset("alice/demo")
    types = {field.name: datasets.Value(str(field.type)) for field in plain.schema}
    named = datasets.Features({**types, "id": datasets.ClassLabel(num_classes=100)})
    assert plain.schema.field("id").type == named.arrow_schema.field("id").type
    ds = rowmill.fast_load_iterable_dataset("alice/demo", features=named)
    assert ds.features == named
    assert (ds.fingerprint, ids(ds)) == (plain.fingerprint, ids(plain))
    for wrong in ({**types, "id": datasets.Value("float32")}, {**types, "more": datasets.Value("string")}):
        with pytest.raises(rowmill.SchemaMismatchError, match="features= says"):
            rowmill.fast_load_iterable_dataset("alice/demo", features=datasets.Features(wrong))


@pytest.mark.usefixtures("home")
def test_what_is_cached_of_the_hub_keeps_the_commit(hub: HubServer, tmp_path: Path):
    repo = hub.create_repo("alice/demo", FILES)
    kept = rowmill.load_dataset("alice/demo").filter(has_even_id).cache(tmp_path / "kept")
    before, state = repo.sha, kept.state_dict()
    assert state["revision"] == f"alice/demo@{before}"
    after = repo.commit({"notes.txt": "more"})
    again = rowmill.load_dataset("alice/demo", revision=after).filter(has_even_id).cache(tmp_path / "kept")
    with pytest.raises(rowmill.StateMismatchError, match=f"alice/demo@{after}.*alice/demo@{before}"):
        again.load_state_dict(state)
    assert len(list((tmp_path / "kept").glob("*/dataset.json"))) == 1  # the same rows


def has_even_id(row: dict[str, Any]) -> bool:
    return bool(row["id"] % 2 == 0)


@pytest.mark.usefixtures("home")
def test_what_is_not_there_is_named_with_what_is(hub: HubServer):
    hub.create_repo("alice/demo", FILES)
    with pytest.raises(ValueError, match=r"no split 'valid'.*train, test"):
        rowmill.load_dataset("alice/demo", split="valid")
    with pytest.raises(rowmill.DatasetNotFoundError, match="no config 'en'"):
        rowmill.load_dataset("alice/demo", "en")
    with pytest.raises(rowmill.MissingShardError, match="data/train-00000-of-00003"):
        rowmill.load_dataset("alice/demo", data_files="no.parquet")
    with pytest.raises(ValueError, match="cannot be read"):
        rowmill.load_dataset("alice/demo", split="train[10")


SPLITS = ["train", "train[:10%]", "train[-7:]", "train[33%:66%]", "train[5:]+test", "train[:1%](pct1_dropremainder)",
          "train[90%:]+train[:3]", "test[40:10]", "train[:200]", "train[-200:2]"]  # fmt: skip


def test_slices_round_as_those_of_datasets():
    reader = pytest.importorskip("datasets.arrow_reader")
    for lengths in ({"train": 1234, "test": 17}, {"train": 199, "test": 1}):
        for text in SPLITS:
            if "pct1" in text and lengths["train"] < 200:
                continue
            theirs = reader.ReadInstruction.from_spec(text).to_absolute(lengths)
            ours = [(part.split, *part.rows(lengths[part.split])) for part in parse_split(text)]
            want = [(one.splitname, one.from_, max(one.from_, one.to)) for one in theirs]
            assert ours == want, text


RANK = """
import json, sys
# Torch takes seconds to import, and nothing here needs it.
sys.modules["torch"] = None
import rowmill
ds = rowmill.load_dataset("alice/demo").shard(1, 0)
print(json.dumps([len(list(ds)), ds.state_dict()["revision"]]))
"""


@pytest.mark.processes
def test_the_ranks_of_a_job_ask_once_for_all(hub: HubServer, home: Path, tmp_path: Path):
    repo = hub.create_repo("alice/demo", FILES)
    hub.latency = 0.02
    job = {"WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    job["ROWMILL_CACHE"] = str(tmp_path / "rowmill")
    environment = clean_environment({**hub_environment(hub, home), **job})

    def run(rank: int) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", RANK],
            env={**environment, "RANK": str(rank)},
            capture_output=True, text=True, check=True, timeout=100,
        )  # fmt: skip
        answers.append(json.loads(done.stdout.splitlines()[-1]))

    answers: list[Any] = []
    together(run, 4)
    assert answers == [[30, f"alice/demo@{repo.sha}"]] * 4
    # As many as one process makes.
    assert hub.count() == 2 + 2 * 4
    hub.forget()
    # A rank that starts again reads what the others read, whatever main is now.
    first = repo.sha
    repo.commit({"data/train-00000-of-00003.parquet": parquet(0, 1)})
    answers.clear()
    run(0)
    assert answers == [[30, f"alice/demo@{first}"]]
    assert hub.count() == 0


def together(run: Any, number: int) -> None:
    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("home")
def test_64_workers_that_start_together_make_no_more_requests_than_a_few(hub: HubServer):
    files = {f"data/train-{shard:05}-of-00050.parquet": parquet(shard, shard + 1) for shard in range(50)}
    hub.create_repo("alice/many", files)
    hub.latency = 0.02
    found: list[int] = []
    together(lambda _: found.append(rowmill.load_dataset("alice/many").num_rows), 64)
    assert found == [50] * 64
    # Two answers serve everybody: the first one's, and one for all who came while it asked.
    assert hub.count(path="/revision/") <= 12
    assert hub.count(path="/tree/") == 1
    assert hub.count("GET", "/resolve/") == 50
    hub.forget()
    together(lambda _: found.append(rowmill.load_dataset("alice/many").num_rows), 64)
    assert hub.count() <= 12


@pytest.mark.usefixtures("home")
def test_states_of_workers_and_ranks_keep_the_commit_and_never_mix_two(hub: HubServer):
    repo = hub.create_repo("alice/demo", FILES)
    first = rowmill.load_dataset("alice/demo").batch(2)
    for _ in zip(range(3), first, strict=False):
        pass
    states = [first.shard(2, rank).state_dict() for rank in range(2)]
    assert rowmill.merge_states(states)["revision"] == f"alice/demo@{repo.sha}"
    repo.commit({"notes.txt": "more"})
    second = rowmill.load_dataset("alice/demo").batch(2)
    with pytest.raises(rowmill.StateMismatchError, match="revision"):
        rowmill.merge_states([states[0], second.shard(2, 1).state_dict()])
    copy = pickle.loads(pickle.dumps(first))
    assert (copy.fingerprint, len(copy)) == (first.fingerprint, len(first))
    assert "alice/demo" in json.dumps(copy.state_dict())


def test_a_mix_whose_source_has_moved_on_says_what_commit_it_is_read_at(hub: HubServer, home: Path):
    repo = hub.create_repo("alice/mixed", {"data/train.parquet": parquet(0, 640)})

    def mixed(revision: str) -> rowmill.Dataset:
        return rowmill.mix({"web": rowmill.load_dataset("alice/mixed", revision=revision).shuffle(1)}, {"web": 1})

    before, old = repo.sha, mixed(repo.sha)
    rows = iter(old)
    next(rows)
    state = old.state_dict()
    after = repo.commit({"data/train.parquet": parquet(1, 640)})
    assert state["revisions"] == {"web": f"alice/mixed@{before}"}
    told = f"'web' is alice/mixed@{after} of the Hub, the cursor's alice/mixed@{before} of the Hub"
    with pytest.raises(rowmill.StateMismatchError, match=told):
        mixed(after).load_state_dict(state)
    # Cursors of before they named commits are refused by what the data are.
    unnamed = {name: value for name, value in state.items() if name != "revisions"}
    with pytest.raises(rowmill.StateMismatchError, match=f"it is read at alice/mixed@{after}; revision="):
        mixed(after).load_state_dict(unnamed)
    mixed(before).load_state_dict(unnamed)
    again = mixed(before)
    again.load_state_dict(state)
    assert next(iter(again)) == next(rows)
