"""What a precision is, in every command: float32 with no TF32 in it, which torch leaves on."""

from collections.abc import Callable, Iterator

import pytest
import torch

from models.bits_per_dim import main as bits_per_dim
from models.evaluate import main as evaluate
from models.sampling_net import DTYPES, use_precision

COMMANDS = [bits_per_dim, lambda arguments: evaluate([*arguments, "--out", "/nowhere/out"])]


@pytest.fixture(autouse=True)
def switched_on() -> Iterator[None]:
    before = switched()
    switch(True, True)
    yield
    switch(*before)


def switched() -> list[bool]:
    """Of convolutions, and of products of matrices."""
    return [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]


def switch(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


@pytest.mark.parametrize("precision", DTYPES)
def test_both_switches_are_those_of_the_precision(precision: str) -> None:
    for device in ("cuda", "cuda:1"):
        use_precision(precision, device)
        assert switched() == [precision == "tf32"] * 2


@pytest.mark.parametrize("command", COMMANDS, ids=["bits_per_dim", "evaluate"])
def test_a_command_computes_float32_in_float32(
    command: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["/nowhere", "--data", "/nowhere", "--device", "cpu"]) == 2
    assert capsys.readouterr().err.startswith("/nowhere")
    assert switched() == [False, False]


@pytest.mark.parametrize("command", COMMANDS, ids=["bits_per_dim", "evaluate"])
def test_tf32_is_refused_where_there_is_none(
    command: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["/nowhere", "--data", "/nowhere", "--device", "cpu", "--precision", "tf32"]
    assert command(arguments) == 2
    assert capsys.readouterr().err == "precision: tf32 needs a CUDA device\n"
