"""Whether the last class embedding is for "none": ours is, most of diffusers' is not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bits_per_dim import main as bits_per_dim
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.diffusers_config import CheckpointError
from models.evaluation.drawing import Drawing, Recipe
from models.fine_tuning import begin_with
from models.sampling_net import SamplingNet
from models.schedule import linear_schedule
from models.train_config import read_config
from tests.models.runs import tiny_run, trainer_of
from tests.models.test_train_config import TOML
from tests.models.tiny import FASHION, tiny_net

KINDS = ("a", "b", "c", "d")


def with_labels(folder: Path, labels: tuple[str, ...]) -> Checkpoint:
    """A network of four class embeddings, whose card names so many."""
    net, card = tiny_net(num_class_embeds=4), {"labels": list(labels)} if labels else None
    save_checkpoint(folder, net.config, net.state_dict(), linear_schedule(4), card=card)
    return load_checkpoint(folder)


@pytest.fixture
def by_class_alone(tmp_path: Path) -> Checkpoint:
    return with_labels(tmp_path / "theirs", KINDS)


def test_a_card_that_names_every_embedding_says_that_none_is_for_none(
    tmp_path: Path, by_class_alone: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    assert by_class_alone.net.config.classes == 4
    assert not caplog.messages
    own = with_labels(tmp_path / "ours", KINDS[:3])
    assert own.net.config.classes == 3
    assert not caplog.messages
    assert own.digest == by_class_alone.digest, "an image of a label is the same either way"


@pytest.mark.parametrize("labels", [(), KINDS[:2]], ids=["no card", "a card of fewer"])
def test_where_the_card_does_not_tell_the_last_is_taken_for_none_and_one_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, labels: tuple[str, ...]
) -> None:
    assert with_labels(tmp_path, labels).net.config.classes == 3
    assert caplog.messages == [
        f'{tmp_path / "model_card.json"}: the last of 4 class embeddings is taken for "none"; '
        "if it is a class like the others, name all 4 as its labels"
    ]


def test_without_a_class_for_none_every_row_needs_a_label(by_class_alone: Checkpoint) -> None:
    net = SamplingNet(by_class_alone.net, 4, device="cpu")
    x, t, last = torch.randn(2, *net.shape), torch.tensor([0, 3]), torch.tensor([3, 3])
    with torch.no_grad():
        assert torch.allclose(net(x, t, last), by_class_alone.net(x, t, last), atol=1e-5)
    with pytest.raises(ValueError, match='has no class for "none": every image needs a label'):
        net(x, t)


def test_all_classes_are_drawn_in_turn_but_not_guided(
    tmp_path: Path, by_class_alone: Checkpoint
) -> None:
    drawing = Drawing(tmp_path / "drawn", by_class_alone, Recipe(steps=2))
    assert drawing.labels(5) is not None
    asked = drawing.labels(5)
    assert asked is not None
    assert asked.tolist() == [0, 1, 2, 3, 0]
    drawing.images(4, batch=4, device="cpu")
    guided = Drawing(tmp_path / "guided", by_class_alone, Recipe(steps=2, guidance=2.0))
    with pytest.raises(ValueError, match="guidance 1"):
        guided.images(4, batch=4, device="cpu")


def test_bits_per_dim_of_images_without_labels_are_refused(
    tmp_path: Path, by_class_alone: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.load(FASHION)["images"][:4, 10:18, 10:18]
    np.savez(tmp_path / "plain.npz", images=images)
    np.savez(tmp_path / "labelled.npz", images=images, labels=np.array([0, 1, 2, 3]))
    arguments = [str(tmp_path / "theirs"), "--split", "train", "--device", "cpu", "--data"]
    assert bits_per_dim([*arguments, str(tmp_path / "plain.npz")]) == 2
    assert 'no class for "none"' in capsys.readouterr().err
    assert bits_per_dim([*arguments, str(tmp_path / "labelled.npz")]) == 0


@pytest.mark.parametrize("labels", [(), KINDS[:3]], ids=["without classes", "with none"])
def test_a_run_that_needs_its_none_is_not_started_from_it(
    by_class_alone: Checkpoint, labels: tuple[str, ...]
) -> None:
    network = {"num_class_embeds": 4} if labels else {}
    with pytest.raises(CheckpointError, match="^start_from: none_class: False, but the run's True"):
        begin_with(trainer_of(tiny_run(network=network, labels=labels)), by_class_alone)


def test_a_run_always_has_a_class_for_none(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(TOML.replace("sample_size", "none_class = false\nsample_size"))
    with pytest.raises(ValueError, match="none_class"):
        read_config(str(path))
