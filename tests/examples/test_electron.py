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

    def ask(self, word: str, *value: Any) -> None:
        """Do what the window's page would; a second value is the page that asks."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([word, *value]) + "\n")
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
    assert options == {
        "preload": str(app.process.args[2].parent / "preload.cjs"),  # type: ignore[union-attr,index]
        "contextIsolation": True,
        "sandbox": True,
        "nodeIntegration": False,
    }


def test_the_page_goes_nowhere_and_is_allowed_nothing(app: App) -> None:
    app.until("page")
    told = dict(app.told)
    assert told["sandbox"] is True
    assert told["will-navigate"] == told["will-attach-webview"] == "refused"
    assert told["opening"] == {"action": "deny"}
    assert told["permission"] is told["permitted"] is False


def test_no_other_page_may_ask(app: App) -> None:
    app.until("page")
    app.ask("start", None, "https://example.com/")
    assert app.until("thrown")["by"] == "start"
    app.ask("copy", "alfa bravo")
    assert app.until("copied") == "alfa bravo"
    assert app.events == []


MODELS = [
    {"name": "tiny-en", "backend": "onnx", "bytes": 3, "done_bytes": 3, "state": "built in"},
    {"name": "v3", "backend": "onnx", "bytes": 9, "done_bytes": 0, "state": "missing"},
    {"name": "v3", "backend": "coreml", "bytes": 8, "done_bytes": 0, "state": "missing"},
]

SHOP = """\
#!/bin/sh
case "$1 $2" in
"devices --json") echo '[{"name":"Desk","index":0}]' ;;
"models list") cat "$0.models" ;;
"models download")
    echo '{"type":"progress","what":"download","done_bytes":4,"total_bytes":9}'
    case "$3" in v3) ;; slow) exec sleep 60 ;; *) echo 'Error: no network
  try again' >&2; exit 24 ;; esac ;;
esac
"""
"""What stands for the program where there is nothing to download from."""


@pytest.fixture
def shop(stage: Stage, node: str) -> Iterator[App]:
    program = stage.folder / "bin" / "parakeet-coreml"
    program.write_text(SHOP)
    program.with_suffix(".models").write_text("\n".join(map(json.dumps, MODELS)))
    app = App(stage, node, FAKE_PLATFORM="linux")
    app.until("page")
    yield app
    app.end()


def test_microphones_and_the_models_of_this_machine_can_be_chosen(shop: App) -> None:
    shop.ask("choices")
    answer = shop.until("answer", to="choices")["answer"]
    assert answer["devices"] == [{"name": "Desk", "index": 0}]
    assert answer["models"] == MODELS[:2]


def test_what_is_chosen_is_what_records(stage: Stage, node: str) -> None:
    app = App(stage, node, PARAKEET_COREML_BACKEND="onnx", PARAKEET_COREML_MODELS_DIR="/none")
    app.ask("start", {"model": "v2", "device": ""})
    failed = app.until_event("failed", code="model_missing")
    assert "models download v2" in failed["hint"]
    assert app.end() == 0


def test_a_download_tells_how_far_it_is(shop: App) -> None:
    shop.ask("download", "v3")
    assert shop.until_event("progress")["total_bytes"] == 9
    assert shop.until("answer", to="download")["answer"] is True
    shop.ask("download", "v9")
    failed = shop.until_event("failed")
    assert (failed["code"], failed["message"]) == ("download_failed", "no network")
    assert failed["hint"] == "try again"


def test_a_download_can_be_halted(shop: App) -> None:
    shop.ask("download", "slow")
    shop.until_event("progress")
    shop.ask("halt")
    assert shop.until("answer", to="download")["answer"] is False


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
    told = [what for what, _ in app.told]
    assert told.index("asked") < told.index("dictation:event")
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
window.choices = { devices: [{ name: "Desk" }], models: [], fixed: null };
function require() {
  return {
    contextBridge: { exposeInMainWorld: (name, api) => { window[name] = api; } },
    ipcRenderer: {
      invoke: async (channel, value) => {
        const name = channel.replace("dictation:", "");
        if (name === "choices") return window.choices;
        window.asked.push(value === undefined ? name : [name, value]);
        return true;
      },
      on: (channel, listen) => { window.deliver = (event) => listen({}, event); },
    },
  };
}
"""
"""What Electron gives a preload script."""


