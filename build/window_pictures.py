"""Take pictures of the Electron example's window: light and dark, wide and narrow.

    python build/window_pictures.py docs/pictures      (needs headless Chromium)

The page is the example's own, in the browser that the tests use; what it shows are the events of a
real recording of the bundled sample, and the models that `models list` names.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "examples"), str(ROOT / "tests" / "host")]
from browser import Browser  # noqa: E402  found by the line above
from test_electron import EXAMPLE, PRELUDE  # noqa: E402  likewise

import parakeet_coreml  # noqa: E402  behind the paths

SAMPLE = ROOT / "parakeet_coreml" / "samples" / "speech.wav"
UNTIL_MS = 18_800
"""Where in the recording the window is looked at: words of two lines, and some that may change."""

WIDE, NARROW = (620, 460), (360, 560)

Fields = dict[str, Any]


def main() -> None:
    """Write the pictures into the folder that was named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    events, models = recorded(), known()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        browser = Browser(Path(place))
        for look in ("light", "dark"):
            for name, size in (("wide", WIDE), ("narrow", NARROW)):
                show(browser, look, size, models)
                browser.evaluate("document.getElementById('button').click()")
                for event in events:
                    browser.evaluate(f"window.deliver({json.dumps(event)})")
                browser.screenshot(folder / f"window-{look}-{name}.png")
        show(browser, "light", WIDE, models)
        browser.evaluate(
            "document.getElementById('model').value = 'v3';"
            "document.getElementById('model').dispatchEvent(new Event('change'))"
        )
        browser.screenshot(folder / "window-download.png")
        browser.close()


def recorded() -> list[Fields]:
    """Return the events of a recording up to the moment that is shown."""
    events: list[Fields] = []
    asked = ("ready", "level", "partial")
    with parakeet_coreml.dictate(
        model="tiny-en", backend="onnx", input=str(SAMPLE), realtime=True, events=asked
    ) as dictation:
        for event in dictation:
            events.append(dict(event))
            if event["type"] == "partial" and event["t_ms"] >= UNTIL_MS:
                return events
    raise SystemExit("the recording ended before the moment that is shown")


def known() -> list[Fields]:
    """Return the models as the window gets them on this machine."""
    command = [sys.executable, "-P", "-m", "parakeet_coreml", "models", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [row for row in rows if row["backend"] == "onnx"]


def show(browser: Browser, look: str, size: tuple[int, int], models: list[Fields]) -> None:
    """Open the page in this size and look."""
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=size[0],
        height=size[1],
        deviceScaleFactor=2,
        mobile=False,
    )
    wanted = {"name": "prefers-color-scheme", "value": look}
    browser.call("Emulation.setEmulatedMedia", features=[wanted])
    preload = (EXAMPLE / "preload.cjs").read_text(encoding="utf-8")
    here = f"window.choices.models = {json.dumps(models)}"
    browser.open(EXAMPLE / "window.html", first=f"{{{PRELUDE}\n{here};\n{preload}}}")


if __name__ == "__main__":
    main()
