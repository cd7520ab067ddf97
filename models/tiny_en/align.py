"""Find where the words of every pack begin, so that the mixture can cut between them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.present import present
from models.tiny_en import export, tokens
from models.tiny_en.folders import WORK
from models.tiny_en.mixture import RATE, Item, packs, padded
from models.tiny_en.model import Features, TinyModel

FRAME = RATE * 80 // 1000
"""Samples of an encoder frame."""
BATCH = 48 * RATE
"""Samples of a batch."""


def main() -> None:
    """Write `starts` files beside the packs that have none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--checkpoint", type=present, default=export.CHECKPOINT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = TinyModel().eval()
    model.tdt.load_state_dict(export.loaded(options.checkpoint).state_dict())
    pieces = tokens.load(options.work)
    for name, items in packs(options.work, weak=True).items():
        path = options.work / "packs" / f"{name}.starts.json"
        if path.exists():
            continue
        found: list[list[int]] = [[] for _ in items]
        for group in grouped(items):
            starts = begun(model, pieces, [items[place] for place in group])
            for place, one in zip(group, starts, strict=True):
                found[place] = one
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.replace(path)
        print(name, sum(map(len, found)), "words", flush=True)


def grouped(items: list[Item]) -> Iterator[list[int]]:
    """Put utterances of like length together."""
    group: list[int] = []
    for place in sorted(range(len(items)), key=lambda place: len(items[place].pcm)):
        if group and (len(group) + 1) * len(items[place].pcm) > BATCH:
            yield group
            group = []
        group.append(place)
    yield group


def begun(
    model: TinyModel, pieces: sentencepiece.SentencePieceProcessor, items: list[Item]
) -> list[list[int]]:
    """Return the sample at which each word's first piece is most likely said.

    The likelihood is that of all paths of the transducer through this piece at this frame: what
    `losses` computes as the gradient.
    """
    spoken = [(item.text, item.pcm.astype(np.float32) / np.float32(32_768)) for item in items]
    texts, samples, lengths = padded(spoken)
    ids = [torch.tensor(pieces.encode(words), dtype=torch.long) for words in texts]
    sizes = torch.tensor([len(one) for one in ids])
    targets = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    with torch.no_grad():
        features, counts = Features()(torch.from_numpy(samples), torch.from_numpy(lengths))
        frames, counts = model.encode(features, counts)
        likely = model.said_at(frames, counts, targets, sizes)
    return [first_pieces(pieces, one, row) for one, row in zip(ids, likely, strict=True)]


def first_pieces(
    pieces: sentencepiece.SentencePieceProcessor, ids: Tensor, likely: NDArray[np.float32]
) -> list[int]:
    """Take of (frames, tokens) the likeliest frame of each token that opens a word, in samples."""
    best = np.maximum.accumulate(likely[:, : len(ids)].argmax(0))
    return [
        int(frame) * FRAME
        for one, frame in zip(ids.tolist(), best, strict=True)
        if pieces.id_to_piece(one).startswith("▁")
    ]


if __name__ == "__main__":
    main()
