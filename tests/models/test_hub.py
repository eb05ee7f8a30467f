"""Hub ids: what is fetched, what a cache without a network serves, what is refused in a line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.checkpoint import load_checkpoint
from models.hub import local_folder
from models.weights import PICKLED
from tests.models.folders import CARD, CONFIG, SCHEDULER, WEIGHTS, at_the_root
from tests.models.local_hub import COMMIT, local_hub

NAME = "someone/tiny"
PINNED = f"{NAME}@{COMMIT}"
INDEX = Path("model_index.json")
OFFLINE = {"HF_HUB_OFFLINE": "1"}
UNREACHABLE = {"HF_ENDPOINT": "http://127.0.0.1:9"}
SAY_WHERE = """
import sys
from pathlib import Path
from models.diffusers_config import CheckpointError
from models.hub import local_folder
for model in sys.argv[1:]:
    try:
        print(local_folder(Path(model)))
    except CheckpointError as error:
        print(error)
"""
AS_ANOTHER_TOOL = """
import sys
from huggingface_hub import snapshot_download
name, revision, *files = sys.argv[1:]
print(snapshot_download(name, revision=revision, allow_patterns=files))
"""


def said_by(script: str, *words: str, cache: Path, **environment: str) -> list[str]:
    """A script's lines, in a process of its own: the hub's settings are read on import."""
    said = subprocess.run(
        [sys.executable, "-c", script, *words],
        env=os.environ | {"HF_HUB_CACHE": str(cache), "NO_PROXY": "127.0.0.1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.splitlines()


def cached(cache: Path, published: Path, *files: Path, revision: str = "main") -> Path:
    """Where another tool left these files (none: all) of a repository that has `published`."""
    wanted = [path.as_posix() for path in files] or ["*"]
    with local_hub(NAME, published) as hub:
        [there] = said_by(
            AS_ANOTHER_TOOL, NAME, revision, *wanted, cache=cache, HF_ENDPOINT=hub.url
        )
    return Path(there)


def where(cache: Path, *models: str, **environment: str) -> list[str]:
    """What `local_folder` says of each: a place, or the line that refuses it."""
    return said_by(SAY_WHERE, *models, cache=cache, **environment)


def files_of(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}


def pickled(folder: Path) -> Path:
    """The place of weights that are pickled: here they need only be there."""
    place = WEIGHTS.with_name(PICKLED)
    shutil.copy(folder / WEIGHTS, folder / place)
    return place


@pytest.mark.parametrize("network", [OFFLINE, UNREACHABLE], ids=["offline", "unreachable"])
@pytest.mark.parametrize("root", [False, True])
def test_the_cache_answers_without_a_network(
    tmp_path: Path, folder: Path, network: dict[str, str], root: bool
) -> None:
    sha256 = load_checkpoint(folder).sha256
    there = cached(tmp_path / "hub", at_the_root(folder) if root else folder)
    assert where(tmp_path / "hub", NAME, **network) == [str(there)]
    assert load_checkpoint(there).sha256 == sha256


@pytest.mark.parametrize(
    ("network", "models"),
    [(OFFLINE, [NAME, PINNED]), (UNREACHABLE, [NAME])],
    ids=["offline", "unreachable"],
)
def test_a_cache_without_the_card_answers_as_well(
    tmp_path: Path, folder: Path, network: dict[str, str], models: list[str]
) -> None:
    there = cached(tmp_path / "hub", folder, INDEX, CONFIG, SCHEDULER, WEIGHTS)
    assert CARD not in files_of(there)
    assert where(tmp_path / "hub", *models, **network) == [str(there)] * len(models)
    assert load_checkpoint(there).card == {}


def test_pickled_weights_serve_where_no_others_are_cached(tmp_path: Path, folder: Path) -> None:
    there = cached(tmp_path / "hub", folder, INDEX, CARD, CONFIG, SCHEDULER, pickled(folder))
    assert WEIGHTS not in files_of(there)
    assert where(tmp_path / "hub", NAME, PINNED, **OFFLINE) == [str(there)] * 2


def test_a_cache_without_weights_is_refused_in_one_line(tmp_path: Path, folder: Path) -> None:
    cached(tmp_path / "hub", folder, INDEX, CARD, CONFIG, SCHEDULER)
    [refusal] = where(tmp_path / "hub", NAME, **OFFLINE)
    assert refusal.startswith("someone/tiny: has no diffusion_pytorch_model.safetensors or .bin")


def test_what_is_not_cached_is_refused_in_one_line(tmp_path: Path) -> None:
    [refusal] = where(tmp_path / "hub", NAME, **OFFLINE)
    assert refusal.startswith("someone/tiny: no such folder here, and not to be had from the Hub")


def test_what_describes_it_is_fetched_and_the_safer_weights(tmp_path: Path, folder: Path) -> None:
    pickled(folder)
    (folder / "README.md").write_text("not read")
    with local_hub(NAME, folder) as hub:
        [there] = where(tmp_path / "hub", NAME, HF_ENDPOINT=hub.url)
    assert files_of(Path(there)) == {INDEX, CARD, CONFIG, SCHEDULER, WEIGHTS}


def test_pickled_weights_are_fetched_where_there_are_no_others(
    tmp_path: Path, folder: Path
) -> None:
    old = pickled(folder)
    (folder / WEIGHTS).unlink()
    with local_hub(NAME, folder) as hub:
        [there] = where(tmp_path / "hub", NAME, HF_ENDPOINT=hub.url)
    assert old in files_of(Path(there))


def test_a_revision_is_that_one_alone(tmp_path: Path, folder: Path) -> None:
    cached(tmp_path / "hub", folder, revision="v1.0")
    there = cached(tmp_path / "hub", folder, revision="refs/pr/1")
    models = [PINNED, f"{NAME}@v1.0", f"{NAME}@refs/pr/1", f"{NAME}@refs/pr/2"]
    *found, refusal = where(tmp_path / "hub", *models, **OFFLINE)
    assert found == [str(there)] * 3
    assert refusal.startswith("someone/tiny@refs/pr/2: no such folder here")


def test_a_folder_that_exists_is_never_looked_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    assert local_folder(folder) == folder
    two_parts = Path(folder.parent.name) / folder.name
    assert local_folder(two_parts) == two_parts


@pytest.mark.parametrize(
    "name",
    [
        256 * "x",
        "nowhere",
        "/a/b",
        "a/b/c",
        "../a",
        "a/.b",
        "a/b@",
        "a/b@../c",
        "a/b@c/..",
        "a/b/c@d",
    ],
)
def test_what_is_no_id_is_left_to_be_refused_as_a_folder(name: str) -> None:
    assert local_folder(Path(name)) == Path(name)
