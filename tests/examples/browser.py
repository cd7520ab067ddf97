"""A page in headless Chromium, driven through its debugging pipe: no port, no library."""

import base64
import json
import os
import shutil
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

from support import requires

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # it would need a kernel's consent that containers do not have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=560,420",
    "--remote-debugging-pipe",
)
Fields = dict[str, Any]


class Browser:
    """One browser with one page; messages are JSON, each ended by a zero byte."""

    def __init__(self, folder: Path) -> None:
        program = next(filter(None, map(shutil.which, NAMES)), None)
        requires("Chromium", present=program is not None)
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # The pipe is descriptors 3 and 4, by definition.
        shell = ("bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash")
        self._process = subprocess.Popen(
            [*shell, str(program), *FLAGS, f"--user-data-dir={folder}"],
            pass_fds=(to_read, to_write),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._rest = b""
        self._ids = count(1)
        self._session: Fields = {}
        page = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> Fields:
        """Do something and return the answer."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _receive(self) -> Fields:
        while b"\0" not in self._rest:
            data = os.read(self._from, 1 << 20)
            assert data, "the browser ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def open(self, page: Path, *, first: str) -> None:
        """Open a file; `first` runs before any script of its own."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=first)
        self.call("Page.navigate", url=page.as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script: str) -> Any:
        """Return the value of a script."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write what is seen to a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End it."""
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(60)
