"""Draw the losses of a run over the hours of speech heard."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from models.tiny_en.folders import WORK

PICTURE = Path(__file__).parents[2] / "docs" / "tiny-en-curve.png"


def main() -> None:
    """Read the curve of a run and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--run", default="run")
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args()
    lines = (options.work / options.run / "curve.jsonl").read_text().splitlines()
    # A resumed run repeats the steps since its last checkpoint: the later line counts.
    points = list({p["step"]: p for p in map(json.loads, lines)}.values())
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=100)
    for key, label in (("ctc", "CTC"), ("tdt", "TDT")):
        some = [p for p in points if p[key]]
        axes.plot([p["hours"] for p in some], [p[key] for p in some], label=label, linewidth=1)
    axes.set_xlabel("hours of augmented speech heard")
    axes.set_ylabel("training loss per token (nats)")
    axes.set_ylim(0, 5)
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_title(
        "tiny-en: the second to the fourth training run, from the checkpoint of the first"
    )
    figure.tight_layout()
    figure.savefig(options.out)


if __name__ == "__main__":
    main()
