"""The other way to dictate, as a baseline: a resident HTTP server that is posted whole recordings.

    python tests/bench/ceremony_server.py BACKEND

It loads tiny-en with the same backend and the same decoder as the recorder, says its port on
stdout, and answers `POST /transcribe` of `{"audio": base64 of a WAV file}` with
`{"text": …, "steps": …, "inside": …}`.
"""

import base64
import io
import json
import sys
import time
import wave
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np

from parakeet_coreml.audio.samples import MODEL_WINDOW, Samples
from parakeet_coreml.backends.base import Backend, Work
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.recognition.words import text_of, words_of
from parakeet_coreml.selection import ModelSelection


class Steps:
    """What an answer took: ms by step, in order."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, name: str) -> None:
        """Note that a step has ended."""
        now = time.perf_counter()
        self.ms[name] = (now - self._last) * 1000
        self._last = now


def transcribe(backend: Backend, audio: Samples) -> tuple[str, Work]:
    """Return the words of a recording of any length, window after window, and what they took."""
    texts, work = [], Work()
    for start in range(0, len(audio), MODEL_WINDOW):
        heard = backend.transcribe(audio[start : start + MODEL_WINDOW])
        texts.append(text_of(words_of(heard.tokens)))
        work += heard.work or Work()
    return " ".join(filter(None, texts)), work


class Handler(BaseHTTPRequestHandler):
    """Answers one recording."""

    backend: Backend

    def do_POST(self) -> None:
        """Decode what was posted, recognise it, answer."""
        steps = Steps()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        steps.done("read the body")
        encoded = json.loads(body)["audio"]
        steps.done("parse JSON")
        sound = base64.b64decode(encoded)
        steps.done("decode base64")
        with wave.open(io.BytesIO(sound)) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        audio = np.asarray(pcm / 32_768, np.float32)
        steps.done("read the WAV")
        text, work = transcribe(self.backend, audio)
        steps.done("recognise all of it")
        named = {"features": work.features, "encoder": work.encoder, "search": work.search}
        inside = {name: 1000 * s for name, s in named.items() if s is not None}
        answer = json.dumps({"text": text, "steps": steps.ms, "inside": inside}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Load the model, say the port, serve."""
    Handler.backend, _ = open_backend(ModelSelection("tiny-en", None, sys.argv[1], None).spec())
    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
