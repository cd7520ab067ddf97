"""The hub that models come from, or a mirror of it: one GET at a time.

Each GET is read on a thread of its own which never touches the disk. Look-up, connection, a header
or a body that stops or drips: none of them can outlast our patience, nor delay Ctrl-C.
"""

import email.utils
import http.client
import os
import queue
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)
from urllib3.util import Url, parse_url

from parakeet_coreml.errors import DownloadFailedError, UsageError
from parakeet_coreml.store.connect import is_loopback, is_safe, new_pool, shown, site_of
from parakeet_coreml.store.manifest import Manifest, ModelFile
from parakeet_coreml.threads import Thread

HUB = "https://huggingface.co"
HUB_HOSTS = ("huggingface.co", "hf.co")
"""Hosts, and those below them, to which the hub may send us on; the hash is what we trust."""

BLOCK = 1 << 16
"""Most bytes taken from the network at once."""

_FAULTS = (HTTPError, OSError, ValueError, http.client.HTTPException)
"""What urllib3 raises. None of it can come from the disk: this module does not write."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """How long we wait; all in seconds, on the monotonic clock, unless stated."""

    connect: float = 15.0
    stall: float = 60.0
    """Without a byte: the attempt is over."""
    window: float = 60.0
    slowest: float = 4096.0
    """Bytes a second, on average over `window`; less is as good as a stall."""
    attempts: int = 5
    """In a row that bring less than `worth` bytes."""
    worth: int = 1 << 20
    backoff: float = 1.0
    """Before the second attempt; doubled for each further one."""
    longest_wait: float = 30.0
    """Between two attempts; a server that asks for more has refused."""
    overall: float = 12 * 3600.0
    lock: float = 180.0
    """Beside another download that makes no progress."""


class AttemptError(Exception):
    """One attempt failed; another may not."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def is_offline() -> bool:
    """Return whether the environment forbids the network."""
    switches = ("PARAKEET_COREML_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(s, "").lower() in ("1", "true", "yes", "on") for s in switches)


@dataclass(frozen=True, slots=True)
class Head:
    """The first part of a server's answer."""

    status: int
    headers: dict[str, str] = field(repr=False)
    """Names in lower case."""
    host: str

    @property
    def strong_etag(self) -> str:
        """The validator that If-Range may carry, or nothing."""
        etag = self.headers.get("etag", "")
        return etag if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', etag) else ""

    @property
    def retry_after(self) -> float:
        """Seconds to wait, 0 if not stated."""
        text = self.headers.get("retry-after", "")
        if re.fullmatch(r"\d{1,9}", text, re.ASCII):
            return float(text)
        try:
            at = email.utils.parsedate_to_datetime(text).astimezone(UTC)
        except (ValueError, OverflowError):  # the last day of year 9999, farther west
            return 0.0
        return max((at - datetime.now(UTC)).total_seconds(), 0.0)


class Mirror:
    """The hub or a mirror of it, reached as the environment says: proxies, certificates."""

    def __init__(self, limits: Limits, tell: Callable[[str], None] = lambda _: None) -> None:
        """Read the environment; raises `UsageError` for a mirror that will not do.

        `tell` is given a line for people whenever an attempt failed and another one follows.
        """
        self.limits, self.tell = limits, tell
        self.until = time.monotonic() + limits.overall
        self.base, self._from = _mirror()
        self._origin = parse_url(self.base)
        self._proxies = urllib.request.getproxies()
        self._pools: dict[tuple[str, bool], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    @property
    def hint(self) -> str:
        """What to do next after a failed download."""
        via = f" ({self._from} is set)" if self._from else ""
        return f"run the command again to go on; files come from {self._origin.host}{via}"

    def url(self, manifest: Manifest, file: ModelFile) -> str:
        """Return the address of a file, by pinned revision."""
        return f"{self.base}/{manifest.repository}/resolve/{manifest.revision}/{file.path}"

    def open(self, url: str, headers: dict[str, str]) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Send one GET and follow redirects; return the answer and the host it came from.

        Raises `AttemptError` or `DownloadFailedError`.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            to = parse_url(url)
            response = self._get(url, to, headers)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None:
                return response, str(to.host)
            response.close()
            url = self._redirect(location, url)
        raise DownloadFailedError(
            f"{self._origin.host} redirects more than {_MAX_REDIRECTS} times", self.hint
        )

    def _redirect(self, location: str, before: str) -> str:
        """Return where a redirect leads: by https, to known hosts, or within the mirror."""
        host = parse_url(before).host
        try:
            url = urljoin(before, location)
            to = parse_url(url)
        except ValueError:
            raise DownloadFailedError(f"{host} redirects to no address", self.hint) from None
        known = (*HUB_HOSTS, str(self._origin.host))
        under = any(f".{to.host}".endswith(f".{name}") for name in known)
        same = site_of(to) == site_of(self._origin)
        if to.auth is not None or not (same or (to.scheme == "https" and under)):
            raise DownloadFailedError(
                f"{host} redirects to {f'{to.scheme}://{to.host}'!a}, which is not trusted",
                "set PARAKEET_COREML_MIRROR to an https address that serves the files itself",
            )
        return url

    def _get(self, url: str, to: Url, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        proxy = self._proxy(to)
        try:
            return self._pool(proxy, to.scheme == "https").request(
                "GET",
                url,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self.limits.connect, read=self.limits.stall),
            )
        except _FAULTS as error:
            raise explain(error, str(to.host), proxy) from error

    def _proxy(self, to: Url) -> str:
        host = to.host or ""
        proxy = self._proxies.get(to.scheme or "") or self._proxies.get("all") or ""
        if not proxy or is_loopback(host) or urllib.request.proxy_bypass(host):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _pool(self, proxy: str, secure: bool) -> urllib3.PoolManager:  # noqa: FBT001  part of a key
        with self._lock:
            if (proxy, secure) not in self._pools:
                self._pools[proxy, secure] = new_pool(proxy, secure=secure)
            return self._pools[proxy, secure]


def origin() -> str:
    """Return the host that files come from; raises `UsageError` for a mirror that will not do."""
    return str(parse_url(_mirror()[0]).host)


def _mirror() -> tuple[str, str]:
    """Return the address files come from, and the variable that says so."""
    for name in ("PARAKEET_COREML_MIRROR", "HF_ENDPOINT"):
        if base := os.environ.get(name, "").rstrip("/"):
            if not is_safe(base):
                raise UsageError(
                    f"{name} is no address to download from",
                    "it takes https://host/path, without password; http only for 127.0.0.1",
                )
            return base, name
    return HUB, ""


_REASONS = (  # the first that fits; each of the first three is a kind of the next
    (NameResolutionError, "cannot find {}: is this machine online?"),
    (NewConnectionError, "cannot connect to {}: is this machine online?"),
    (ConnectTimeoutError, "{} does not answer"),
    (ReadTimeoutError, "{} has gone silent"),
)


def explain(error: Exception, host: str, proxy: str = "") -> AttemptError | DownloadFailedError:
    """Return what a fault of the connection means, in our words."""
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return DownloadFailedError(
            f"{host} has no certificate that this machine trusts",
            "is the clock right? A company's own certificates go into SSL_CERT_FILE",
        )
    if proxy:
        return AttemptError(f"no way through the proxy {shown(proxy)}")
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return AttemptError(reason.format(host))
    return AttemptError(f"the connection to {host} broke ({type(error).__name__})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        yield from (a for a in error.args if isinstance(a, BaseException))
        error = error.__cause__ or error.__context__


# One request, on its own thread


class Transfer:
    """One GET; whoever waits for a part of it waits no longer than the limits say."""

    def __init__(self, mirror: Mirror, url: str, headers: dict[str, str]) -> None:
        self._mirror, self._url, self._headers = mirror, url, headers
        self._items: queue.Queue[Head | bytes | Exception] = queue.Queue(maxsize=4)
        self._left = threading.Event()
        self._thread = Thread(target=self._run, name="download")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._left.set()  # the thread ends at its next byte or time-out, on its own

    def head(self) -> Head:
        """Wait for the answer's first part; raises `AttemptError` or `DownloadFailedError`."""
        item = self._next()
        if isinstance(item, bytes):
            raise AttemptError("the answer has no head")
        return item

    def blocks(self) -> Iterator[bytes]:
        """Give the body as it comes, to its end; raises as `head` does."""
        since, count = time.monotonic(), 0
        while (block := self._next()) and isinstance(block, bytes):
            yield block
            count += len(block)
            if (passed := time.monotonic() - since) >= self._mirror.limits.window:
                if count < self._mirror.limits.slowest * passed:
                    raise AttemptError(f"only {count / passed:.0f} bytes a second come")
                since, count = time.monotonic(), 0

    def _next(self) -> Head | bytes:
        stall, left = self._mirror.limits.stall, self._mirror.until - time.monotonic()
        try:
            item = self._items.get(timeout=max(min(stall, left), 0.001))
        except queue.Empty:
            if left <= stall:
                raise AttemptError("it takes too long altogether") from None
            raise AttemptError(f"{parse_url(self._url).host} has gone silent") from None
        if isinstance(item, Exception):
            raise item
        return item

    def _run(self) -> None:
        try:
            response, host = self._mirror.open(self._url, self._headers)
        except (AttemptError, DownloadFailedError) as error:
            self._put(error)
            return
        try:  # only the network is touched here: whatever fails is the network's fault
            headers = {name.lower(): value for name, value in response.headers.items()}
            going = self._put(Head(response.status, headers, host))
            while going and (block := response.read1(BLOCK)):
                going = self._put(block)
            self._put(b"")
        except _FAULTS as error:
            self._put(explain(error, host))
        finally:
            response.close()

    def _put(self, item: Head | bytes | Exception) -> bool:
        """Hand an item over; return whether somebody still wants it."""
        while not self._left.is_set():
            try:
                self._items.put(item, timeout=1)
            except queue.Full:
                continue
            return True
        return False
