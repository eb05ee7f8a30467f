"""A report for people: Markdown, and one PNG page with images and curves."""

from pathlib import Path
from typing import Any

import matplotlib
import torch

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from torch import Tensor

from models.evaluation.measure import Neighbours, floor_of
from models.pixels import grid

GRID_IMAGES, PAIRS = 100, 16
CLOSEST = "the closest to a training image, each with it"
GENERATED, REAL = "#0b6e4f", "#5b5b8c"


def markdown(report: dict[str, Any]) -> str:
    """The figures as nested tables, one for each part of the report."""
    lines = [f"# {report['model']}", "", "![the page](page.png)", ""]
    plain = {key: value for key, value in report.items() if not isinstance(value, dict)}
    for title, part in [("What was measured", plain)] + [
        (key, value) for key, value in report.items() if isinstance(value, dict)
    ]:
        lines += [f"## {title.replace('_', ' ')}", "", "| | |", "|---|---|"]
        rows = _floors(part) if title == "floors" else part
        lines += [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in rows.items()]
        lines.append("")
    return "\n".join(lines)


def _floors(part: dict[str, Any]) -> dict[str, str]:
    """Each with the sizes of the two sets that it is of."""
    return {
        name: f"{_cell(part[name])} ({first:,} against {second:,} images)"
        for name, (first, second) in part["images"].items()
    }


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(each)}" for key, each in value.items())
    if isinstance(value, list):
        return " ... ".join(map(_cell, value))
    return str(value)


def draw_page(
    path: Path, report: dict[str, Any], generated: Tensor, train: Tensor, near: Neighbours
) -> None:
    """The first hundred images, the closest to the training set beside what they are close to,
    how often each class came up, and how far images lie from the training set."""
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 10), layout="constrained")
    first = generated[:GRID_IMAGES]
    _picture(axes[0, 0], grid(first), f"the first {len(first)}")
    closest = near.of_generated.argsort()[:PAIRS]
    pairs = [side for i in closest for side in (generated[i], train[near.places[i]])]
    _picture(axes[0, 1], grid(torch.stack(pairs), columns=8), CLOSEST)
    _distances(axes[1, 0], near)
    _classes(axes[1, 1], report.get("classes"))
    figure.suptitle(f"{report['model']}: {report['how']}, N = {report['n']}\n{fids(report)}")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def fids(report: dict[str, Any]) -> str:
    """Both in a line, each with what real images have in the place of these."""
    train, of_train = floor_of("fid_train", report["floors"])
    test, of_test = floor_of("fid_test", report["floors"])
    found = report["distances"]
    return (
        f"FID to training images {_with_error('fid_train', found)} "
        f"({of_train:,} real ones {train:.2g}), "
        f"to test images {_with_error('fid_test', found)} ({of_test:,} real ones {test:.2g})"
    )


def _with_error(fid: str, found: dict[str, Any]) -> str:
    return f"{found[fid]:.3g} ± {found[f'{fid}_standard_error']:.2g}"


def _picture(axes: Axes, sheet: Tensor, title: str) -> None:
    shown = sheet.permute(1, 2, 0).squeeze(-1).numpy()
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title)
    axes.axis("off")


def _distances(axes: Axes, near: Neighbours) -> None:
    for values, label, color in (
        (near.of_generated, "generated", GENERATED),
        (near.of_test, "test", REAL),
    ):
        ordered = values.sort().values
        axes.plot(
            ordered, [i / len(ordered) for i in range(len(ordered))], color=color, label=label
        )
    image = "training image, mirrored or not" if near.mirrored else "training image"
    axes.set(xlabel=f"pixel distance to the nearest {image}", ylabel="share of images")
    axes.legend()


def _classes(axes: Axes, classes: dict[str, Any] | None) -> None:
    if classes is None:
        axes.axis("off")
        return
    shares = classes["shares"]
    axes.barh(list(shares), list(shares.values()), color=GENERATED)
    axes.axvline(1.0 / len(shares), color=REAL)
    axes.invert_yaxis()
    axes.set(xlabel="share of images, as the classifier sees them")
