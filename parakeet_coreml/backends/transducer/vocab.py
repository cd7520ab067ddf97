"""Token ids to pieces of text."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parakeet_coreml.errors import ModelMissingError, ModelUnusableError
from parakeet_coreml.store.files import read_text

BLANK_PIECE = "<blk>"
"""How vocabularies that name blank write it."""

_LIMIT = 1 << 24
"""Most bytes of a vocabulary; the published ones have 150 kB."""

_SPECIAL = re.compile(r"<[^<>\s]+>")  # <unk>, <pad>, <|endoftext|>, <blk>, …


@dataclass(frozen=True, slots=True)
class Vocab:
    """The pieces of a model. `▁` opens a word.

    Two ids may share a piece, so there is no way back from a piece to its id.
    """

    pieces: Mapping[int, str]
    """As the model's file has them, special ones included."""

    def piece(self, token: int) -> str:
        """Return the text of a token; "" if it has none: unknown id, `<unk>`, special piece."""
        piece = self.pieces.get(token, "")
        return "" if _SPECIAL.fullmatch(piece) else piece

    @property
    def blank(self) -> int | None:
        """Id of `<blk>`, None if the file does not name it. It is never the number of pieces."""
        return next((i for i, piece in self.pieces.items() if piece == BLANK_PIECE), None)


def read_vocab(path: Path, blank: int | None = None) -> Vocab:
    """Read `vocab.txt` (lines of `piece id`) or a JSON object or array of pieces.

    Ids past `blank` are strays, which some published files hold, and are left out. Raises
    `ModelMissingError` without the file, `ModelUnusableError` if it is no vocabulary.
    """
    try:
        text = read_text(path, _LIMIT).removeprefix("\ufeff")
    except FileNotFoundError as e:
        raise ModelMissingError(f"no vocabulary at {path}") from e
    except (OSError, ValueError) as e:
        raise ModelUnusableError(f"cannot read the vocabulary {path}: {e}") from e
    try:
        pieces = _from_json(text) if path.suffix == ".json" else _from_lines(text)
    except (ValueError, AttributeError) as e:
        raise ModelUnusableError(f"{path} is not a vocabulary: {e}") from e
    if not pieces:
        raise ModelUnusableError(f"{path} is not a vocabulary: it names no piece")
    return Vocab({i: piece for i, piece in pieces.items() if blank is None or i <= blank})


def _from_lines(text: str) -> dict[int, str]:
    """Return the pieces of lines of `piece id`; the piece may be a space itself."""
    pieces: dict[int, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):  # pieces may be odd line ends
        stripped = line.removesuffix("\r")
        if not stripped:
            continue
        piece, space, last = stripped.rpartition(" ")
        if not space or not (last.isascii() and last.isdigit()):
            raise ValueError(f"line {number} is not a piece and its id")
        pieces[int(last)] = piece
    return pieces


def _from_json(text: str) -> dict[int, str]:
    """Return the pieces of an object of ids or an array."""
    loaded = json.loads(text)
    items = enumerate(loaded) if isinstance(loaded, list) else loaded.items()
    pieces = {int(i): piece for i, piece in items}
    for i, piece in pieces.items():
        if not isinstance(piece, str):
            raise ValueError(f"entry {i} is {type(piece).__name__}, not text")  # noqa: TRY004  one error for all
    return pieces
