"""The pictures of a report, as SVG. Sole importer of matplotlib."""

import io
from collections.abc import Callable, Sequence

import matplotlib as mpl

mpl.use("svg")  # before pyplot: no window, no display

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine

from parakeet_coreml.bench.figures import percentile
from parakeet_coreml.bench.findings import Finding

SIZE = (7.2, 4.0)
"""Inches."""

ROOM = ConstrainedLayoutEngine(rect=(0, 0.04, 1, 0.96))
"""Leaves a line below for when and where."""


def picture(draw: Callable[[Axes], None], title: str, x: str, y: str, note: str) -> str:
    """Return a picture, `note` in its corner; the same figures give the same bytes."""
    with plt.rc_context({"svg.hashsalt": "parakeet-coreml", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(figsize=SIZE, layout=ROOM)
        draw(axes)
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.grid(visible=True, alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize="small")
        figure.text(0.01, 0.005, note, fontsize=6, color="#475569")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(figure)
    return buffer.getvalue()


def latency_against_length(findings: Sequence[Finding], note: str) -> str:
    """Draw the decoding time of every recording over its length."""

    def draw(axes: Axes) -> None:
        for finding in findings:
            if finding.lengths:
                seconds, ms = zip(*finding.lengths, strict=True)
                axes.scatter(seconds, ms, s=10, alpha=0.6, label=_label(finding))
        axes.set_yscale("log")

    return picture(draw, "Decoding against length", "audio, s", "decoding, ms", note)


def accuracy_against_latency(findings: Sequence[Finding], note: str) -> str:
    """Draw the word error rate over the median wait after a stop, else over the decoding time."""

    def draw(axes: Axes) -> None:
        for finding in findings:
            waits = finding.stops or [ms for _, ms in finding.lengths]
            if finding.wer is None or not waits:
                continue
            value, low, high = (
                100 * n for n in (finding.wer.value, finding.wer.low, finding.wer.high)
            )
            axes.errorbar(
                percentile(waits, 0.5),
                value,
                yerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
                marker="o",
                capsize=3,
                label=_label(finding),
            )
        axes.set_ylim(bottom=0)
        axes.set_xscale("log")  # from a few ms to a model that loads

    stopped = any(finding.stops for finding in findings)
    x = "stop to done, median ms" if stopped else "decoding of a recording, median ms"
    return picture(draw, "Accuracy against latency", x, "word error rate, % (95 % interval)", note)


def distribution_of_stops(findings: Sequence[Finding], note: str) -> str:
    """Draw the share of stops that were answered within so many ms."""

    def draw(axes: Axes) -> None:
        for finding in findings:
            if finding.stops:
                waits = sorted(finding.stops)
                shares = [(i + 1) / len(waits) for i in range(len(waits))]
                axes.step(waits, shares, where="post", label=_label(finding))
        axes.set_ylim(0, 1.02)
        axes.set_xscale("log")

    return picture(draw, "Stop to done", "ms", "share of stops", note)


def _label(finding: Finding) -> str:
    """Return a variant's name; what evaluates Core ML off a Mac is marked."""
    return f"{finding.name} (evaluator)" if finding.runtime == "reference" else finding.name
