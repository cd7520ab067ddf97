"""Find labels of people's recordings that a model does not believe, so that none is learnt from.

Nobody listened to these recordings: of a crowd's single words some are cut off, silent or another
word. A label is weak where the transducer holds what it hears itself for far likelier than the
label (both summed over all alignments, as in training), and the label for unlikely by itself. A
word that is merely hard keeps its label: the model does not prefer another by so much.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_asr
import sentencepiece
import torch

from models.present import present
from models.tiny_en import export, tokens
from models.tiny_en.align import grouped
from models.tiny_en.folders import WORK
from models.tiny_en.mixture import Item, packs, padded
from models.tiny_en.model import Features, Lattice, TinyModel

MARGIN = 8.0
"""Nats by which what is heard is likelier than the label, at least."""
UNLIKELY = 2.5
"""Nats a piece that the label costs, at least: it hardly fits the sound at any alignment."""


def main() -> None:
    """Write `p-SET.weak.json`, the places of weak labels, beside each pack of people."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--checkpoint", type=present, default=export.CHECKPOINT)
    parser.add_argument("--onnx", type=present, default=export.SHIPPED, help="exported from it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(options.work, options.checkpoint, options.onnx)
    for name, items in packs(options.work, weak=True).items():
        path = options.work / "packs" / f"{name}.weak.json"
        if name.startswith("p-") and not path.exists():
            found = judge.weak(items)
            kinds = Counter(items[place].kind for place in found)
            print(f"{name}: {len(found)} of {len(items)} {dict(kinds)}", flush=True)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(found))
            part.replace(path)


class Judge:
    """A model that listens and then says how likely its own words and the label are."""

    def __init__(self, work: Path, checkpoint: Path, onnx: Path) -> None:
        """Load the same weights twice: to listen with, and to sum over alignments with."""
        self.ears: Any = onnx_asr.load_model("nemo-conformer-tdt", str(onnx))
        self.model = TinyModel().eval()
        self.model.tdt.load_state_dict(export.loaded(checkpoint).state_dict())
        self.pieces: sentencepiece.SentencePieceProcessor = tokens.load(work)

    def weak(self, items: list[Item]) -> list[int]:
        """Return the places of items whose labels are weak, rising."""
        found = []
        for group in grouped(items):
            some = [items[place] for place in group]
            heard = [str(self.ears.recognize(sound(item))) for item in some]
            labels = self.costs(some, [item.text for item in some])
            others = self.costs(some, heard)
            for place, item, label, other, words in zip(
                group, some, labels, others, heard, strict=True
            ):
                size = len(self.pieces.encode(item.text)) + 1
                if words != item.text and label - other > MARGIN and label > UNLIKELY * size:
                    found.append(place)
        return sorted(found)

    def costs(self, items: list[Item], texts: list[str]) -> list[float]:
        """Return the transducer's loss of each text for its sound, in nats."""
        _, samples, lengths = padded([("", sound(item)) for item in items])
        ids = [torch.tensor(self.pieces.encode(text), dtype=torch.long) for text in texts]
        sizes = torch.tensor([len(one) for one in ids])
        targets = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        with torch.no_grad():
            features, counts = Features()(torch.from_numpy(samples), torch.from_numpy(lengths))
            frames, counts = self.model.encode(features, counts)
            scores = self.model.tdt_scores(frames, targets)
            losses: torch.Tensor = Lattice.apply(*scores, counts, sizes)
        return [float(loss) for loss in losses]


def sound(item: Item) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return its samples as floats."""
    return item.pcm.astype(np.float32) / np.float32(32_768)


if __name__ == "__main__":
    main()
