"""Read a checkpoint, and say in a manifest what was made of it."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import ParakeetForTDT

from parakeet_coreml.backends.mlpackage import fields, text

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model in single precision, and its vocabulary."""

    name: str
    model: ParakeetForTDT
    pieces: tuple[str, ...]
    """By id, blank not among them."""

    @property
    def config(self) -> Any:  # noqa: ANN401  transformers' own
        """Return the configuration of the whole transducer."""
        return self.model.config

    @property
    def blank(self) -> int:
        """Return the id of blank."""
        return int(self.config.blank_token_id)

    @property
    def facts(self) -> dict[str, Any]:
        """Return what a loader must know and cannot measure."""
        return {
            "schema": 1,
            "name": self.name,
            "blank": self.blank,
            "durations": list(self.config.durations),
            "encoder_dim": self.config.encoder_config.hidden_size,
            "predictor_layers": self.config.num_decoder_layers,
            "predictor_hidden": self.config.decoder_hidden_size,
        }


def load(folder: Path) -> Checkpoint:
    """Load a checkpoint folder; takes four bytes a parameter."""
    torch.set_grad_enabled(False)
    model = ParakeetForTDT.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    pieces = read_pieces(folder)[: model.config.blank_token_id]
    return Checkpoint(folder.resolve().name, model.eval(), pieces)


def read_pieces(folder: Path) -> tuple[str, ...]:
    """Return the pieces by id, from `tokenizer.json` or a SentencePiece model."""
    described = folder / "tokenizer.json"
    if described.is_file():
        tokenizer = json.loads(described.read_text(encoding="utf-8"))
        vocab = tokenizer["model"]["vocab"]
        if isinstance(vocab, list):  # Unigram: pieces with their scores
            return tuple(piece for piece, _ in vocab)
        return tuple(sorted(vocab, key=vocab.__getitem__))
    (trained,) = folder.glob("*.model")
    entries = fields(memoryview(trained.read_bytes()))[1]
    return tuple(text(fields(entry)[1][0]) for entry in entries)


def write_manifest(out: Path, facts: dict[str, Any], names: list[str]) -> None:
    """Note sizes and sums of `names`, files or folders, beside what the manifest already lists."""
    path = out / MANIFEST
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    files = known.get("files", {})
    for name in names:
        root = out / name
        for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if file.is_file():
                files[file.relative_to(out).as_posix()] = {
                    "size": file.stat().st_size,
                    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                }
    present = {name: files[name] for name in sorted(files) if (out / name).is_file()}
    write(path, json.dumps(known | facts | {"files": present}, indent=2) + "\n")


def write(path: Path, content: str) -> None:
    """Write a small file at once, so that a broken run leaves no half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105  says what it does
