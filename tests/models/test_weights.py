"""Weights as others wrote them: old names, 1x1 convolutions, pickles; and what is refused."""

import os
import pickle
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.checkpoint import load_checkpoint
from models.diffusers_config import CheckpointError
from models.weights import ATTENTION_NAMES, PICKLED, parse_weights
from tests.models.folders import WEIGHTS, at_the_root, refusal
from tests.models.tiny import same

BIN = WEIGHTS.with_name(PICKLED)


def legacy(weights: dict[str, Tensor], *, trailing: int) -> dict[str, Tensor]:
    """The same weights as written years ago, linear layers as (C, C) + (1,) * trailing."""
    old = {new: name for name, new in ATTENTION_NAMES.items()}
    found = dict[str, Tensor]()
    for name, tensor in weights.items():
        for new, old_name in old.items():
            if f".{new}." in name:
                shape = (*tensor.shape, *[1] * (trailing * (tensor.ndim - 1)))
                found[name.replace(f".{new}.", f".{old_name}.")] = tensor.reshape(shape)
                break
        else:
            found[name] = tensor
    return found


def as_pickle(folder: Path, content: Any) -> None:
    torch.save(content, folder / BIN)
    (folder / WEIGHTS).unlink()


def assert_same(folder: Path, weights: dict[str, Tensor]) -> None:
    loaded = load_checkpoint(folder).net.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


@pytest.mark.parametrize("trailing", [0, 1, 2])
@pytest.mark.parametrize("pickled", [False, True])
def test_old_attention_is_todays(folder: Path, trailing: int, pickled: bool) -> None:
    weights = load_file(folder / WEIGHTS)
    old = legacy(weights, trailing=trailing)
    assert "mid_block.attentions.0.proj_attn.bias" in old
    if pickled:
        as_pickle(folder, old)
    else:
        save_file(old, folder / WEIGHTS)
    assert_same(folder, weights)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_tensors_is_read_in_either_layout(folder: Path, zipped: bool) -> None:
    weights = load_file(folder / WEIGHTS)
    as_pickle(folder, weights)
    torch.save(weights, folder / BIN, _use_new_zipfile_serialization=zipped)
    assert_same(folder, weights)
    (folder / BIN).rename(folder / WEIGHTS)
    (at_the_root(folder) / WEIGHTS.name).rename(folder / PICKLED)
    assert_same(folder, weights)


def test_safetensors_are_preferred(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    (folder / BIN).write_bytes(b"not read")
    assert_same(folder, weights)


NEVER_RUN = "not only tensors: it wants posix.system to run, and nothing in it ever is"


class Bomb:
    """What runs a command when it is unpickled by a reader that trusts it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(folder: Path, tmp_path: Path, zipped: bool) -> None:
    content = {"conv_in.weight": Bomb(tmp_path / "ran")}
    as_pickle(folder, content)
    torch.save(content, folder / BIN, _use_new_zipfile_serialization=zipped)
    assert refusal(folder) == f"{folder / BIN}: {NEVER_RUN}"
    assert not (tmp_path / "ran").exists()
    (folder / BIN).write_bytes(pickle.dumps(content, protocol=2))
    assert refusal(folder) == f"{folder / BIN}: {NEVER_RUN}"
    assert not (tmp_path / "ran").exists()


class Glutton:
    """What takes all memory, by means that the guarded reader allows."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return bytearray, (10**15,)


def test_a_pickle_that_wants_more_memory_than_there_is_is_refused(folder: Path) -> None:
    as_pickle(folder, {"conv_in.weight": Glutton()})
    assert refusal(folder) == f"{folder / BIN}: damaged, or no file of tensors"


@pytest.mark.parametrize("path", [WEIGHTS, BIN])
def test_a_pointer_to_a_file_is_called_one(folder: Path, path: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / path).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "a Git LFS pointer, not the file" in refusal(folder)


@pytest.mark.parametrize(
    "name",
    [
        "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model-00001-of-00002.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.fp16.bin",
    ],
)
def test_weights_in_parts_and_variants_are_refused_by_name(folder: Path, name: str) -> None:
    other = (folder / WEIGHTS).with_name(name)
    (folder / WEIGHTS).rename(other)
    assert refusal(folder).startswith(f"{other}: weights in several files, or of a variant, are")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_pickle_is_refused(folder: Path, kept: float, zipped: bool) -> None:
    as_pickle(folder, load_file(folder / WEIGHTS))
    weights = torch.load(folder / BIN)
    torch.save(weights, folder / BIN, _use_new_zipfile_serialization=zipped)
    whole = (folder / BIN).read_bytes()
    (folder / BIN).write_bytes(whole[: int(kept * len(whole))])
    assert refusal(folder).startswith(f"{folder / BIN}: ")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of what it half understands
@pytest.mark.parametrize("zipped", [True, False])
def test_spoiled_bytes_are_refused_in_our_own_words(tmp_path: Path, zipped: bool) -> None:
    """Whatever the reader's stack machine makes of them; in a tensor's numbers they go unseen."""
    path, dice = tmp_path / "weights.bin", random.Random(7)
    weights = {"a": torch.zeros(2), "b": torch.ones(3, 1)}
    torch.save(weights, path, _use_new_zipfile_serialization=zipped)
    whole, refused = path.read_bytes(), 0
    for _ in range(400):
        spoiled = bytearray(whole)
        spoiled[dice.randrange(len(whole))] = dice.randrange(256)
        with suppress(CheckpointError):
            parse_weights(bytes(spoiled), path)
            continue
        refused += 1
    assert refused > 40


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.zeros(2)], "expected tensors by name, found list"),
        ({"step": 5}, "'step': expected a tensor, found int"),
        ({5: torch.zeros(2)}, "5: expected a tensor's name"),
        ({"net": {"conv_in.weight": torch.zeros(2)}}, "'net': expected a tensor, found dict"),
        ({}, "does not fit its config.json"),
    ],
    ids=str,
)
def test_a_pickle_of_something_else_is_refused(folder: Path, content: Any, said: str) -> None:
    as_pickle(folder, content)
    assert f"{folder / BIN}: {said}" in refusal(folder)


