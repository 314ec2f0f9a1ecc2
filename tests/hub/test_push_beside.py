"""What a repository holds already stays readable, and as it is, beside what is pushed; or nothing is pushed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hub_client import run_client
from hub_server import HubServer
from pushed_folders import REPO, folder, ids_of, parquet

import rowmill
from rowmill.exceptions import StateMismatchError
from rowmill.hub.pushing import push
from rowmill.hub.verifying import verify

pytest.importorskip("huggingface_hub")
yaml = pytest.importorskip("yaml")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.* was there before and is public:UserWarning"),
    pytest.mark.usefixtures("as_alice"),
]


def files_of(hub: HubServer) -> dict[str, Any]:
    repo = hub.repos["dataset", REPO]
    return dict(repo.commits[repo.sha].files)


def metadata_of(hub: HubServer) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(files_of(hub)["README.md"].blob.read().decode().split("---\n")[1])
    return loaded


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return folder(tmp_path / "a", range(10))


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return folder(tmp_path / "b", range(100, 120))


@pytest.mark.parametrize("configs", [("default", "data"), ("data", "default")], ids=str)
def test_a_configuration_called_data_has_a_folder_of_its_own(
    hub: HubServer, a: Path, b: Path, configs: tuple[str, str]
) -> None:
    push(a, REPO, config=configs[0], deep=True)
    push(b, REPO, config=configs[1], deep=True)
    assert ids_of(configs[0]) == list(range(10))
    assert ids_of(configs[1]) == list(range(100, 120))
    sha = hub.repos["dataset", REPO].sha
    assert push(b, REPO, config=configs[1]).sha == sha


def test_a_configuration_stays_in_the_folder_that_it_has(hub: HubServer, a: Path, b: Path) -> None:
    card = "---\nconfigs:\n- {config_name: data, data_files: [{split: train, path: data/train-*.parquet}]}\n---\n"
    hub.create_repo(REPO, {"README.md": card, "data/train-00000-of-00001.parquet": parquet([7])})
    push(a, REPO, config="data")
    assert "data/train-00000-of-00001.parquet" in files_of(hub)
    push(b, REPO)
    assert (ids_of("data"), ids_of("default")) == (list(range(10)), list(range(100, 120)))


def test_no_configuration_takes_the_files_of_another(hub: HubServer, a: Path) -> None:
    card = "---\nconfigs:\n- {config_name: x, data_files: de/*.parquet}\n- {config_name: de, data_files: fr/*}\n---\n"
    files = {"de/train-00000-of-00001.parquet": parquet([1]), "fr/x.parquet": parquet([2])}
    hub.create_repo(REPO, {"README.md": card, **files})
    push(a, REPO, config="de")
    assert (ids_of("x"), ids_of("de")) == ([1], list(range(10)))
    assert files_of(hub)["de/train-00000-of-00001.parquet"].blob.read() == files["de/train-00000-of-00001.parquet"]


def test_a_configuration_without_a_free_folder_is_refused_before_anything_is_sent(hub: HubServer, a: Path) -> None:
    card = "---\nconfigs:\n- {config_name: x, data_files: de/*}\n- {config_name: y, data_files: config-de/*}\n---\n"
    hub.create_repo(REPO, {"README.md": card, "de/x.parquet": parquet([1]), "config-de/x.parquet": parquet([2])})
    with pytest.raises(StateMismatchError, match="no place for de; choose another name"):
        push(a, REPO, config="de")
    assert hub.count("POST", "/preupload/") == hub.count("POST", "/commit/") == 0


def test_a_readme_beside_the_data_gives_its_text_and_leaves_the_other_configurations(
    hub: HubServer, a: Path, tmp_path: Path
) -> None:
    push(a, REPO, config="en", license="mit")
    said = "---\npretty_name: Mine\nconfigs:\n- {config_name: here, data_files: a.parquet}\n---\n# mine\n"
    of_b = folder(tmp_path / "b", range(100, 120), **{"README.md": said})
    pushed = push(of_b, REPO, config="de")
    assert (ids_of("en"), ids_of("de")) == (list(range(10)), list(range(100, 120)))
    metadata = metadata_of(hub)
    assert [one["config_name"] for one in metadata["configs"]] == ["en", "de"]
    assert [one["splits"][0]["num_examples"] for one in metadata["dataset_info"]] == [10, 20]
    assert (metadata["pretty_name"], metadata["license"]) == ("Mine", "mit")
    assert "\n# mine\n" in files_of(hub)["README.md"].blob.read().decode()
    assert push(of_b, REPO, config="de").sha == pushed.sha


@pytest.mark.parametrize(
    ("card", "path"),
    [
        (None, "data/train-00000-of-00001.parquet"),
        (None, "train.parquet"),
        ("data_files: foo/*.parquet", "foo/a.parquet"),
        ("data_files: [foo/a.parquet]", "foo/a.parquet"),
        ("data_files: {train: '**/*.parquet'}", "foo/a.parquet"),
        ("data_files: '**/*.parquet'\n  data_dir: foo", "foo/a.parquet"),
        ("data_dir: foo", "foo/train/[a].parquet"),
        ("default: true", "data/train/a.parquet"),
    ],
)
@pytest.mark.parametrize("pushed", [{"split": "test"}, {"config": "de"}], ids=str)
def test_a_split_that_is_there_stays_readable_however_it_is_told_of(
    hub: HubServer, b: Path, home: Path, card: str | None, path: str, pushed: dict[str, str]
) -> None:
    files: dict[str, Any] = {path: parquet(range(10))}
    if card is not None:
        files["README.md"] = f"---\nconfigs:\n- config_name: default\n  {card}\n---\n"
    hub.create_repo(REPO, files)
    assert ids_of() == list(range(10))
    push(b, REPO, deep=True, **pushed)
    assert ids_of() == list(range(10))
    assert ids_of(pushed.get("config"), pushed.get("split", "train")) == list(range(100, 120))


def test_the_real_client_reads_what_was_there_and_what_was_pushed(hub: HubServer, b: Path, home: Path) -> None:
    pytest.importorskip("datasets")
    hub.create_repo(REPO, {"data/train-00000-of-00001.parquet": parquet(range(10))})
    push(b, REPO, split="test")
    code = f"""
