"""The contest of generative models: everyone learns, resumes and is judged; who wins is not ours
to test."""

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks.generative.__main__ import main, shipped_of
from benchmarks.generative.contest import Contestant, Spent, draw, train
from benchmarks.generative.ddpm import Ddpm
from benchmarks.generative.gan import Gan
from benchmarks.generative.vae import Vae
from models.checkpoint import save_checkpoint
from models.data import batches, load_images
from models.evaluation.classifier import Kind
from models.schedule import linear_schedule
from tests.models.conftest import folder as folder
from tests.models.evaluation.test_classifier import saved
from tests.models.runs import tiny_run
from tests.models.test_train_config import TOML
from tests.models.tiny import FASHION, tiny_config, tiny_net

SHAPE = (1, 8, 8)
MAKERS: dict[str, Callable[[], Contestant]] = {
    "gan": lambda: Gan(SHAPE, seed=0, device="cpu"),
    "vae": lambda: Vae(SHAPE, seed=0, device="cpu"),
    "ddpm": lambda: Ddpm(tiny_run(), steps=2, device="cpu"),
}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return load_images(FASHION)[:, :, 10:18, 10:18]


def stepped(contestant: Contestant, images: Tensor, steps: int, start: int = 0) -> Contestant:
    stream = batches(images, batch=contestant.batch, start=start, seed=0)
    for i in range(start, start + steps):
        contestant.step(next(stream), images_seen=i * contestant.batch)
    return contestant


@pytest.mark.parametrize("name", MAKERS)
def test_a_contestant_goes_on_from_its_state_to_the_bit(name: str, images: Tensor) -> None:
    whole = stepped(MAKERS[name](), images, 4)
    half, resumed = stepped(MAKERS[name](), images, 2), MAKERS[name]()
    resumed.load_state_dict(half.state_dict())
    stepped(resumed, images, 2, start=2)
    indices = list(range(4))
    assert torch.equal(whole.draw(indices), resumed.draw(indices))
    assert not torch.equal(whole.draw(indices), half.draw(indices))


@pytest.mark.parametrize("name", MAKERS)
def test_an_image_is_drawn_by_its_index_whatever_its_batch(name: str, images: Tensor) -> None:
    contestant = stepped(MAKERS[name](), images, 1)
    many, one = contestant.draw([5, 6, 7]), contestant.draw([7])
    assert (many.shape, many.dtype) == ((3, *SHAPE), torch.uint8)
    assert (many[2].int() - one[0].int()).abs().max() <= 1
    assert not torch.equal(many[0], many[1])


def spoiled(state: Any) -> Any:
    """The same state, all of it NaN."""
    if isinstance(state, dict):
        return {key: spoiled(value) for key, value in state.items()}
    floats = isinstance(state, Tensor) and state.is_floating_point()
    return torch.full_like(state, torch.nan) if floats else state


@pytest.mark.parametrize("name", MAKERS)
def test_who_has_come_to_nothing_but_nan_draws_no_image(name: str, images: Tensor) -> None:
    contestant = stepped(MAKERS[name](), images, 1)
    contestant.load_state_dict(spoiled(contestant.state_dict()))
    with pytest.raises(ValueError, match="image 5: not finite"):
        contestant.draw([5, 6])


def test_the_vae_goes_down_its_bound(images: Tensor) -> None:
    vae, x = Vae(SHAPE, seed=0, device="cpu"), images[:128].float() / 255.0
    before = float(vae.loss(x).detach())
    stepped(vae, images, 40)
    assert float(vae.loss(x).detach()) < 0.93 * before


def test_the_discriminator_learns_to_tell_and_the_generator_moves(images: Tensor) -> None:
    gan = Gan(SHAPE, seed=0, device="cpu")
    before = gan.draw([0, 1])
    stepped(gan, images, 8)
    real = gan.discriminator(images[:64].float() / 127.5 - 1.0).mean()
    noise = gan.discriminator(torch.randn(64, *SHAPE).clamp(-1, 1)).mean()
    assert float(real.detach()) > float(noise.detach())
    assert not torch.equal(before, gan.draw([0, 1]))


class Counts:
    """Learns nothing; remembers what it was shown."""

    batch, parameters = 8, 0

    def __init__(self, stop_after: int = 10**9) -> None:
        self.seen = list[int]()
        self._stop_after = stop_after

    def step(self, pixels: Tensor, *, images_seen: int) -> None:
        if len(self.seen) == self._stop_after:
            raise KeyboardInterrupt
        assert images_seen == 8 * len(self.seen)
        self.seen.append(int(pixels.sum()))

    def draw(self, indices: list[int]) -> Tensor:
        if self._stop_after <= indices[0]:
            raise KeyboardInterrupt
        return torch.tensor(indices, dtype=torch.uint8).reshape(-1, 1, 1, 1)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


