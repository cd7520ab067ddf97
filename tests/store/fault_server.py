"""A hub on 127.0.0.1 that misbehaves on request, and the small models it serves."""

import errno
import gzip
import hashlib
import itertools
import json
import os
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from parakeet_coreml.errors import ParakeetError
from parakeet_coreml.store.http import Limits
from parakeet_coreml.store.install import install
from parakeet_coreml.store.manifest import Manifest, parse_manifest

REVISION = "0123456789abcdef0123456789abcdef01234567"
QUICK = Limits(
    connect=5,
    stall=5,
    window=5,
    slowest=1,
    attempts=4,
    worth=1 << 16,
    backoff=0.001,
    longest_wait=30,
    overall=60,
    lock=20,
)
"""Limits for tests that are not about limits: patient with a busy machine, quick to try again."""

ENVIRONMENT = (
    "PARAKEET_COREML_MIRROR",
    "PARAKEET_COREML_OFFLINE",
    "PARAKEET_COREML_MODELS_DIR",
    "PARAKEET_COREML_BACKEND",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "SSL_CERT_FILE",
    *(f"{kind}_proxy" for kind in ("http", "https", "all", "no")),
    *(f"{kind}_PROXY" for kind in ("HTTP", "HTTPS", "ALL", "NO")),
)
"""What may stand in the environment of whoever runs the tests, and would change them."""


def content(size: int, seed: int) -> bytes:
    """Return bytes that do not repeat."""
    return random.Random(seed).randbytes(size)


FILES = {
    "config.json": b'{"model_type": "nemo-conformer-tdt"}',
    "encoder-model.int8.onnx": content(300_000, 1),
    "decoder_joint-model.int8.onnx": content(40_000, 2),
    "vocab.txt": b"<unk> 0\n<blk> 1\n",
}
BIG = "encoder-model.int8.onnx"
"""The file that faults are about."""


def manifest_of(files: dict[str, bytes], **changes: Any) -> Manifest:
    """Return the manifest of a model that consists of `files`."""
    entries = [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in files.items()
    ]
    stated: dict[str, Any] = {
        "schema": 1,
        "name": "v3",
        "backend": "onnx",
        "repository": "someone/some-model",
        "revision": REVISION,
        "licence": "CC-BY-4.0",
        "blank": 1,
        "durations": [0, 1, 2, 3, 4],
        "bytes": sum(len(data) for data in files.values()),
        "files": entries,
    }
    return parse_manifest(json.dumps(stated | changes))


SMALL = manifest_of(FILES)


@dataclass(frozen=True, slots=True)
class Request:
    """What one GET asked for."""

    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str:
        return self.headers.get("range", "")


