"""Draw the losses of runs, one after another, over the hours of speech heard."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from models.tiny_en.folders import WORK

PICTURE = Path(__file__).parents[2] / "docs" / "tiny-en-curve.png"


def main() -> None:
    """Read the curves and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--run", nargs="+", default=["run"], help="names of the runs' folders")
    parser.add_argument("--title", default="tiny-en", help="what the picture shows")
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args()
    points: list[dict[str, Any]] = []
    for run in options.run:
        curve = options.work / run / "curve.jsonl"
        if not curve.is_file():
            parser.error(f"no {curve}")
        points += later(points, curve.read_text())
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=100)
    for key, label in (("ctc", "CTC"), ("tdt", "TDT")):
        some = [p for p in points if p[key]]
        axes.plot([p["hours"] for p in some], [p[key] for p in some], label=label, linewidth=1)
    axes.set_xlabel("hours of augmented speech heard")
    axes.set_ylabel("training loss per token (nats)")
    axes.set_ylim(0, 5)
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_title(options.title)
    figure.tight_layout()
    figure.savefig(options.out)


def later(before: list[dict[str, Any]], curve: str) -> list[dict[str, Any]]:
    """Read a curve; where it counts its hours anew, they follow upon those before."""
    # A resumed run repeats the steps since its last checkpoint: the later line counts.
    points = list({p["step"]: p for p in map(json.loads, curve.splitlines())}.values())
    last = before[-1]["hours"] if before else 0.0
    more = last if points and points[0]["hours"] < last else 0.0
    return [p | {"hours": p["hours"] + more} for p in points]


if __name__ == "__main__":
    main()