SPOILED: dict[str, tuple[Tensor, str]] = {
    "nan": (torch.full((8, 1, 3, 3), torch.nan), "not all of its numbers are finite"),
    "inf": (torch.full((8, 1, 3, 3), torch.inf), "not all of its numbers are finite"),
    "beyond float32": (torch.full((8, 1, 3, 3), 1e300, dtype=torch.float64), "not all of its"),
    "int8": (torch.ones(8, 1, 3, 3, dtype=torch.int8), "not plain real numbers but int8"),
    "bool": (torch.ones(8, 1, 3, 3, dtype=torch.bool), "not plain real numbers but bool"),
    "complex": (torch.ones(8, 1, 3, 3, dtype=torch.cfloat), "not plain real numbers but complex64"),
}


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("pickled", [False, True])
def test_what_is_no_finite_real_number_is_refused(folder: Path, how: str, pickled: bool) -> None:
    tensor, said = SPOILED[how]
    weights = load_file(folder / WEIGHTS) | {"conv_in.weight": tensor}
    if pickled:
        as_pickle(folder, weights)
    else:
        save_file(weights, folder / WEIGHTS)
    path = folder / (BIN if pickled else WEIGHTS)
    assert refusal(folder).startswith(f"{path}: 'conv_in.weight': {said}")


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.eye(4).to_sparse(), "not plain real numbers but float32, sparse_coo"),
        (torch.ones(4, device="meta"), "not plain real numbers but float32, strided"),
        (torch.ones(1).expand(10**12), "larger than what the file holds of it"),
    ],
)
def test_a_pickled_tensor_without_its_numbers_is_refused(
    folder: Path, tensor: Tensor, said: str
) -> None:
    as_pickle(folder, {"conv_in.weight": tensor})
    assert refusal(folder).startswith(f"{folder / BIN}: 'conv_in.weight': {said}")


def test_an_attention_of_no_width_is_refused(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    name = "mid_block.attentions.0.to_q.weight"
    save_file(weights | {name: torch.zeros(0, 0, 1, 1)}, folder / WEIGHTS)
    assert name in refusal(folder)


def test_weights_that_lie_otherwise_in_memory_are_the_same(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    as_pickle(folder, {k: w.t().contiguous().t() if w.ndim == 2 else w for k, w in weights.items()})
    loaded = load_checkpoint(folder).net
    assert same(loaded.state_dict(), weights)
    assert all(tensor.is_contiguous() and tensor.requires_grad for tensor in loaded.parameters())


def test_a_tensor_under_its_old_and_its_new_name_is_refused(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    both = weights | legacy(weights, trailing=0)
    save_file({name: tensor.clone() for name, tensor in both.items()}, folder / WEIGHTS)
    assert "there under its old and its new name" in refusal(folder)


def test_a_convolution_that_is_none_keeps_its_shape(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    name = "mid_block.attentions.0.to_q.weight"
    wide = {name: weights[name][..., None, None].expand(-1, -1, 3, 3).contiguous()}
    save_file(weights | wide, folder / WEIGHTS)
    assert name in refusal(folder)
