"""Read a checkpoint, and say in a manifest what was made of it."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import ParakeetForTDT

from parakeet_coreml.backends.reference.mlpackage import fields, text

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model in single precision, and its vocabulary."""

    name: str
    model: ParakeetForTDT
    pieces: tuple[str, ...]
    """By id, blank not among them."""
    digest: str = ""
    """Of the weights: tells what was made of them from what was made of others."""

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
    digest = hashlib.sha256()
    for weights in sorted(folder.glob("*.safetensors")):
        with weights.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return Checkpoint(folder.resolve().name, model.eval(), pieces, digest.hexdigest()[:16])


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


def is_current(out: Path, name: str, stamp: str) -> bool:
    """Return whether a file or package is there, made as `stamp` says."""
    return (out / name).exists() and _manifest(out).get("made", {}).get(name) == stamp


def write_manifest(out: Path, checkpoint: Checkpoint, names: list[str], stamp: str = "") -> None:
    """Note sizes and sums of `names`, files or folders, beside what the manifest already lists.

    `stamp` says of what they were made and how; without one they are made each time.
    """
    known = _manifest(out)
    files, made = known.get("files", {}), known.get("made", {})
    for name in names:
        root = out / name
        for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if file.is_file():
                files[file.relative_to(out).as_posix()] = {
                    "size": file.stat().st_size,
                    "sha256": digest_of(file),
                }
        if stamp:
            made[name] = stamp
    parts = {
        "files": {name: files[name] for name in sorted(files) if (out / name).is_file()},
        "made": {name: made[name] for name in sorted(made) if (out / name).exists()},
    }
    write(out / MANIFEST, json.dumps(known | checkpoint.facts | parts, indent=2) + "\n")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file that may be larger than memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _manifest(out: Path) -> dict[str, Any]:
    path = out / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write(path: Path, content: str) -> None:
    """Write a small file at once, so that a broken run leaves no half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, path)  # noqa: PTH105  says what it does
