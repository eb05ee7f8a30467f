"""The numerics: resolved from what is there and what is asked for, and named by a hash."""

from dataclasses import replace

import pytest
import torch

from worker.fingerprint import Mode, Precision, resolve

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def test_resolving_twice_gives_the_same_and_every_part_shows_in_the_fingerprint() -> None:
    numerics = resolve(device="cpu", threads=2, pixels=784)
    assert numerics == resolve(device="cpu", threads=2, pixels=784)
    others = [
        replace(numerics, device="cuda"),
        replace(numerics, chip="another"),
        replace(numerics, torch="0"),
        replace(numerics, threads=3),
        replace(numerics, precision="other"),
        replace(numerics, mode="other"),
        replace(numerics, chunk=5),
        replace(numerics, revision=0),
    ]
    names = {each.fingerprint("model") for each in [numerics, *others]}
    assert len(names | {numerics.fingerprint("other model")}) == 10


def test_what_was_asked_for_is_what_is_used() -> None:
    asked = resolve(device="cpu", threads=1, pixels=64, precision="float32", mode="eager", chunk=4)
    assert (asked.precision, asked.mode, asked.chunk) == ("float32", "eager", 4)


@no_gpu
@pytest.mark.parametrize(
    ("device", "precision", "mode", "says"),
    [
        ("cuda", "auto", "auto", "device: cuda was asked for"),
        ("cpu", "tf32", "auto", "precision: tf32 needs a CUDA device"),
        ("auto", "auto", "graph", "mode: graph needs a CUDA device"),
    ],
)
def test_what_is_not_there_is_refused(
    device: str, precision: Precision, mode: Mode, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        resolve(device=device, threads=1, pixels=64, precision=precision, mode=mode)


def test_without_a_compiler_nothing_is_compiled_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    assert resolve(device="cpu", threads=1, pixels=64, mode="compiled").mode == "eager"
    assert caplog.messages == ["no C++ compiler, so nothing is compiled"]
