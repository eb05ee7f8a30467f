"""What the audit says of reports as pip-audit writes them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools import audit
from tools.audit import Broken, asked, open_findings, told

BAD = {"name": "leaky", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
GOOD = {"name": "sound", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "rare", "skip_reason": "not found"}


def test_a_finding_is_told_with_the_version_that_mends_it() -> None:
    report = {"dependencies": [GOOD, BAD, UNKNOWN]}
    assert list(told(report)) == [
        "leaky 1.0: CVE-1; mended in 1.1",
        "2 of 3 packages were looked up",
    ]


def test_a_reviewed_finding_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(audit.REVIEWED, "CVE-1", "never called")
    assert not list(open_findings({"dependencies": [BAD]}))


def test_a_pip_audit_that_fails_is_no_network_that_is_missing(tmp_path: Path) -> None:
    broken = tmp_path / "constraints.txt"
    broken.write_text("foo>=1 ; ;\n")
    with pytest.raises(Broken, match="constraints.txt contains invalid specifier"):
        asked(broken)


def test_without_a_network_it_says_so_and_passes() -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "tools.audit"], cwd=ROOT, env=nowhere, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "not done" in done.stdout