class Page:
    """The example's window with its own preload script."""

    def __init__(self, browser: Browser, *models: Fields) -> None:
        self.browser = browser
        preload = (EXAMPLE / "preload.cjs").read_text(encoding="utf-8")
        here = f"window.choices.models = {json.dumps(models)}"
        browser.open(EXAMPLE / "window.html", first=f"{{{PRELUDE}\n{here};\n{preload}}}")

    def see(self, *events: Fields) -> None:
        for event in events:
            self.browser.evaluate(f"window.deliver({json.dumps(event)})")

    def text(self, name: str) -> str:
        return str(self.browser.evaluate(f"document.getElementById('{name}').textContent"))

    def press(self, name: str = "button") -> None:
        self.browser.evaluate(f"document.getElementById('{name}').click()")

    def shows(self, name: str) -> bool:
        return bool(self.browser.evaluate(f"!document.getElementById('{name}').hidden"))

    @property
    def asked(self) -> list[Any]:
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
    assert page.asked == [["start", {"model": "", "device": ""}]]
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
    assert page.asked[1:] == ["stop"]
    assert page.text("state") == "Finishing…"
    page.see(*others)
    assert page.text("words") == " ".join(WORDS[:10])
    page.see(of(recording, "done"))
    assert page.text("words") == " ".join(WORDS[:10])
    page.see(of(recording, "ended"))
    assert page.text("state") == "Done"
    assert page.text("button") == "Start"
    assert page.problem == ""


def test_the_page_says_at_first_sight_what_to_do(browser: Browser) -> None:
    page = Page(browser, *MODELS[:2])
    assert page.shows("empty")
    assert page.text("state") == "Ready when you are"
    assert page.text("model") == "tiny-en (to try)v3 (25 languages, 0 MB to fetch)"
    assert page.text("device") == "System defaultDesk"
    assert not page.shows("offer")


def test_words_that_may_change_look_so(page: Page) -> None:
    page.press()
    page.see({"type": "partial", "index": 0, "text": "alfa bravo char", "stable": "alfa bravo"})
    assert (page.text("stable"), page.text("preview")) == ("alfa bravo", " char")
    page.see({"type": "chunk", "index": 0, "text": "alfa bravo charlie"})
    assert page.text("words") == "alfa bravo charlie"
    assert page.text("stable") + page.text("preview") == ""


def test_a_model_that_is_missing_is_offered_fetched_and_recorded_with(browser: Browser) -> None:
    page = Page(browser, *MODELS[:2])
    browser.evaluate(
        "document.getElementById('model').value = 'v3';"
        "document.getElementById('model').dispatchEvent(new Event('change'))"
    )
    assert page.shows("offer")
    browser.evaluate("window.choices.models[1] = {...window.choices.models[1], state: 'installed'}")
    page.press("fetch")
    page.see({"type": "progress", "what": "download", "done_bytes": 4e6, "total_bytes": 9e6})
    assert eventually(lambda: len(page.asked) == 2)
    assert page.asked == [["download", "v3"], ["start", {"model": "v3", "device": ""}]]
    assert not page.shows("offer")


def test_the_words_can_be_copied(page: Page) -> None:
    assert page.browser.evaluate("document.getElementById('copy').disabled")
    page.press()
    page.see({"type": "chunk", "index": 0, "text": "alfa"}, {"type": "done", "full_text": "alfa"})
    page.see({"type": "ended"})
    page.press("copy")
    assert page.asked[-1] == ["copy", "alfa"]
    assert eventually(lambda: page.text("state") == "Copied")


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


def test_what_is_packed_cannot_be_turned_into_a_node_of_anyones() -> None:
    packing = (EXAMPLE / "electron-builder.yml").read_text(encoding="utf-8")
    fuses = packing.partition("electronFuses:\n")[2]
    for fuse in (
        "runAsNode",
        "enableNodeOptionsEnvironmentVariable",
        "enableNodeCliInspectArguments",
    ):
        assert f"  {fuse}: false\n" in fuses
    assert "  onlyLoadAppFromAsar: true\n" in fuses


def test_the_app_may_use_the_microphone_and_little_else() -> None:
    entitlements = plistlib.loads((EXAMPLE / "entitlements.plist").read_bytes())
    assert entitlements == {
        "com.apple.security.cs.allow-jit": True,  # V8
        "com.apple.security.device.audio-input": True,
    }
