"""`python -m models.evaluate`, whole, on a tiny network and few images."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models import accuracy_score
from models.bits_per_dim import likelihood
from models.checkpoint import load_checkpoint, save_checkpoint
from models.data import load_images, load_labels
from models.evaluate import main
from models.evaluation.classifier import Kind, accuracy, classify, load_classifier
from models.evaluation.measure import histogram
from models.evaluation.page import fids
from models.fair_order import shuffled
from models.plan import REVISION
from models.schedule import linear_schedule
from tests.models.evaluation.test_classifier import saved
from tests.models.evaluation.test_extractor import Overflows, Silent, scripted
from tests.models.tiny import tiny_config, tiny_net

KINDS = ("a", "b", "c")


@dataclass
class Evaluation:
    """The command's arguments, and what it leaves in its folder."""

    arguments: dict[str, str]
    out: Path

    def run(self, model: Path, **changes: str) -> int:
        given = (self.arguments | changes).items()
        return main([str(model), *(part for name, value in given for part in (f"--{name}", value))])

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.out / "report.json").read_text()))


@pytest.fixture
def evaluation(tmp_path: Path, garments: Tensor) -> Evaluation:
    for name, images in (("train", garments[:200]), ("test", garments[200:260])):
        np.savez(tmp_path / f"{name}.npz", images=images.numpy())
    saved(tmp_path / "judge", Kind(1, KINDS))
    return Evaluation(
        {
            "data": str(tmp_path / "train.npz"),
            "test": str(tmp_path / "test.npz"),
            "out": str(tmp_path / "out"),
            "extractor": str(tmp_path / "judge"),
            "n": "24",
            "steps": "3",
            "batch": "10",
            "device": "cpu",
        },
        tmp_path / "out",
    )


def by_class(folder: Path, labels: tuple[str, ...]) -> Path:
    save_checkpoint(
        folder,
        tiny_config(num_class_embeds=4),
        tiny_net(num_class_embeds=4).state_dict(),
        linear_schedule(),
        card={"name": "kinds", "labels": list(labels)},
    )
    return folder


