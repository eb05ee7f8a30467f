"""Hub ids without a network: what is in the cache is served, what is not is refused in a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.checkpoint import load_checkpoint
from models.hub import local_folder
from tests.models.folders import WEIGHTS, at_the_root

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SAY_WHERE = """
import sys
from pathlib import Path
from models.diffusers_config import CheckpointError
from models.hub import local_folder
try:
    print(local_folder(Path(sys.argv[1])))
except CheckpointError as error:
    sys.exit(str(error))
"""


def cached(hub: Path, name: str, folder: Path) -> Path:
    """The folder as a download of `name` would have left it."""
    repository = hub / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    return folder.rename(repository / "snapshots" / COMMIT)


def where(hub: Path, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `local_folder` says, in a process of its own: the hub's settings are read on import."""
    return subprocess.run(
        [sys.executable, "-c", SAY_WHERE, name],
        env=os.environ | {"HF_HUB_CACHE": str(hub)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize(
    "network",
    [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}],
    ids=["offline", "unreachable"],
)
def test_the_cache_answers_without_a_network(
    tmp_path: Path, folder: Path, network: dict[str, str], root: bool
) -> None:
    sha256 = load_checkpoint(folder).sha256
    there = cached(tmp_path / "hub", "someone/tiny", at_the_root(folder) if root else folder)
    said = where(tmp_path / "hub", "someone/tiny", **network)
    assert said.stdout.strip() == str(there), said.stderr
    assert load_checkpoint(there).sha256 == sha256


def test_what_is_not_cached_is_refused_in_one_line(tmp_path: Path) -> None:
    said = where(tmp_path / "hub", "someone/tiny", HF_HUB_OFFLINE="1")
    assert said.returncode == 1
    assert said.stderr.startswith("someone/tiny: no such folder here, and not to be had")
    assert said.stderr.count("\n") == 1


def test_a_revision_is_that_one_alone(tmp_path: Path, folder: Path) -> None:
    there = cached(tmp_path / "hub", "someone/tiny", folder)
    said = where(tmp_path / "hub", f"someone/tiny@{COMMIT}", HF_HUB_OFFLINE="1")
    assert said.stdout.strip() == str(there), said.stderr
    said = where(tmp_path / "hub", "someone/tiny@v2", HF_HUB_OFFLINE="1")
    assert said.stderr.startswith("someone/tiny@v2: no such folder here")


def test_a_folder_that_exists_is_never_looked_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent.parent)
    assert local_folder(folder) == folder
    two_parts = Path(folder.parent.name) / folder.name
    assert local_folder(two_parts) == two_parts


@pytest.mark.parametrize("name", ["nowhere", "/a/b", "a/b/c", "../a", "a/.b"])
def test_what_is_no_id_is_left_to_be_refused_as_a_folder(name: str) -> None:
    assert local_folder(Path(name)) == Path(name)


def test_only_the_weights_that_are_there_matter(tmp_path: Path, folder: Path) -> None:
    (folder / WEIGHTS).rename((folder / WEIGHTS).with_suffix(".bin"))
    there = cached(tmp_path / "hub", "someone/tiny", folder)
    said = where(tmp_path / "hub", "someone/tiny", HF_HUB_OFFLINE="1")
    assert said.stdout.strip() == str(there), said.stderr
