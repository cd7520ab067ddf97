import json
from pathlib import Path

import pytest

from parakeet_coreml.backends.transducer.vocab import Vocab, read_vocab
from parakeet_coreml.errors import ModelMissingError, ModelUnusableError


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_of_piece_and_id_are_read(tmp_path: Path) -> None:
    vocab = read_vocab(written(tmp_path, "vocab.txt", "<unk> 0\n▁fix 1\ned 2\n<blk> 3\n"))
    assert [vocab.piece(i) for i in range(4)] == ["", "▁fix", "ed", ""]
    assert vocab.blank == 3


def test_lines_may_end_as_on_windows_and_begin_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("\ufeff▁fix 0\r\ned 1\r\n".encode())
    assert read_vocab(path).pieces == {0: "▁fix", 1: "ed"}


@pytest.mark.parametrize("piece", ["\u2028", "\x85", "\u00a0", "\x0b", "1", "a b"])
def test_odd_pieces_survive(tmp_path: Path, piece: str) -> None:
    assert read_vocab(written(tmp_path, "vocab.txt", f"▁x 0\n{piece} 1\n")).piece(1) == piece


def test_an_object_of_ids_is_read(tmp_path: Path) -> None:
    text = json.dumps({"1": "ed", "0": "▁fix"})
    assert read_vocab(written(tmp_path, "parakeet_vocab.json", text)).pieces == {0: "▁fix", 1: "ed"}


def test_an_array_is_read(tmp_path: Path) -> None:
    text = json.dumps(["▁fix", "ed"])
    assert read_vocab(written(tmp_path, "parakeet_vocab.json", text)).pieces == {0: "▁fix", 1: "ed"}


def test_ids_past_blank_are_strays(tmp_path: Path) -> None:
    text = json.dumps({"0": "▁fix", "1": "ed", "7": "stray"})
    vocab = read_vocab(written(tmp_path, "parakeet_vocab.json", text), blank=2)
    assert vocab.piece(7) == ""
    assert vocab.piece(1) == "ed"


def test_a_vocabulary_without_blank_does_not_guess_it() -> None:
    assert Vocab({0: "▁fix", 1: "ed"}).blank is None


@pytest.mark.parametrize(
    "piece", ["<unk>", "<pad>", "<blk>", "<|endoftext|>", "<|nospeech|>", "<s>", "</s>"]
)
def test_special_pieces_have_no_text(piece: str) -> None:
    assert Vocab({0: piece}).piece(0) == ""


@pytest.mark.parametrize("piece", ["<", ">", "▁<", "<>", "▁", "a<b>"])
def test_pieces_with_brackets_have_text(piece: str) -> None:
    assert Vocab({0: piece}).piece(0) == piece


@pytest.mark.parametrize("token", [-1, 2, 8192])
def test_unknown_ids_have_no_text(token: int) -> None:
    assert Vocab({0: "▁fix", 1: "ed"}).piece(token) == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vocab.txt", ""),
        ("vocab.txt", "<!DOCTYPE html>\n<html>\n"),
        ("vocab.txt", "▁fix 0\ned\n"),
        ("vocab.txt", "▁fix zero\n"),
        ("vocab.txt", "▁fix ²\n"),
        ("vocab.json", ""),
        ("vocab.json", "{}"),
        ("vocab.json", "3"),
        ("vocab.json", "null"),
        ("vocab.json", '{"x": "▁fix"}'),
        ("vocab.json", "[1, 2]"),
        ("vocab.json", '["▁fix"'),
    ],
)
def test_what_is_no_vocabulary_is_refused_in_one_line(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ModelUnusableError) as refusal:
        read_vocab(written(tmp_path, name, text))
    assert name in refusal.value.message
    assert "\n" not in refusal.value.message


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelUnusableError, match="cannot read"):
        read_vocab(path)


def test_a_missing_vocabulary_is_a_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"vocab\.txt"):
        read_vocab(tmp_path / "vocab.txt")
