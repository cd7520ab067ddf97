"""What is said beside the words: the script they keep to."""

import json

import pytest

from parakeet_coreml.protocol.json_lines import JsonLines
from parakeet_coreml.recognition.pipeline import Line
from parakeet_coreml.recognition.words import Word
from parakeet_coreml.recording.notices import Notices


def drifts(texts: list[str], language: str | None = None) -> list[str]:
    written: list[bytes] = []

    def put(line: bytes, *, droppable: bool = False) -> bool:
        written.append(line)
        return True

    notices = Notices(JsonLines(put, events=frozenset({"warning"}), meta=False, words=False))
    notices.accept()
    lines = [Line(tuple(Word(w, 0, 1, (1.0,)) for w in text.split()), 0, 1, 0.0) for text in texts]
    assert list(notices.followed(lines, language)) == lines
    return [json.loads(line)["code"] for line in written]


@pytest.mark.parametrize(
    ("texts", "warned"),
    [
        (["dzień dobry", "Добрый день"], True),
        (["Добрый день", "", "12.", "dzień dobry", "Добрый день"], True),
        (["dzień dobry", "tak", ""], False),
        (["say Привет to all of them"], False),
        (["", "12"], False),
    ],
)
def test_another_script_is_told_once(texts: list[str], warned: bool) -> None:
    assert drifts(texts) == ["script_drift"] * warned
    assert drifts(texts, language="pl") == []
