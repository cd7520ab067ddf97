"""The Electron example: its main process on a stand-in for Electron, its page in a real browser."""

import json
import os
import plistlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from examples_stage import (  # it puts the harness on the path
    EXAMPLES,
    Stage,
    put_program,
    set_stage,
)
from recorder import WORDS, eventually, processes_naming

pytest_plugins = ("examples_fixtures",)

EXAMPLE = EXAMPLES / "electron"
STAND_IN = Path(__file__).parent / "electron"
Fields = dict[str, Any]


class App:
    """The example's main process, which asks a stand-in for what Electron would do."""

    def __init__(self, stage: Stage, node: str, **env: str) -> None:
        folder = stage.folder / "app"
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
        (folder / "node_modules" / "@parakeet").mkdir(parents=True)
        client = folder / "node_modules" / "@parakeet" / "dictation"
        client.symlink_to(EXAMPLES / "node-client")
        (folder / "node_modules" / "electron").symlink_to(STAND_IN)
        self.told: list[tuple[str, Any]] = []
        self.process = subprocess.Popen(
            [node, "--preserve-symlinks", folder / "main.js"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**stage.env, **env},
            text=True,
            encoding="utf-8",
        )

    def ask(self, word: str) -> None:
        """Do what the window's page would."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def until(self, what: str, **fields: Any) -> Any:
        """Read on until the main process does this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told, value = json.loads(line)
            self.told.append((told, value))
            if told == what and all(value.get(k) == v for k, v in fields.items()):
                return value
        raise AssertionError(f"no {what} {fields} in {self.told}")

    def until_event(self, kind: str, **fields: Any) -> Fields:
        return dict(self.until("dictation:event", type=kind, **fields))

    @property
    def events(self) -> list[Fields]:
        """What the page was sent."""
        return [value for what, value in self.told if what == "dictation:event"]

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        for line in self.process.stdout:
            what, value = json.loads(line)
            self.told.append((what, value))
        self.process.stdout.close()
        return self.process.wait(60)


@pytest.fixture
def app(stage: Stage, node: str) -> Iterator[App]:
    """Give the app with a file in place of the microphone."""
    app = App(stage, node, PARAKEET_COREML_INPUT=str(stage.speech))
    yield app
    app.end()


# The main process


def test_the_window_sees_neither_node_nor_electron(app: App) -> None:
    options = app.until("window")["webPreferences"]
    assert options == {"preload": str(app.process.args[2].parent / "preload.cjs")}  # type: ignore[union-attr,index]


def test_the_lines_of_a_recording_reach_the_page(app: App) -> None:
    app.ask("start")
    app.until_event("done", full_text=" ".join(WORDS[:10]))
    kinds = [event["type"] for event in app.events]
    assert kinds[:2] == ["hello", "ready"]
    # Of a file that is not played in real time every line comes at once: a partial may be left out.
    assert {"level", "chunk"} <= set(kinds)
    app.until_event("ended")
    app.ask("start")  # another recording, after the first
    app.until_event("done", full_text=" ".join(WORDS[:10]))


def test_the_recorder_is_asked_for_words_as_they_come(stage: Stage, node: str) -> None:
    program = stage.folder / "bin" / "parakeet-coreml"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$0.asked"\n')
    app = App(stage, node)
    app.ask("start")
    app.until_event("ended")
    assert app.end() == 0
    asked = program.with_suffix(".asked").read_text()
    (events,) = re.findall(r"^--events=(.*)$", asked, re.MULTILINE)
    assert {"level", "partial"} <= set(events.split(","))


def test_it_stops_when_the_window_says_so(stage: Stage, node: str) -> None:
    app = App(stage, node, PARAKEET_COREML_INPUT=str(stage.speech), PARAKEET_COREML_REALTIME="1")
    app.ask("start")
    app.until_event("level")
    app.ask("stop")
    app.until_event("done")
    assert app.end() == 0


def test_it_asks_for_the_microphone_before_it_spawns(stage: Stage, node: str) -> None:
    mac = {"FAKE_PLATFORM": "darwin", "FAKE_ANSWER": "yes"}
    app = App(stage, node, PARAKEET_COREML_INPUT=str(stage.speech), **mac)
    app.ask("start")
    app.until_event("done")
    assert app.end() == 0
    assert [what for what, _ in app.told][2:4] == ["asked", "dictation:event"]
    assert dict(app.told)["asked"] == "microphone"