import datasets
ds = datasets.load_dataset({REPO!r}, token="hf_of_alice")
result = [sorted(ds), sum(ds["train"]["id"]), sum(ds["test"]["id"])]
"""
    assert run_client(hub, home, code) == [["test", "train"], sum(range(10)), sum(range(100, 120))]


def test_a_configuration_of_wide_patterns_does_not_take_what_is_pushed(hub: HubServer, a: Path, b: Path) -> None:
    card = "---\nconfigs:\n- {config_name: all, data_files: '*/*.parquet'}\n---\n"
    hub.create_repo(REPO, {"README.md": card, "en/train-x.parquet": parquet([1]), "fr/x.parquet": parquet([2])})
    push(a, REPO, config="de")
    assert (ids_of("all"), ids_of("de")) == ([1, 2], list(range(10)))


def test_files_of_like_names_are_no_part_of_what_is_pushed(hub: HubServer, a: Path) -> None:
    card = "---\nconfigs:\n- {config_name: x, data_files: [{split: train, path: data/train-x-*.parquet}]}\n---\n"
    hub.create_repo(
        REPO, {"README.md": card, "data/train-x-00000-of-00001.parquet": parquet([1]), "data/train-y.parquet": b"no"}
    )
    push(a, REPO)
    assert (ids_of("default"), ids_of("x")) == (list(range(10)), [1])
    assert files_of(hub)["data/train-y.parquet"].blob.read() == b"no"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"train.csv": "id\n1\n"}, "readers take the files of all configurations for csv|of different formats"),
        (
            {".huggingface.yaml": "configs:\n- {config_name: en, data_files: x.parquet}\n", "x.parquet": parquet([1])},
            "has no config 'default'",
        ),
        (
            {
                "README.md": "---\nconfigs:\n- {config_name: en, data_files: x.parquet, default: true}\n---\n",
                "x.parquet": parquet([1]),
            },
            "several configs as default",
        ),
        ({"README.md": "---\nconfigs:\n- {config_name: en, data_files: gone.parquet}\n---\n"}, "no file gone.parquet"),
    ],
    ids=["other format", "another note", "two defaults", "a card that is broken already"],
)
def test_what_could_not_be_read_afterwards_is_refused_before_anything_is_sent(
    hub: HubServer, a: Path, files: dict[str, Any], told: str
) -> None:
    hub.create_repo(REPO, files)
    with pytest.raises(StateMismatchError, match=told) as caught:
        push(a, REPO, split="test")
    assert "nothing was pushed" in str(caught.value)
    assert caught.value.path == f"{REPO}/README.md"
    assert hub.count("POST", "/preupload/") == hub.count("POST", "/commit/") == 0


def test_a_licence_and_pictures_beside_no_data_are_no_data_set(hub: HubServer, a: Path) -> None:
    hub.create_repo(REPO, {"LICENSE.txt": "mine", "NOTES.md": "of mine"})
    push(a, REPO, split="test")
    assert ids_of(split="test") == list(range(10))
    hub.create_repo("alice/pictures", {"figures/one.png": b"x"})
    with pytest.warns(UserWarning, match="1 files such as figures/one.png"):
        push(a, "alice/pictures", config="en")


@pytest.mark.parametrize("split", ["train-x", "a/b", "train.", "", "a b"])
def test_no_split_is_pushed_that_could_not_be_loaded(hub: HubServer, a: Path, split: str) -> None:
    for source, given in ((a, split), ({split: a}, None), (rowmill.open(a), split)):
        with pytest.raises(ValueError, match="cannot be the name of a split"):
            push(source, REPO, split=given)
    assert not hub.requests()


def test_what_is_outdated_is_found_by_its_exact_name(hub: HubServer, a: Path) -> None:
    kept = {name: parquet([1]) for name in ("data/train-more.parquet", "data/train-x-00000-of-00001.parquet")}
    card = "---\nconfigs:\n- {config_name: default, data_files: [{split: train, path: data/train-0*.parquet}]}\n---\n"
    hub.create_repo(REPO, {"README.md": card, "data/train-00001-of-00002.parquet": parquet([2]), **kept})
    push(a, REPO)
    assert {*kept} < {*files_of(hub)}
    assert "data/train-00001-of-00002.parquet" not in files_of(hub)
    assert ids_of() == list(range(10))


@pytest.mark.parametrize(
    "info",
    [
        "- {config_name: en, features: [{name: id, dtype: int64}]}",
        "- {config_name: en, splits: {train: 3}}",
        "- {config_name: en, splits: [train, 3]}",
        "- 3",
        "- {config_name: default, splits: [{name: test, num_examples: 4}]}",
        "- {config_name: default, splits: [{name: test, num_bytes: many, num_examples: -4}]}",
    ],
)
def test_a_card_that_says_less_of_splits_or_nonsense_is_completed(hub: HubServer, a: Path, info: str) -> None:
    card = "---\nconfigs:\n- {config_name: default, data_files: [{split: test, path: foo/*}]}\n"
    card += f"- {{config_name: en, data_files: en/*}}\ndataset_info:\n{info}\n---\n"
    there = parquet(range(4))
    hub.create_repo(REPO, {"README.md": card, "foo/a.parquet": there, "en/a.parquet": parquet([1])})
    push(a, REPO)
    listed = metadata_of(hub)["dataset_info"]
    own = next(one for one in (listed if isinstance(listed, list) else [listed]) if one["config_name"] == "default")
    assert {one["name"]: one["num_examples"] for one in own["splits"]} == {"train": 10, "test": 4}
    assert own["splits"][1]["num_bytes"] == len(there)
    assert (ids_of(split="test"), ids_of("en")) == ([0, 1, 2, 3], [1])


def test_a_second_split_leaves_the_first_ones_proof(hub: HubServer, a: Path, b: Path) -> None:
    push(a, REPO)
    push(b, REPO, split="test")
    assert verify(REPO, against={"train": a, "test": b}).ok
    hub.repos["dataset", REPO].commit({"data/train-00000-of-00001.parquet": parquet(range(20, 30))})
    assert any("data/train-00000-of-00001.parquet has" in one for one in verify(REPO).problems)
