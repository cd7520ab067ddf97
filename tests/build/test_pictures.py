"""The pages' pictures are what the scripts draw, of what was said."""

import struct
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parent.parent.parent
PICTURES = ROOT / "docs" / "pictures"
SAID = (ROOT / "parakeet_coreml" / "samples" / "speech.txt").read_text(encoding="utf-8").split()
SVG = "{http://www.w3.org/2000/svg}"


def shown(row: ET.Element) -> str:
    return " ".join("".join(row.itertext()).split())


def test_the_terminal_shows_words_growing_while_they_are_spoken() -> None:
    rows = ET.parse(PICTURES / "terminal.svg").findall(f"{SVG}text")  # noqa: S314  our own file
    texts = [shown(row) for row in rows]
    assert any(text.startswith("Listening") for text in texts)
    stretches = {text for text in texts if text and text in " ".join(SAID)}
    grown = [a for a in stretches for b in stretches if a != b and b.startswith(a)]
    assert len(grown) > 5, "live words, one after another"
    still = [shown(row) for row in rows if row.get("style") == "visibility: visible"]
    assert set(SAID[-6:]) <= set(" ".join(still).split())


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize(("name", "size"), [("wide", (1240, 920)), ("narrow", (720, 1120))])
def test_the_window_is_there_in_both_looks_and_sizes(
    look: str, name: str, size: tuple[int, int]
) -> None:
    head = (PICTURES / f"window-{look}-{name}.png").read_bytes()[:24]
    assert struct.unpack(">II", head[16:]) == size


def test_a_line_is_drawn_for_as_long_as_it_looked_so() -> None:
    pytest.importorskip("pyte", reason="pyte is absent; pip install pyte")
    sys.path.insert(0, str(ROOT / "build"))
    from terminal_picture import ROWS, drawn, stays  # noqa: PLC0415  it needs pyte

    looks = [(0.0, [("a", False)]), (1.0, [("a", False)]), (2.0, [("ab", True)])]
    assert list(stays(looks, 5.0)) == [(0.0, 2.0, looks[0][1]), (2.0, 5.0, looks[2][1])]
    empty = [[(" ", False)]] * (ROWS - 1)
    picture = drawn([(at, [runs, *empty]) for at, runs in looks])
    rows = ET.fromstring(picture).findall(f"{SVG}text")  # noqa: S314  drawn above
    assert [shown(row) for row in rows] == ["a", "ab"]