def test_without_permission_nothing_is_spawned_and_the_page_is_told(
    stage: Stage, node: str
) -> None:
    app = App(stage, node, FAKE_PLATFORM="darwin", FAKE_ANSWER="no")
    app.ask("start")
    assert app.until_event("failed")["code"] == "mic_denied"
    assert app.end() == 0
    assert [event["type"] for event in app.events] == ["failed", "ended"]


def test_packed_it_runs_the_program_beside_the_archive(stage: Stage, node: str) -> None:
    resources = stage.folder / "Dictation.app" / "Contents" / "Resources"
    put_program(resources / "parakeet-coreml" / "parakeet-coreml")
    (stage.folder / "bin" / "parakeet-coreml").unlink()
    app = App(stage, node, FAKE_RESOURCES=str(resources), PARAKEET_COREML_INPUT=str(stage.speech))
    app.ask("start")
    app.until_event("done", full_text=" ".join(WORDS[:10]))
    assert app.end() == 0


def test_an_absent_program_is_told(stage: Stage, node: str) -> None:
    app = App(stage, node, FAKE_RESOURCES=str(stage.folder / "nowhere"))
    app.ask("start")
    failed = app.until_event("failed")
    assert failed["code"] == "spawn_failed"
    assert str(stage.folder / "nowhere" / "parakeet-coreml") in failed["message"]
    assert app.end() == 0


def test_quitting_waits_for_the_last_words(stage: Stage, node: str) -> None:
    app = App(stage, node, PARAKEET_COREML_INPUT=str(stage.speech), PARAKEET_COREML_REALTIME="1")
    app.ask("start")
    app.until_event("level")
    app.ask("quit")
    app.until("quit")
    app.until_event("done")
    app.until("quit")
    assert app.end() == 0
    assert [value for what, value in app.told if what == "quit"] == ["put off", "now"]


# The page


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, node: str) -> list[Fields]:
    """Give what the page is sent for one recording, start to end."""
    stage = set_stage(tmp_path_factory.mktemp("recording"))
    lines_of_5_s = {"PARAKEET_COREML_CHUNK_SECONDS": "5"}
    app = App(stage, node, PARAKEET_COREML_INPUT=str(stage.speech), **lines_of_5_s)
    app.ask("start")
    app.until_event("ended")
    app.end()
    return app.events


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("browser")
    browser = Browser(folder)
    yield browser
    browser.close()
    assert eventually(lambda: not processes_naming(str(folder)), 10)


PRELUDE = """
window.asked = [];
function require() {
  return {
    contextBridge: { exposeInMainWorld: (name, api) => { window[name] = api; } },
    ipcRenderer: {
      invoke: (channel) => { window.asked.push(channel); },
      on: (channel, listen) => { window.deliver = (event) => listen({}, event); },
    },
  };
}
"""
"""What Electron gives a preload script."""


