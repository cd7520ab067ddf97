#!/usr/bin/env python3
"""Spoken words as one would write them: numbers, "new line", no "um". A filter behind the recorder.

    parakeet-coreml progressive-record | python3 examples/python/written.py

Works on the whole text of `done`: lines are only ever appended to, and a number may begin on one
and end on the next. Numbers need text2num (`pip install 'text2num>=3.1'`); fillers and commands are
English.
"""

import argparse
import json
import re
import signal
import sys
from collections.abc import Iterable

FILLERS = r"(?:um+|uh+|erm+|hm+)"

AT_THE_START = re.compile(rf"(^|[.?!]\s+){FILLERS}\b[,.?!…]*\s*(\w?)", re.IGNORECASE)
"""A filler that begins a sentence, with its marks and the letter that begins it now."""

INSIDE = re.compile(rf",?\s+{FILLERS}\b,?", re.IGNORECASE)
"""A filler in a sentence, with the commas of the pauses around it."""

NO_COMMAND = r"(?<!\ba )(?<!\bthe )(?<!\bthis )(?<!\bour )(?<!\bmy )(?<!\byour )(?<!\banother )"

COMMAND = re.compile(
    rf"(?:^|[,;:]?\s+){NO_COMMAND}new (line|paragraph)\b(?! of\b)[,.;:?!…]*\s*", re.IGNORECASE
)
"""A spoken command with the marks that the model sets around it, as it does around any pause. A
full stop before it ends a sentence and stays. "A new line of shoes" is talk."""

BREAKS = {"line": "\n", "paragraph": "\n\n"}


def written(text: str, language: str = "en") -> str:
    """Return a recording's text as one would write it. Raises `ImportError` without text2num."""
    from text_to_num import alpha2digit  # noqa: PLC0415  its absence is told by `main`

    if language == "en":
        while (shorter := AT_THE_START.sub(lambda m: m[1] + m[2].upper(), text)) != text:
            text = shorter
        text = INSIDE.sub("", text)
        text = COMMAND.sub(lambda m: BREAKS[m[1].lower()], text)
    # Line by line: a number does not go on in the next paragraph.
    return "\n".join(alpha2digit(line, language) for line in text.split("\n"))


def full_text(lines: Iterable[str]) -> tuple[str | None, bool]:
    """Return the text of `done`, None without it, and whether the recording went well.

    Raises `ValueError` or `KeyError` for a line that is none of the recorder's.
    """
    well = True
    for line in lines:
        event = json.loads(line)
        if not isinstance(event, dict):
            raise ValueError(line)  # noqa: TRY004  told with the others
        if event.get("type") == "error":
            well = False  # the recorder has said why on stderr
        elif event.get("type") == "done":
            return str(event["full_text"]), well
    return None, False


def main() -> int:
    """Read the recorder's lines, print the text; 1 if the recording failed, 2 for other input."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    languages = ("de", "en", "es", "fr", "it", "nl", "pt")
    parser.add_argument("--language", default="en", choices=languages, help="of the numbers")
    language = parser.parse_args().language
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the recorder; we await its end
    try:
        text, well = full_text(sys.stdin)
        if text is not None:
            print(written(text, language))
    except ImportError as error:
        print(f"{error}; pip install 'text2num>=3.1'", file=sys.stderr)
        return 2
    except (KeyError, ValueError):
        print("stdin is not what progressive-record writes", file=sys.stderr)
        return 2
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