def test_a_run_leaves_report_page_and_images(
    evaluation: Evaluation, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluation.run(folder) == 0
    report = evaluation.report
    assert json.loads(capsys.readouterr().out) == report, "stdout is the report alone"
    assert (report["model"], report["n"], report["how"]) == ("tiny", 24, "ddim, 3 steps")
    assert report["rounding"] == "round(clamp(x/2 + 0.5, 0, 1) * 255)"
    assert report["recipe"]["seed"] == 0
    used = [report["recipe"][key] for key in ("spacing", "clip", "variance", "revision")]
    assert used == ["leading", 1.0, None, REVISION]
    assert report["extractor"]["name"] == "judge"
    assert len(report["extractor"]["sha256"]) == len(report["weights_sha256"]) == 64
    assert (report["extractor"]["features"], report["extractor"]["test_accuracy"]) == (64, 0.5)
    assert report["distances"]["fid_test"] > report["floors"]["fid_train_against_n_test"]
    assert sum(report["classes"]["shares"].values()) == pytest.approx(1.0)
    assert "as_asked" not in report["classes"]
    real = report["classes"]["real"]
    assert (real["images"], real["by_class"]) == (24, False)
    assert sum(real["shares"].values()) == pytest.approx(1.0)
    assert isinstance(report["classes"]["p"], float)
    assert "bits_per_dim" not in report
    assert load_images(evaluation.out / "images.npz").shape == (24, 1, 8, 8)
    provenance = accuracy_score.provenance(evaluation.out / "images.npz")
    assert provenance["images_sha256"] == report["images_sha256"]
    assert provenance["drawn_by"] == {
        key: report[key] for key in ("model", "weights_sha256", "recipe")
    }
    with Image.open(evaluation.out / "page.png") as page:
        assert page.size == (1210, 1100)
    told = (evaluation.out / "report.md").read_text()
    assert told.startswith("# tiny\n")
    assert report["extractor"]["sha256"] in told
    assert f"{report['distances']['fid_test']:.4g}" in told
    floor = report["floors"]["fid_n_train_against_test"]
    assert f"| fid n train against test | {floor:.4g} (24 against 60 images) |" in told
    assert f"(24 real ones {floor:.2g})" in fids(report)
    assert f"chi_squared {real['chi_squared']:.4g}" in told


def test_floors_of_fewer_images_than_were_drawn_say_so(
    evaluation: Evaluation, folder: Path
) -> None:
    assert evaluation.run(folder, n="70") == 0
    floor = evaluation.report["floors"]["fid_train_against_n_test"]
    told = (evaluation.out / "report.md").read_text()
    assert f"| fid train against n test | {floor:.4g} (200 against 60 images) |" in told
    assert f"(60 real ones {floor:.2g})" in fids(evaluation.report)


def test_held_out_images_may_come_sorted(
    evaluation: Evaluation, folder: Path, tmp_path: Path, garments: Tensor
) -> None:
    found = {}
    for order in ("as they come", "sorted"):
        images = garments[:260]
        if order == "sorted":  # dark garments first
            images = images[images.flatten(1).double().mean(dim=1).argsort()]
        np.savez(tmp_path / "test.npz", images=images.numpy())
        assert evaluation.run(folder) == 0
        found[order] = evaluation.report["floors"]
    by_chance, ordered = found["as they come"], found["sorted"]
    assert ordered["fid_train_against_n_test"] < 3 * by_chance["fid_train_against_n_test"]
    assert ordered["precision_n_train"] > 0.8


@pytest.mark.parametrize(
    ("card", "mirrored"),
    [
        ({"config": {"flip": True}}, True),
        ({"config": {"flip": False}}, False),
        ({"config": "no object"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_mirrored_copies_are_looked_for_where_the_card_says_that_training_mirrored(
    evaluation: Evaluation, tmp_path: Path, card: dict[str, Any], mirrored: bool
) -> None:
    model = tmp_path / "model"
    save_checkpoint(model, tiny_config(), tiny_net().state_dict(), linear_schedule(), card=card)
    assert evaluation.run(model) == 0
    assert evaluation.report["nearest_in_training_set"]["mirrored_too"] is mirrored
    assert f"| mirrored too | {mirrored} |" in (evaluation.out / "report.md").read_text()


def test_a_second_run_draws_nothing_and_finds_the_same(
    evaluation: Evaluation, folder: Path
) -> None:
    evaluation.run(folder)
    report = evaluation.report
    times = {p.name: p.stat().st_mtime_ns for p in (evaluation.out / "drawn").glob("*.npy")}
    assert evaluation.run(folder) == 0
    assert evaluation.report == report
    assert times == {p.name: p.stat().st_mtime_ns for p in (evaluation.out / "drawn").glob("*.npy")}


def test_features_that_were_kept_change_nothing(
    evaluation: Evaluation, folder: Path, tmp_path: Path
) -> None:
    evaluation.run(folder)
    report = evaluation.report
    for _ in range(2):
        assert evaluation.run(folder, features=str(tmp_path / "features")) == 0
        assert evaluation.report == report
    assert len(list((tmp_path / "features").iterdir())) == 2, "training images, test images"


def test_bits_per_dim_come_with_it_where_asked(evaluation: Evaluation, folder: Path) -> None:
    assert evaluation.run(folder, **{"bits-per-dim": "4", "timesteps": "5"}) == 0
    found = evaluation.report["bits_per_dim"]
    assert (found["images"], found["timesteps"]) == (4, 5)
    assert found["total"] > 0.0
    assert found["classes"] == "none"


@pytest.mark.parametrize(("labels", "classes"), [(True, "of the data"), (False, "none")])
def test_bits_per_dim_are_by_class_where_model_and_data_know_them(
    evaluation: Evaluation, tmp_path: Path, garments: Tensor, labels: bool, classes: str
) -> None:
    told: dict[str, Any] = {"labels": np.arange(60) % 3} if labels else {}
    np.savez(tmp_path / "test.npz", images=garments[200:260].numpy(), **told)
    model = by_class(tmp_path / "kinds", KINDS)
    assert evaluation.run(model, **{"bits-per-dim": "4", "timesteps": "5"}) == 0
    expected = likelihood(
        load_checkpoint(model),
        shuffled(garments[200:260], 4),
        labels=shuffled(torch.arange(60) % 3, 4) if labels else None,
        timesteps=5,
    )
    assert evaluation.report["bits_per_dim"] == asdict(expected)
    assert expected.classes == classes


def test_the_bits_of_one_image_have_no_scatter_and_make_no_nan(
    evaluation: Evaluation, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluation.run(folder, **{"bits-per-dim": "1", "timesteps": "5"}) == 0
    assert evaluation.report["bits_per_dim"]["standard_error"] is None
    for text in (capsys.readouterr().out, (evaluation.out / "report.json").read_text()):
        assert "NaN" not in text


def test_images_by_class_carry_their_labels_and_are_judged_by_them(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    assert evaluation.run(by_class(tmp_path / "kinds", KINDS)) == 0
    labels = load_labels(evaluation.out / "images.npz")
    assert labels.tolist() == [i % 3 for i in range(24)]
    judge = load_classifier(Path(evaluation.arguments["extractor"])).net
    share = accuracy(judge, load_images(evaluation.out / "images.npz"), labels)
    assert evaluation.report["classes"]["as_asked"] == share
    assert evaluation.report["classes"]["p"] is None
    assert not evaluation.report["classes"]["real"]["by_class"], "no labels to take them by"


def test_images_by_class_stand_beside_as_many_real_ones_of_each(
    evaluation: Evaluation, tmp_path: Path, garments: Tensor
) -> None:
    labels = np.repeat([0, 1, 2], [40, 12, 8])
    np.savez(tmp_path / "test.npz", images=garments[200:260].numpy(), labels=labels)
    assert evaluation.run(by_class(tmp_path / "kinds", KINDS)) == 0
    judge = load_classifier(Path(evaluation.arguments["extractor"])).net
    chosen = np.concatenate(
        [np.flatnonzero(shuffled(torch.tensor(labels)) == k)[:8] for k in range(3)]
    )
    seen = classify(judge, shuffled(garments[200:260])[chosen])[1]
    real = evaluation.report["classes"]["real"]
    assert real["shares"] == histogram(seen, KINDS)["shares"]
    assert (real["images"], real["by_class"]) == (24, True)


def test_labels_of_other_classes_are_refused_where_bits_per_dim_need_them_alone(
    evaluation: Evaluation, tmp_path: Path, garments: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "test.npz", images=garments[200:260].numpy(), labels=np.arange(60) % 7)
    model = by_class(tmp_path / "kinds", KINDS)
    assert evaluation.run(model, **{"bits-per-dim": "4"}) == 2
    assert "test.npz: labels are 0 ... 6, not 3 kinds" in capsys.readouterr().err
    assert not evaluation.out.exists()
    assert evaluation.run(model) == 0
    assert evaluation.report["classes"]["real"]["by_class"] is False


def test_an_extractor_of_other_classes_is_no_judge_of_labels(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    assert evaluation.run(by_class(tmp_path / "kinds", ("c", "b", "a"))) == 0
    assert "as_asked" not in evaluation.report["classes"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": "3"}, "--n: 3 images; needs 4 at least"),
        ({"batch": "0"}, "--batch: must be positive"),
        ({"steps": "1001"}, "steps"),
        ({"timesteps": "1"}, "--timesteps: must be between 2 and 1000, got 1"),
        ({"timesteps": "1001"}, "--timesteps: must be between 2 and 1000, got 1001"),
        ({"bits-per-dim": "-1"}, "--bits-per-dim: must be 0 at least, got -1"),
        ({"device": "bogus"}, "--device: bogus: "),
        ({"device": "cuda:99"}, "--device: cuda:99: "),
        ({"guidance": "2"}, "guidance: the model knows no classes"),
        ({"data": "nowhere.npz"}, "nowhere.npz: no such file"),
        ({"extractor": "nowhere"}, "nowhere: neither a classifier's folder nor a TorchScript"),
        ({"data": "tests/data/fashion-mnist-512.npz"}, "--data: images are (1, 28, 28)"),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_drawn(
    evaluation: Evaluation,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    message: str,
) -> None:
    assert evaluation.run(folder, **changes) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not evaluation.out.exists()


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda path: saved(path, Kind(3, KINDS)), "judge.pt reads 3 channels, not 1"),
        (lambda path: scripted(path, Silent()), "judge.pt: gives no features"),
        (lambda path: scripted(path, Overflows()), "features that are not finite"),
    ],
    ids=["other channels", "no features", "not finite"],
)
def test_an_extractor_that_cannot_look_at_such_images_is_refused_before_any_is_drawn(
    evaluation: Evaluation,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    judge: Callable[[Path], object],
    message: str,
) -> None:
    judge(tmp_path / "judge.pt")
    assert evaluation.run(folder, extractor=str(tmp_path / "judge.pt")) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not evaluation.out.exists()


def test_a_network_that_draws_nan_makes_no_report(
    evaluation: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tiny_net().state_dict()
    weights["conv_out.weight"] = torch.full_like(weights["conv_out.weight"], 3e38)  # overflows
    save_checkpoint(tmp_path / "broken", tiny_config(), weights, linear_schedule())
    assert evaluation.run(tmp_path / "broken") == 2
    said = capsys.readouterr()
    assert "image 0: not finite" in said.err
    assert said.out == ""
    assert not (evaluation.out / "report.json").exists()


def test_another_recipe_wants_another_folder(
    evaluation: Evaluation, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation.run(folder)
    assert evaluation.run(folder, steps="4") == 2
    assert "choose another --out" in capsys.readouterr().err
