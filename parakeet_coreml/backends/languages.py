"""The languages of Parakeet v3 and the scripts they are written in. Pure, and light to import."""

import unicodedata
from collections import Counter
from collections.abc import Iterable

_LATIN = "hr cs da nl en et fi fr de hu it lv lt mt pl pt ro sk sl es sv"

SCRIPTS = {
    **dict.fromkeys(_LATIN.split(), "LATIN"),
    **dict.fromkeys(("bg", "ru", "uk"), "CYRILLIC"),
    "el": "GREEK",
}
"""The 25 languages of v3 and their scripts, by the names Unicode begins its letters' names with."""


def script_of(char: str) -> str:
    """Return the script of a letter, "" of what is none, `OTHER` of scripts not named above."""
    if not char.isalpha():
        return ""
    name = unicodedata.name(char, "").partition(" ")[0]
    return name if name in {"LATIN", "CYRILLIC", "GREEK"} else "OTHER"


def scripts_in(text: str) -> set[str]:
    """Return the scripts of a text's letters."""
    return {script_of(char) for char in text} - {""}


def main_script(texts: Iterable[str]) -> str:
    """Return the script of most letters, "" without letters."""
    counts = Counter(script for text in texts for char in text if (script := script_of(char)))
    return counts.most_common(1)[0][0] if counts else ""
