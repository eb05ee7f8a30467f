"""The table of the contest, and what committed reports say of real images."""

import json
from pathlib import Path

import pytest

from benchmarks.generative.report import table
from models.evaluation.measure import floors
from tests.models.evaluation.test_measure import images as of_noise

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
REPORTS = [*RESULTS.glob("evaluation-*.json"), *RESULTS.glob("generative-*.json")]
FLOORS = ("fid_train_against_n_test", "fid_n_train_against_test")


def floor_cells(n: int) -> dict[str, str]:
    """The last row by its columns, and what they may hold; of 300 training and 100 test images."""
    found = floors(of_noise(300, 0), of_noise(100, 1), n)
    head, *_, last = table({"n": n, "floors": found, "contestants": []}).splitlines()
    row = zip(*([cell.strip() for cell in line.split("|")] for line in (head, last)), strict=True)
    return dict(row) | {name: f"{found[name]:.2f}" for name in FLOORS}


def test_floors_stand_in_the_columns_whose_figures_they_bound() -> None:
    cells = floor_cells(40)
    assert cells["FID, test"] == cells["fid_n_train_against_test"]
    assert cells["FID, train"] == cells["fid_train_against_n_test"]
    assert cells["FID, test"] != cells["FID, train"]


def test_a_floor_of_fewer_images_than_were_drawn_says_so() -> None:
    cells = floor_cells(200)
    assert cells["FID, test"] == cells["fid_n_train_against_test"]
    assert cells["FID, train"] == cells["fid_train_against_n_test"] + " (of 100)"


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_committed_reports_have_the_floors_of_today(path: Path) -> None:
    found = json.loads(path.read_text())["floors"]
    assert found.keys() == floors(of_noise(300, 0), of_noise(100, 1), 40).keys()
    assert found["images"]["fid_n_train_against_test"] == [2000, 10_000]
