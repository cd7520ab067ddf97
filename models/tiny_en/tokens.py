"""Cut words into pieces: a small SentencePiece BPE model, trained on the sentences of `text`."""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

import sentencepiece

from models.tiny_en import text
from models.tiny_en.folders import WORK

PIECES = 256
"""Vocabulary without blank; blank gets this number, as in every Parakeet."""
BLANK = PIECES


def main() -> None:
    """Train the pieces into the work folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--sentences", type=int, default=200_000)
    options = parser.parse_args()
    rng = Random(0)
    lines = (text.sentence(rng, text.WEIGHTS)[1] for _ in range(options.sentences))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_prefix=str(options.work / "pieces"),
        model_type="bpe",
        vocab_size=PIECES,
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        unk_id=0,
    )


def load(work: Path) -> sentencepiece.SentencePieceProcessor:
    """Load the pieces that `main` trained."""
    return sentencepiece.SentencePieceProcessor(model_file=str(work / "pieces.model"))


if __name__ == "__main__":
    main()
