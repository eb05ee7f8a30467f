"""Images drawn into a folder: a killed drawing goes on, and is not mixed with another."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.evaluation.drawing import Drawing, Recipe
from models.pixels import to_uint8
from models.plan import REVISION
from models.sample import sample
from models.samplers import SamplerName
from models.schedule import linear_schedule
from models.spacing import Spacing
from tests.models.tiny import tiny_config, tiny_net

RECIPE = Recipe(steps=3)


@pytest.fixture
def checkpoint(folder: Path) -> Checkpoint:
    return load_checkpoint(folder)


@pytest.fixture
def by_class(tmp_path: Path) -> Checkpoint:
    """Three classes and none."""
    net = tiny_net(num_class_embeds=4)
    config = tiny_config(num_class_embeds=4)
    save_checkpoint(tmp_path / "kinds", config, net.state_dict(), linear_schedule())
    return load_checkpoint(tmp_path / "kinds")


def drawn(folder: Path, checkpoint: Checkpoint, recipe: Recipe, count: int = 10) -> Tensor:
    return Drawing(folder, checkpoint, recipe).images(count, batch=4, device="cpu")


def test_image_i_is_that_of_the_plain_sampler(tmp_path: Path, checkpoint: Checkpoint) -> None:
    images = drawn(tmp_path / "d", checkpoint, RECIPE)
    alone = sample(checkpoint.net, RECIPE.plan(checkpoint), (1, 8, 8), seed=0, index=7)
    assert images.shape == (10, 1, 8, 8)
    assert (images[7].int() - to_uint8(alone).int()).abs().max() <= 1


class KilledError(Exception):
    pass


def test_a_drawing_that_was_killed_goes_on_and_ends_in_the_same_images(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    whole = drawn(tmp_path / "whole", checkpoint, RECIPE)

    def second_batch_kills(firsts: "object") -> "object":
        for first in firsts:  # type: ignore[attr-defined]
            if first == 4:
                raise KilledError
            yield first

    drawing = Drawing(tmp_path / "d", checkpoint, RECIPE)
    with pytest.raises(KilledError):
        drawing.images(10, batch=4, device="cpu", progress=second_batch_kills)  # type: ignore[arg-type]
    kept = tmp_path / "d" / "000000-000003.npy"
    before = kept.stat().st_mtime_ns
    (tmp_path / "d" / "000004-000007.part.npy").write_bytes(b"half")
    assert torch.equal(drawn(tmp_path / "d", checkpoint, RECIPE), whole)
    assert kept.stat().st_mtime_ns == before, "not drawn again"


def test_what_is_there_is_taken_as_it_is(tmp_path: Path, checkpoint: Checkpoint) -> None:
    drawn(tmp_path / "d", checkpoint, RECIPE)
    np.save(tmp_path / "d" / "000004-000007.npy", np.zeros((4, 1, 8, 8), np.uint8))
    images = drawn(tmp_path / "d", checkpoint, RECIPE)
    assert not images[4:8].any()
    assert images[:4].any()


@pytest.mark.parametrize(
    "change",
    [{"steps": 4}, {"seed": 1}, {"sampler": "ddpm"}, {"precision": "bfloat16"}],
    ids=str,
)
def test_a_folder_of_another_recipe_is_refused_and_left_alone(
    tmp_path: Path, checkpoint: Checkpoint, change: dict[str, object]
) -> None:
    drawn(tmp_path / "d", checkpoint, RECIPE, 4)
    before = (tmp_path / "d" / "recipe.json").read_text()
    with pytest.raises(ValueError, match="holds images of another recipe; choose another --out"):
        Drawing(tmp_path / "d", checkpoint, replace(RECIPE, **change))  # type: ignore[arg-type]
    assert (tmp_path / "d" / "recipe.json").read_text() == before


def test_a_folder_of_other_weights_is_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    drawn(tmp_path / "d", checkpoint, RECIPE, 4)
    with pytest.raises(ValueError, match="another recipe"):
        Drawing(tmp_path / "d", replace(checkpoint, sha256="0" * 64), RECIPE)


@pytest.mark.parametrize("forgotten", ["revision", "clip", "variance", "model"])
def test_a_folder_that_does_not_say_how_it_was_drawn_is_refused(
    tmp_path: Path, checkpoint: Checkpoint, forgotten: str
) -> None:
    drawn(tmp_path / "d", checkpoint, RECIPE, 4)
    path = tmp_path / "d" / "recipe.json"
    told = json.loads(path.read_text())
    del told[forgotten]
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="holds images of another recipe; choose another --out"):
        Drawing(tmp_path / "d", checkpoint, RECIPE)


def test_a_folder_of_other_arithmetic_is_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    drawn(tmp_path / "d", checkpoint, RECIPE, 4)
    path = tmp_path / "d" / "recipe.json"
    told = json.loads(path.read_text())
    assert told["revision"] == REVISION
    path.write_text(json.dumps(told | {"revision": REVISION - 1}))
    with pytest.raises(ValueError, match="holds images of another recipe; choose another --out"):
        Drawing(tmp_path / "d", checkpoint, RECIPE)


@pytest.mark.parametrize(
    "change",
    [{"clip": None}, {"variance": "fixed_large"}, {"prediction": "v_prediction"}],
    ids=str,
)
def test_a_checkpoint_that_is_sampled_otherwise_wants_another_folder(
    tmp_path: Path, checkpoint: Checkpoint, change: dict[str, object]
) -> None:
    drawn(tmp_path / "d", checkpoint, RECIPE, 4)
    other = replace(checkpoint, defaults=replace(checkpoint.defaults, **change))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="another recipe"):
        Drawing(tmp_path / "d", other, RECIPE)
    with pytest.raises(ValueError, match="another recipe"):
        Drawing(tmp_path / "d", replace(checkpoint, schedule=linear_schedule(end=0.03)), RECIPE)


def test_what_a_folder_says_is_what_was_used(tmp_path: Path, checkpoint: Checkpoint) -> None:
    large = replace(checkpoint, defaults=replace(checkpoint.defaults, variance="fixed_large"))
    told = {
        sampler: Drawing(tmp_path / sampler, large, Recipe(sampler, 3)).told
        for sampler in get_args(SamplerName)
    }
    keys = ("spacing", "clip", "variance")
    assert {name: tuple(each[key] for key in keys) for name, each in told.items()} == {
        "ddpm": ("leading", 1.0, "fixed_small"),  # so few steps are not drawn with fixed_large
        "ddim": ("leading", 1.0, None),
        "dpmpp-2m": ("linspace", None, None),
    }


@pytest.mark.parametrize("batch", [1, 2, 6])
def test_an_image_that_is_not_finite_is_refused_by_its_index(
    tmp_path: Path, by_class: Checkpoint, batch: int
) -> None:
    with torch.no_grad():
        by_class.net.class_embedding.weight[1] = 3e38  # finite, and overflows
    drawing = Drawing(tmp_path / "d", by_class, RECIPE)
    with pytest.raises(ValueError, match="image 1: not finite"):
        drawing.images(6, batch=batch, device="cpu")
    kept = sorted(path.name for path in (tmp_path / "d").glob("*.npy"))
    assert kept == (["000000-000000.npy"] if batch == 1 else []), "nothing that is broken"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(RECIPE, steps=2000), "steps"),
        (replace(RECIPE, guidance=2.0), "guidance: the model knows no classes"),
        (replace(RECIPE, guidance=float("nan")), "guidance: must be a finite number"),
        (replace(RECIPE, guidance=float("inf")), "guidance: must be a finite number"),
    ],
)
def test_a_recipe_that_cannot_be_followed_leaves_no_folder(
    tmp_path: Path, checkpoint: Checkpoint, recipe: Recipe, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Drawing(tmp_path / "d", checkpoint, recipe)
    assert not (tmp_path / "d").exists()


def test_classes_are_asked_for_in_turn_and_change_the_images(
    tmp_path: Path, by_class: Checkpoint
) -> None:
    drawing = Drawing(tmp_path / "d", by_class, RECIPE)
    labels = drawing.labels(5)
    assert labels is not None
    assert labels.tolist() == [0, 1, 2, 0, 1]
    images = drawing.images(5, batch=4, device="cpu")
    plan = RECIPE.plan(by_class)
    for y in (1, 2):
        alone = sample(
            lambda x, t, y=y: by_class.net(x, t, torch.tensor([y])),  # type: ignore[misc]
            plan,
            (1, 8, 8),
            seed=0,
            index=4,
        )
        off = (images[4].int() - to_uint8(alone).int()).abs().max()
        assert (off <= 1) == (y == 1)


def test_guidance_moves_away_from_no_class(tmp_path: Path, by_class: Checkpoint) -> None:
    plain, guided, again = (
        drawn(tmp_path / name, by_class, replace(RECIPE, guidance=w), 4)
        for name, w in (("a", 1.0), ("b", 3.0), ("c", 3.0))
    )
    assert not torch.equal(plain, guided)
    assert torch.equal(guided, again)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp-2m"])
def test_every_sampler_draws(tmp_path: Path, checkpoint: Checkpoint, sampler: str) -> None:
    recipe = Recipe(sampler, 4)  # type: ignore[arg-type]
    assert drawn(tmp_path / "d", checkpoint, recipe, 4).shape == (4, 1, 8, 8)
    assert json.loads((tmp_path / "d" / "recipe.json").read_text())["sampler"] == sampler


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp-2m"])
def test_a_spacing_is_the_samplers_own_or_the_one_asked_for(
    checkpoint: Checkpoint, sampler: SamplerName
) -> None:
    own = "linspace" if sampler == "dpmpp-2m" else "leading"
    tables = {
        spacing: Recipe(sampler, 3, spacing=spacing).plan(checkpoint).table
        for spacing in (None, *get_args(Spacing))
    }
    assert [s for s, table in tables.items() if np.array_equal(table, tables[None])] == [None, own]
