"""Every kind of blow once, and nothing lost, doubled, mixed up or left behind."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from chaos.drive import run
from chaos.plan import Blow, draw

SEED = 20


@pytest.mark.timeout(600)
def test_whatever_dies_every_accepted_job_ends_once_with_its_own_images(tiny_model: Path) -> None:
    plan = draw(SEED, jobs=26, strikes=len(Blow), workers=2, longest_s=1.0)
    with TemporaryDirectory(prefix="chaos-") as folder:  # short: a socket's path is
        outcome = run(plan, folder=Path(folder), model=tiny_model)
    assert outcome.findings == []
    assert outcome.report["states"]["succeeded"] > 26
    assert outcome.report["starts"]["redis"] >= 2, "it was killed"
