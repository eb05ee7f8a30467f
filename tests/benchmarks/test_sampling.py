"""The benchmark's command runs and says what it promises to; how fast is not a test's business."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_the_last_line_is_the_document(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.sampling", "--quick", "--model", str(tiny_model)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(ended.stdout.splitlines()[-1])
    assert report["quick"] is True
    assert report["model"] == "tiny"
    assert report["peer_images_per_s"] > 0
    assert report["peer_compiled_images_per_s"] is None, "that takes a minute: not in a quick run"
    assert report["fp32"]["images_per_s"] > 0
    assert report["fp32"]["pixels_equal"] > 0.99
    assert report["fp32"]["max_level_diff"] <= 1
    assert set(report["best"]) >= {
        *("precision", "mode", "images_per_s", "ratio", "ratio_same_precision")
    }
    assert set(report["breakdown_ms"]) >= {"step", "unet", "noise", "update", "rest"}
