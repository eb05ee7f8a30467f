"""The latency-load curve as a picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter

LOOKS = {
    "denoised": ("denoised", "#0b6e4f", "o"),
    "static_batching": ("LitServe + diffusers", "#c1440e", "s"),
    "one_at_a_time": ("RQ + diffusers, one job at a time", "#5b5b8c", "^"),
}


def plot(report: dict[str, Any], path: Path) -> None:
    """Latency p50 and p95, and slowdown p95 with its interval, over the load; log scales."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    for name, (label, color, marker) in LOOKS.items():
        points = [point for point in report["loads"] if name in point["systems"]]
        loads = [point["load"] for point in points]
        found = [point["systems"][name] for point in points]
        p50, p95 = ([each[key] for each in found] for key in ("p50_s", "p95_s"))
        left.plot(loads, p50, color=color, marker=marker, label=f"{label}, p50")
        left.plot(
            loads,
            p95,
            color=color,
            marker=marker,
            mfc="white",
            linestyle="--",
            label=f"{label}, p95",
        )
        slowdown = [each["slowdown_p95"] for each in found]
        ends = [each["slowdown_p95_95ci"] for each in found]
        below = [value - low for value, (low, _) in zip(slowdown, ends, strict=True)]
        above = [high - value for value, (_, high) in zip(slowdown, ends, strict=True)]
        right.errorbar(
            loads, slowdown, (below, above), color=color, marker=marker, label=label, capsize=3
        )
    _dress(left, "latency, seconds", report)
    _dress(right, "slowdown, p95: latency over latency alone", report)
    lines, labels = left.get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(
        f"{report['model']}, {report['precision']}, {report['cores']} cores, "
        f"{report['jobs_a_point']} jobs a point"
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _dress(axes: Axes, label: str, report: dict[str, Any]) -> None:
    loads = [point["load"] for point in report["loads"]]
    axes.set_yscale("log")
    axes.set_xticks(loads, [f"{load:.0%}" for load in loads])
    axes.set_xlabel("load, of LitServe's measured capacity")
    axes.set_ylabel(label)
    axes.grid(visible=True, which="both", alpha=0.25)
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