def test_training_ends_with_its_seconds_and_goes_on_for_more(
    images: Tensor, tmp_path: Path
) -> None:
    first, second = Counts(), Counts()
    spent = train(first, images, tmp_path, seconds=0.05)
    assert spent.seconds >= 0.05
    assert spent.images == 8 * len(first.seen)
    assert train(Counts(), images, tmp_path, seconds=0.05) == spent, "that was all"
    more = train(second, images, tmp_path, seconds=spent.seconds + 0.05)
    assert more.images > spent.images
    assert second.seen[: len(first.seen)] == first.seen
    stream = batches(images, batch=8, start=0, seed=0)
    assert second.seen == [int(next(stream).sum()) for _ in second.seen]


def test_drawing_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        draw(Counts(stop_after=100), tmp_path, 120, images_seen=0)
    kept = sorted(path.name for path in (tmp_path / "drawn-0").iterdir())
    assert kept == ["000000.npy", "000050.npy"]
    whole = draw(Counts(), tmp_path, 120, images_seen=0)
    assert whole.flatten().tolist() == list(range(120))
    assert sorted(p.name for p in (tmp_path / "drawn-0").iterdir())[:2] == kept


@pytest.fixture
def arguments(tmp_path: Path, images: Tensor) -> list[str]:
    np.savez(tmp_path / "train.npz", images=images[:256].numpy())
    np.savez(tmp_path / "test.npz", images=images[256:320].numpy())
    (tmp_path / "tiny.toml").write_text(TOML)
    saved(tmp_path / "judge", Kind(1, ("a", "b", "c")))
    return [
        *("--data", str(tmp_path / "train.npz"), "--test", str(tmp_path / "test.npz")),
        *("--config", str(tmp_path / "tiny.toml"), "--extractor", str(tmp_path / "judge")),
        *("--out", str(tmp_path / "out"), "--seconds", "0.2", "--n", "60", "--steps", "2"),
        *("--device", "cpu"),
    ]


def test_the_last_line_is_the_report_and_the_same_again_on_a_second_run(
    arguments: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*arguments, "--shipped", str(folder)]
    assert main(given) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    rows = {row["key"]: row for row in report["contestants"]}
    assert list(rows) == ["gan", "vae", "ddpm", "shipped"]
    for key, row in rows.items():
        assert row["fid_test"] > report["floors"]["fid_train_against_n_test"], key
        assert sum(row["classes"]["shares"].values()) == pytest.approx(1.0)
        assert row["n_pairs"] == 60
    assert all(rows[key]["training_s"] >= 0.2 for key in ("gan", "vae", "ddpm"))
    told = (tmp_path / "out" / "report.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in told[2:]] == [
        *("DCGAN", "VAE", "DDPM", "DDPM, as it ships", "real images")
    ]
    assert len({line.count("|") for line in told}) == 1, "every row has every column"
    with Image.open(tmp_path / "out" / "grids.png") as picture:
        assert picture.width > 3 * picture.height
    assert main(given) == 0
    again = json.loads(capsys.readouterr().out)
    for before, after in zip(report["contestants"], again["contestants"], strict=True):
        assert {**before, "draw_s": 0} == {**after, "draw_s": 0}, "nothing was trained or drawn"


@pytest.mark.parametrize(
    ("card", "spent"),
    [
        ({"images_seen": 8, "training_s": 2}, Spent(8, 2)),
        (
            {"images_seen": 8, "training_s": 2, "images_in_all": 99, "training_s_in_all": 30},
            Spent(99, 30),
        ),
        ({}, Spent(0, 0)),
    ],
    ids=str,
)
def test_what_ships_counts_with_all_it_has_learned_from(
    tmp_path: Path, card: dict[str, int], spent: Spent
) -> None:
    net = tiny_net().state_dict()
    save_checkpoint(tmp_path, tiny_config(), net, linear_schedule(), card=card)
    found = shipped_of((1, 8, 8), Namespace(shipped=tmp_path, steps=2, device="cpu"))
    assert found is not None
    assert found[1] == spent


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--n", "3"], "--n: needs 4 images"),
        (["--data", "nowhere.npz"], "nowhere.npz: no such file"),
        (["--test", str(FASHION)], "--test: images of (1, 28, 28), not (1, 8, 8)"),
        (["--config", "fashion-mnist"], "--config: fashion-mnist is not for images of (1, 8, 8)"),
        (["--shipped", "nowhere"], "nowhere"),
        (["--device", "bogus"], "--device: bogus: "),
        (["--seconds", "nan"], "--seconds: must be a finite number"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_one_line_before_any_training(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    message: str,
) -> None:
    assert main([*arguments, "--no-shipped", *changes]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_judge_of_other_images_is_refused_before_any_training(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "colours", Kind(3, ("a", "b")))
    assert main([*arguments, "--no-shipped", "--extractor", str(tmp_path / "colours")]) == 2
    assert "colours reads 3 channels, not 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_contest_is_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "contest.json").write_text("{}")
    assert main([*arguments, "--no-shipped"]) == 2
    assert "holds another contest; choose another --out" in capsys.readouterr().err