class FaultServer(ThreadingHTTPServer):
    """Serves `files`; requests for `BIG` go through `plan`, one mode each, the last for ever."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(files)
        self.plan: list[str] = ["ok"]
        self.requests: list[Request] = []
        self.bodies = 0
        """Bytes of bodies sent, whoever took them."""
        self.etag = '"first"'
        self.released = threading.Event()
        """Set to let modes go on that wait for it."""
        self.waiting = threading.Event()
        """Set by modes when they begin to wait."""
        self.on_sent: Callable[[int], None] = lambda _: None
        """Called after each piece of a body with the sum."""
        self._lock = threading.Lock()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def send_little_at_once(self) -> None:
        """Keep little on its way at any moment, so that a kill costs little; slow."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)

    def asked(self, path: str = BIG) -> list[Request]:
        """Return the requests for one file."""
        return [request for request in self.requests if request.path.endswith(f"/{path}")]

    def note(self, request: Request) -> str:
        """Record a request and return the mode it is answered in."""
        with self._lock:
            self.requests.append(request)
            if not request.path.endswith(f"/{BIG}"):
                return "ok"
            return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]

    def sent(self, count: int) -> None:
        with self._lock:
            self.bodies += count
            total = self.bodies
        self.on_sent(total)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that leave are what tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: FaultServer
    PIECE = 8192

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
        """Say nothing."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        mode, _, argument = self.server.note(Request(self.path, headers)).partition(":")
        path = self.path.partition(f"/resolve/{REVISION}/")[2].partition("?")[0]
        body = self.server.files.get(path)
        if body is None:
            self._status(404)
        elif mode.isdigit():
            self._status(int(mode), argument)
        else:
            getattr(self, f"mode_{mode}")(body, argument)

    # What a hub does

    def mode_ok(self, body: bytes, _: str) -> None:
        """Serve as a hub does: Range, If-Range, a strong ETag."""
        if start := self._start(body):
            self._head(206, len(body) - start, f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self._head(200, len(body))
        self._send(body[start:])

    def mode_unknown_length(self, body: bytes, more: str) -> None:
        self._head(200, None)
        self._send(body + more.encode())
        self.close_connection = True

    # What goes wrong in a body

    def mode_cut(self, body: bytes, argument: str) -> None:
        """Promise everything, send `argument` bytes of it, hang up."""
        start = self._start(body)
        if start:
            self._head(206, len(body) - start, f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self._head(200, len(body))
        self._send(body[start : start + int(argument)])
        self._hang_up()

    def mode_stall(self, body: bytes, argument: str) -> None:
        self._head(200, len(body))
        self._send(body[: int(argument)])
        self._wait()

    def mode_silent(self, body: bytes, _: str) -> None:
        self._wait()

    def mode_drip(self, body: bytes, _: str) -> None:
        """Send a byte now and then, never as many as any limit asks for."""
        start = self._start(body)
        if start:
            self._head(206, len(body) - start, f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self._head(200, len(body))
        for at in range(start, len(body)):
            self._send(body[at : at + 1])
            if self.server.released.wait(0.02):
                return

    def mode_drip_head(self, body: bytes, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):
            while not self.server.released.wait(0.02):
                self.wfile.write(b"X-Slow: 1\r\n")
                self.wfile.flush()

    def mode_corrupt(self, body: bytes, _: str) -> None:
        at = len(body) // 2
        self._head(200, len(body))
        self._send(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])

    def mode_longer(self, body: bytes, _: str) -> None:
        self._head(200, len(body) + 1)
        self._send(body + b"!")

    def mode_endless(self, body: bytes, _: str) -> None:
        self._head(200, None, chunked=True)
        with suppress(OSError):
            while not self.server.released.is_set():
                self.wfile.write(b"%x\r\n%b\r\n" % (self.PIECE, bytes(self.PIECE)))
                self.server.sent(self.PIECE)

    def mode_gzip(self, body: bytes, _: str) -> None:
        packed = gzip.compress(body)
        self._head(200, len(packed), extra={"Content-Encoding": "gzip"})
        self._send(packed)

    def mode_html(self, body: bytes, argument: str) -> None:
        """Answer as the log-in page of a network does; `exact` of the right length."""
        page = b"<html>Please log in".ljust(len(body) if argument == "exact" else 0)
        self._head(200, len(page), extra={"Content-Type": "text/html; charset=utf-8"})
        self._send(page)

    def mode_other(self, body: bytes, argument: str) -> None:
        """Serve another file, of `argument` bytes."""
        self._head(200, int(argument))
        self._send(bytes(int(argument)))

    # What goes wrong with ranges

    def mode_ignore_range(self, body: bytes, _: str) -> None:
        self._head(200, len(body))
        self._send(body)

    def mode_cut_anew(self, body: bytes, argument: str) -> None:
        """Start over whatever was asked for, send `argument` bytes, hang up."""
        self._head(200, len(body))
        self._send(body[: int(argument)])
        self._hang_up()

    def mode_wrong_range(self, body: bytes, argument: str) -> None:
        """Answer 206 with another part than asked for; `none` without Content-Range.

        With `shorter`, the part is stated rightly and cut short.
        """
        start = self._start(body) - 100
        if argument == "shorter":
            start += 100
            self._head(206, 10, f"bytes {start}-{len(body) - 1}/{len(body)}")
            self._send(body[start : start + 10])
            return
        stated = None if argument == "none" else f"bytes {start}-{len(body) - 1}/{len(body)}"
        self._head(206, len(body) - start, stated)
        self._send(body[start:])

    # Where redirects lead

    def mode_redirect(self, body: bytes, location: str) -> None:
        self._status(302, location=location)

    def mode_loop(self, body: bytes, _: str) -> None:
        self._status(302, location=self.path)

    def mode_redirect_here(self, body: bytes, _: str) -> None:
        """Redirect as the hub does, to an address with a signature; serve that one."""
        if "signed" in self.path:
            self.mode_ok(body, "")
        else:
            self._status(302, location=f"{self.path}?signed=1")

    # Parts of answers

    def _start(self, body: bytes) -> int:
        """Return where the asked part starts, 0 if the whole file is to be sent."""
        stated = self.headers.get("Range", "")
        if self.headers.get("If-Range", self.server.etag) != self.server.etag:
            return 0
        return int(stated.removeprefix("bytes=").rstrip("-")) if stated else 0

    def _head(
        self,
        status: int,
        length: int | None,
        part: str | None = None,
        *,
        chunked: bool = False,
        extra: dict[str, str] | None = None,
    ) -> None:
        headers = {"ETag": self.server.etag} | (extra or {})
        if length is not None:
            headers["Content-Length"] = str(length)
        if part is not None:
            headers["Content-Range"] = part
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, body: bytes) -> None:
        for at in range(0, len(body), self.PIECE):
            piece = body[at : at + self.PIECE]
            try:
                self.wfile.write(piece)
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise
                self.close_connection = True
                return
            self.server.sent(len(piece))

    def _status(self, status: int, retry_after: str = "", location: str = "") -> None:
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _wait(self) -> None:
        self.server.waiting.set()
        self.server.released.wait()
        self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(files: dict[str, bytes] | None = None, certificate: str = "") -> Iterator[FaultServer]:
    """Run a server; with `certificate`, a file in `tls/`, over TLS."""
    server = FaultServer(FILES if files is None else files)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(__file__).parent / "tls" / certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


OPERATIONS = ("open", "write", "fsync", "ftruncate", "mkdir", "rename", "unlink", "rmdir")
"""What changes a disk, by the names in `os`."""


def interfere(act: Callable[[int, str], None], setattr_: Callable[..., None] = setattr) -> None:
    """Call `act` with a running number before each operation on the disk of this thread."""
    count, thread = itertools.count(), threading.get_ident()

    def interfering(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == thread:
                act(next(count), name)
            return real(*args, **kwargs)

        return operation

    for name in OPERATIONS:
        setattr_(os, name, interfering(name, getattr(os, name)))


def install_elsewhere(
    text: str,
    models_dir: str,
    mirror: str,
    limits: dict[str, Any],
    *,
    user: int | None = None,
    die_at: int | None = None,
) -> None:
    """Install in a process of its own; its exit code is the error's.

    As another `user`, or killed before its disk operation number `die_at`.
    """
    os.environ["PARAKEET_COREML_MIRROR"] = mirror
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    if die_at is not None:
        interfere(lambda number, _: os.kill(os.getpid(), 9) if number == die_at else None)
    try:
        install(parse_manifest(text), Path(models_dir), limits=replace(QUICK, **limits))
    except ParakeetError as error:
        raise SystemExit(error.exit_code) from error
