"""Put what `make ab` has found into the docs: one page, and its pictures beside it.

python tests/bench/publish.py .work/ab docs
"""

import re
import sys
from pathlib import Path

PAGE = """\
# Backends compared, and what the ceremony costs

Made by `make ab` with tiny-en, whose figures say nothing about the 0.6B models. The recordings are
made by `tests/bench/build_set.py` with a voice that tiny-en was never trained on.

{bench}
## The ceremony

A resident HTTP server with the same model and decoder: at the stop the host writes a WAV file,
reads it back, encodes it in base64, posts it as JSON and parses the answer. Beside it the recorder,
stopped at the same sample of the same sound; its model is loaded while the person speaks, and
nothing of it stays between two recordings.

{ceremony}
![Stop to text](ab/ceremony.svg)

The ceremony from the stop on:

![The ceremony](ab/ceremony-waterfall.svg)

A recording from a microphone (PulseAudio's pipe source), from the key on:

![A recording](ab/microphone-waterfall.svg)
"""


def main() -> None:
    """Write docs/AB.md and docs/ab/; what was not drawn this time stays, with its own date."""
    work, docs = map(Path, sys.argv[1:])
    pictures = docs / "ab"
    pictures.mkdir(parents=True, exist_ok=True)
    drawn = sorted((*work.glob("bench/*.svg"), *work.glob("ceremony/*.svg")))
    for path in pictures.glob("bench-*.svg"):
        path.unlink()  # of backends that were not measured
    for path in drawn:
        text = path.read_text(encoding="utf-8")
        # Matplotlib leaves spaces at the ends of lines, which no file of the repository has.
        (pictures / path.name).write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))
    report = (work / "bench" / "report.md").read_text(encoding="utf-8")
    body = report.partition("\n\n")[2].replace("](bench-", "](ab/bench-")
    ceremony = (work / "ceremony" / "ceremony.md").read_text(encoding="utf-8")
    page = PAGE.format(bench=body.rstrip() + "\n", ceremony=ceremony)
    (docs / "AB.md").write_text(page, encoding="utf-8")
    print(docs / "AB.md")


if __name__ == "__main__":
    main()
