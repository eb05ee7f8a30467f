"""Known vulnerabilities in what is pinned: `python -m tools.audit`. Exit status 1: there are some,
or pip-audit does not run.

Where the database cannot be reached it says so and passes: a check must run on a train, too.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PINNED = Path(__file__).parent.parent / "requirements" / "constraints.txt"
REVIEWED: dict[str, str] = {}  # id -> why it does not reach us
PATIENCE_S = 300
UNREACHED = ("ConnectionError", "requests.exceptions.", "Max retries exceeded")  # on stderr


class Broken(Exception):
    """Why pip-audit has no report, which is not the network's doing."""


def main() -> int:
    """The command line; returns the exit status."""
    try:
        report = asked(PINNED)
    except Broken as error:
        sys.stdout.write(f"audit: pip-audit failed: {error}\n")
        return 1
    if report is None:
        sys.stdout.write("audit: not done, the database of vulnerabilities cannot be reached\n")
        return 0
    for line in told(report):
        sys.stdout.write(f"audit: {line}\n")
    return 1 if list(open_findings(report)) else 0


def asked(pinned: Path) -> dict[str, Any] | None:
    """pip-audit's report, or None where it could not ask. Raises Broken."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "-f", "json"]
    try:
        done = subprocess.run(
            [*command, "-r", str(pinned)], capture_output=True, text=True, timeout=PATIENCE_S
        )
        report: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return None
    except json.JSONDecodeError as error:
        if any(sign in done.stderr for sign in UNREACHED):
            return None
        raise Broken(" ".join(done.stderr.rpartition("ERROR:")[2].split())) from error
    return report


def open_findings(report: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Package, id and mended versions of what nobody has reviewed."""
    for package in report["dependencies"]:
        for found in package.get("vulns", ()):
            if found["id"] not in REVIEWED:
                yield f"{package['name']} {package['version']}", found["id"], found["fix_versions"]


def told(report: dict[str, Any]) -> Iterator[str]:
    """The report in lines: findings, then how much was looked at."""
    for package, name, mended in open_findings(report):
        yield f"{package}: {name}; mended in {', '.join(mended) or 'no version yet'}"
    packages = report["dependencies"]
    unknown = sum("skip_reason" in package for package in packages)
    yield f"{len(packages) - unknown} of {len(packages)} packages were looked up"


if __name__ == "__main__":
    sys.exit(main())
