"""What was found, as a table and as a picture."""

from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from torch import Tensor

from models.evaluation.measure import floor_of
from models.pixels import grid

SHOWN = 64
HEAD = (
    "| | parameters | training, s | images seen | FID, test | FID, train | KID x 1000, 95 % "
    "| precision | recall | least frequent class | drawing, ms an image |"
)


def table(report: dict[str, Any]) -> str:
    """The contestants row by row; below them what as many real images reach in their place."""
    lines = [HEAD, "|" + "---|" * HEAD.count(" | ") + "---|"]
    lines += [_line(row) for row in report["contestants"]]
    floors = report["floors"]
    lines.append(
        f"| real images | | | | {_floor('fid_test', report)} | {_floor('fid_train', report)} "
        f"| {1e3 * floors['kid_n_train_against_n_test']:.2f} "
        f"| {floors['precision_n_train']:.3f} | {floors['recall_n_train']:.3f} | | |"
    )
    return "\n".join(lines) + "\n"


def _floor(fid: Literal["fid_train", "fid_test"], report: dict[str, Any]) -> str:
    """The value, and of how many images where there were no N."""
    value, images = floor_of(fid, report["floors"])
    return f"{value:.2f}" + (f" (of {images:,})" if images != report["n"] else "")


def _line(row: dict[str, Any]) -> str:
    low, high = (1e3 * end for end in row["kid_95ci"])
    least = f"{row['classes']['least']:.2f} of its share" if "classes" in row else ""
    return (
        f"| {row['name']} | {row['parameters']:,} | {row['training_s']:.0f} | {row['images']:,} "
        f"| {row['fid_test']:.2f} | {row['fid_train']:.2f} | {low:.2f} ... {high:.2f} "
        f"| {row['precision']:.3f} | {row['recall']:.3f} | {least} | {1e3 * row['draw_s']:.1f} |"
    )


def draw_grids(path: Path, drawn: dict[str, Tensor], titles: dict[str, str]) -> None:
    """The first images of each, nothing picked out."""
    figure, axes = pyplot.subplots(
        1, len(drawn), figsize=(4 * len(drawn), 4.3), layout="constrained", squeeze=False
    )
    for place, (name, pixels) in zip(axes[0], drawn.items(), strict=True):
        sheet = grid(pixels[:SHOWN]).permute(1, 2, 0).squeeze(-1).numpy()
        place.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        place.set_title(titles[name])
        place.axis("off")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
