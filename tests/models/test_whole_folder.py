"""All of a folder or none of it, whatever happens while it is filled."""

import stat
from pathlib import Path

import pytest

from models.whole_folder import whole_folder


def test_what_was_filled_is_there_and_readable_by_others(tmp_path: Path) -> None:
    target = tmp_path / "new" / "target"
    with whole_folder(target) as staged:
        (staged / "file").write_text("whole")
        assert not target.exists()
    assert (target / "file").read_text() == "whole"
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert list(tmp_path.rglob("*")) == [tmp_path / "new", target, target / "file"]


def fill_until_interrupted(target: Path, *, others: Path) -> None:
    with whole_folder(target) as staged:
        (staged / "file").write_text("half")
        others.write_text("kept")
        raise KeyboardInterrupt


def test_parents_made_for_it_go_again_but_for_what_others_put_there(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "a" / "b" / "target"
    with pytest.raises(KeyboardInterrupt):
        fill_until_interrupted(target, others=target.parent.parent / "theirs")
    left = [tmp_path / "there", tmp_path / "there" / "a", tmp_path / "there" / "a" / "theirs"]
    assert list(tmp_path.rglob("*")) == left
