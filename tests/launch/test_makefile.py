"""What make does by itself, before there is anything of ours to run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

NO_VENV = """#!/bin/sh
# Debian's Python without python3-venv: it links itself, finds no ensurepip, and gives up.
mkdir -p .venv/bin && touch .venv/bin/python && exit 1
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of one as the targets here need."""
    for name in ("Makefile", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(checkout: Path, *words: str) -> int:
    """Its exit status."""
    return subprocess.run(["make", *words], cwd=checkout, check=False).returncode


def test_secrets_need_no_python_and_are_made_once(checkout: Path) -> None:
    password = checkout / "secrets" / "redis-password"
    assert make(checkout, "secrets", "PYTHON=") == 0
    first = password.read_text()
    assert re.fullmatch(r"[0-9a-f]{64}\n", first)
    assert (checkout / ".env").read_text() == (ROOT / ".env.example").read_text()
    assert make(checkout, "secrets", "PYTHON=") == 0
    assert password.read_text() == first
    assert list(password.parent.iterdir()) == [password]


def test_a_password_is_for_all_who_may_enter_its_folder(checkout: Path) -> None:
    assert make(checkout, "secrets") == 0
    assert (checkout / "secrets").stat().st_mode & 0o777 == 0o700
    assert (checkout / "secrets" / "redis-password").stat().st_mode & 0o777 == 0o644


def test_an_empty_password_is_none(checkout: Path) -> None:
    password = checkout / "secrets" / "redis-password"
    password.parent.mkdir()
    password.touch()
    assert make(checkout, "secrets") == 0
    assert re.fullmatch(r"[0-9a-f]{64}\n", password.read_text())


def test_where_no_password_can_be_made_there_is_none(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`od` is not on PATH."""
    programs = checkout / "bin"
    programs.mkdir()
    for name in ("sh", "make", "cp", "mkdir", "tr", "grep", "mv", "chmod"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    for _ in range(2):
        assert make(checkout, "secrets") != 0
    assert not (checkout / "secrets" / "redis-password").exists()


def test_a_virtual_environment_that_could_not_be_made_is_not_left_half(checkout: Path) -> None:
    python = checkout / "python"
    python.write_text(NO_VENV)
    python.chmod(0o755)
    assert make(checkout, ".venv/bin/python", f"PYTHON={python}") != 0
    assert not (checkout / ".venv").exists()
