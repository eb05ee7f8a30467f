"""`make demo`: pictures, and nothing else left."""

import tempfile
from pathlib import Path

from PIL import Image

from tests.launch.launcher import Launcher


def test_it_writes_sixteen_images_and_a_grid_and_leaves(tmp_path: Path, tiny_model: Path) -> None:
    out, scratch = tmp_path / "out", tempfile.mkdtemp(dir="/tmp")
    with Launcher.start("launch.demo", OUT=str(out), MODEL=str(tiny_model), TMPDIR=scratch) as demo:
        assert demo.process.wait(timeout=120) == 0, "".join(demo.said)
    assert {path.name for path in out.iterdir()} == {
        *(f"{index:02}.png" for index in range(16)),
        "grid.png",
    }
    with Image.open(out / "grid.png") as grid, Image.open(out / "07.png") as image:
        assert (grid.mode, grid.size) == ("L", (4 * 8, 4 * 8))
        assert image.size == (8, 8)
    assert not list(Path(scratch).iterdir())
    Path(scratch).rmdir()


def test_a_worker_that_cannot_start_ends_it_with_its_reason(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with Launcher.start("launch.demo", OUT=str(tmp_path / "out"), MODEL=str(empty)) as demo:
        assert demo.process.wait(timeout=60) == 2
    assert any("config.json: missing" in line for line in demo.said)