class Page:
    """The example's window with its own preload script."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        preload = (EXAMPLE / "preload.cjs").read_text(encoding="utf-8")
        browser.open(EXAMPLE / "window.html", first=f"{{{PRELUDE}\n{preload}}}")

    def see(self, *events: Fields) -> None:
        for event in events:
            self.browser.evaluate(f"window.deliver({json.dumps(event)})")

    def text(self, name: str) -> str:
        return str(self.browser.evaluate(f"document.getElementById('{name}').textContent"))

    def press(self) -> None:
        self.browser.evaluate("document.getElementById('button').click()")

    @property
    def asked(self) -> list[str]:
        return list(self.browser.evaluate("window.asked"))

    @property
    def bar(self) -> float:
        """How long the bar is, in percent."""
        width = self.browser.evaluate("document.getElementById('bar').style.width")
        return float(str(width).removesuffix("%") or 0)

    @property
    def problem(self) -> str:
        """What is told to be wrong, empty if nothing is."""
        shown = self.browser.evaluate("!document.getElementById('problem').hidden")
        return f"{self.text('message')} {self.text('hint')}".strip() if shown else ""


@pytest.fixture
def page(browser: Browser) -> Page:
    return Page(browser)


def of(recording: list[Fields], kind: str, **fields: Any) -> Fields:
    """Return the first line of a kind."""
    return next(
        event
        for event in recording
        if event["type"] == kind and all(event.get(k) == v for k, v in fields.items())
    )


def test_the_page_shows_a_recording_as_it_goes(page: Page, recording: list[Fields]) -> None:
    assert page.text("button") == "Start"
    page.press()
    assert page.asked == ["dictation:start"]
    assert page.text("state") == "Starting…"
    page.see(of(recording, "hello"), of(recording, "ready", what="capture"))
    assert page.text("state") == "Listening, loading the model…"
    page.see(of(recording, "ready", what="model"))
    assert page.text("state") == "Listening"
    first, *others = (event for event in recording if event["type"] == "chunk")
    assert others
    page.see({"type": "partial", "index": 0, "text": "alf", "t_ms": 900})
    page.see({"type": "partial", "index": 0, "text": "alfa", "t_ms": 1200})
    assert page.text("preview") == "alfa"
    page.see(first)
    assert page.text("words") == first["text"]
    assert page.text("preview") == ""
    page.press()
    assert page.asked == ["dictation:start", "dictation:stop"]
    assert page.text("state") == "Finishing…"
    page.see(*others)
    assert page.text("words") == " ".join(WORDS[:10])
    page.see(of(recording, "done"))
    assert page.text("words") == " ".join(WORDS[:10])
    page.see(of(recording, "ended"))
    assert page.text("state") == "Done"
    assert page.text("button") == "Start"
    assert page.problem == ""


def test_the_page_survives_every_line_of_a_recording(page: Page, recording: list[Fields]) -> None:
    page.press()
    page.see(*recording, {"type": "applause"})
    assert page.text("words") == " ".join(WORDS[:10])


def test_the_bar_follows_the_level(page: Page) -> None:
    lengths = []
    for level in (-120.0, -60.0, -45.0, -30.0, 0.0, 3.0):
        page.see({"type": "level", "rms_db": level, "peak_db": level, "clipping": level > 0})
        lengths.append(page.bar)
    assert lengths == [0, 0, 25, 50, 100, 100]
    assert page.browser.evaluate("document.getElementById('bar').className") == "clipping"


def test_the_page_tells_what_went_wrong_and_starts_again(page: Page) -> None:
    page.press()
    problem = {"code": "device_lost", "message": "The microphone is gone", "hint": "Plug it in"}
    done = {"type": "done", "totalChunks": 1, "full_text": "fix the"}
    page.see({"type": "error", **problem}, done)
    page.see({"type": "failed", **problem}, {"type": "ended"})
    assert page.problem == "The microphone is gone Plug it in"
    assert page.text("state") == "Ended early"
    assert page.text("words") == "fix the"
    page.press()
    assert page.problem == ""
    assert page.text("words") == ""


def test_the_page_tells_of_a_silent_microphone_while_there_is_time(page: Page) -> None:
    page.press()
    page.see({"type": "warning", "code": "mic_silent", "message": "only digital silence"})
    assert page.problem == "only digital silence"


def test_what_was_said_is_text_to_the_page(page: Page) -> None:
    said = "<img src=x onerror=window.asked.push('script')> & <b>bold</b>"
    page.see({"type": "chunk", "index": 0, "text": said})
    assert page.text("words") == said
    assert page.asked == []


def test_the_page_can_be_seen(page: Page, recording: list[Fields], tmp_path: Path) -> None:
    page.press()
    events = [event for event in recording if event["type"] not in {"done", "ended"}]
    page.see(*events, {"type": "partial", "index": 2, "text": "and a preview", "t_ms": 0})
    page.see({"type": "level", "rms_db": -18.0, "peak_db": -9.0, "clipping": False})
    shot = Path(os.environ.get("SCREENSHOT", tmp_path / "window.png"))
    page.browser.screenshot(shot)
    assert shot.read_bytes().startswith(b"\x89PNG")
    width = page.browser.evaluate("document.getElementById('words').getBoundingClientRect().width")
    assert width > 100


# What is packed


def test_the_app_may_use_the_microphone_and_little_else() -> None:
    entitlements = plistlib.loads((EXAMPLE / "entitlements.plist").read_bytes())
    assert entitlements == {
        "com.apple.security.cs.allow-jit": True,  # V8
        "com.apple.security.device.audio-input": True,
    }
