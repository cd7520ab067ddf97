"""Bring one file over HTTP, whatever the network does.

    while bytes are missing:
        ask for the rest                        (Range, If-Range)
        append what comes
        on a fault: wait, try again             at most `attempts` times without progress
    hash wrong: start over, once

No byte of a partial is given up for an answer that cannot be the file.
"""

import http.client
import re
import time
from collections.abc import Callable

from parakeet_coreml import __version__
from parakeet_coreml.errors import DownloadFailedError
from parakeet_coreml.store.http import AttemptError, Head, Limits, Mirror, Transfer
from parakeet_coreml.store.manifest import ModelFile
from parakeet_coreml.store.partial import Partial

_AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be different next time."""


def fetch(
    mirror: Mirror,
    url: str,
    partial: Partial,
    on_size: Callable[[int], None],
) -> None:
    """Complete `partial` from `url`, size and SHA-256 verified.

    `on_size` gets the size of `partial` whenever it has grown.
    Raises `DownloadFailedError`, and `OSError` for the disk's faults only.
    """
    for _ in range(2):
        _complete(mirror, url, partial, on_size)
        if partial.sha256 == partial.file.sha256:
            return
        partial.restart()
    raise DownloadFailedError(
        f"'{partial.file.path}' arrives damaged: its SHA-256 is not the published one",
        f"{mirror.hint}; something between here and the hub may be changing it",
    )


def _complete(
    mirror: Mirror,
    url: str,
    partial: Partial,
    on_size: Callable[[int], None],
) -> None:
    """Add bytes to `partial` until it has the size of its file."""
    limits = mirror.limits
    best, misses = partial.size, 0
    while partial.size < partial.file.size:
        try:
            _attempt(mirror, url, partial, on_size)
        except AttemptError as error:
            misses = 0 if partial.size >= best + limits.worth else misses + 1
            best = max(best, partial.size)
            wait = max(
                error.wait, min(limits.backoff * 2 ** max(misses - 1, 0), limits.longest_wait)
            )
            if misses >= limits.attempts or time.monotonic() + wait > mirror.until:
                raise DownloadFailedError(
                    f"cannot download '{partial.file.path}': {error}", mirror.hint
                ) from error
            mirror.tell(f"{error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _attempt(
    mirror: Mirror,
    url: str,
    partial: Partial,
    on_size: Callable[[int], None],
) -> None:
    """Ask once for what is missing, and append what comes."""
    with Transfer(mirror, url, _headers(partial)) as transfer:
        head = transfer.head()
        if _starts_anew(head, partial, mirror.limits):
            partial.restart()
            partial.remember(head.strong_etag)
        for block in transfer.blocks():
            room = partial.file.size - partial.size
            if len(block) > room:
                partial.restart()
                raise DownloadFailedError(
                    f"{head.host} sends more than the {partial.file.size} bytes of "
                    f"'{partial.file.path}'",
                    mirror.hint,
                )
            partial.append(block)
            on_size(partial.size)
    if partial.size < partial.file.size:
        raise AttemptError(f"{head.host} ended the connection early")


def _headers(partial: Partial) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": f"parakeet-coreml/{__version__}"}
    if partial.size:
        headers["Range"] = f"bytes={partial.size}-"
        if etag := partial.etag:
            headers["If-Range"] = etag
    return headers


# What a server's answer means


def _starts_anew(head: Head, partial: Partial, limits: Limits) -> bool:
    """Return whether the body starts at the file's first byte, else it continues `partial`.

    A body that cannot be the file is refused before a byte of `partial` is given up. Raises
    `AttemptError` or `DownloadFailedError`.
    """
    if head.status not in (200, 206):
        raise _refusal(head, partial, limits)
    _check_body(head, partial.file)
    if head.status == 200:  # noqa: PLR2004  also in answer to a Range: it was not honoured
        _check_length(head, partial.file.size, partial.file)
        return True
    stated = head.headers.get("content-range", "")
    last = partial.file.size - 1
    if not re.fullmatch(rf"bytes {partial.size}-{last}/(?:{last + 1}|\*)", stated):
        partial.restart()
        raise AttemptError(f"{head.host} sent another part than asked for")
    _check_length(head, partial.file.size - partial.size, partial.file)
    return False


def _check_body(head: Head, file: ModelFile) -> None:
    if head.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise DownloadFailedError(
            f"{head.host} sends '{file.path}' compressed, though asked not to",
            "a proxy may be re-encoding downloads",
        )
    kind = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise DownloadFailedError(
            f"{head.host} answers with a web page instead of '{file.path}'",
            "does this network want a log-in first? Open a browser",
        )


def _check_length(head: Head, wanted: int, file: ModelFile) -> None:
    length = head.headers.get("content-length", "")
    if length and length != str(wanted):
        raise DownloadFailedError(
            f"{head.host} announces {length} bytes instead of {wanted} for '{file.path}'",
            "a mirror or proxy serves something else",
        )


def _refusal(head: Head, partial: Partial, limits: Limits) -> AttemptError | DownloadFailedError:
    """Return what a status other than 200 and 206 means."""
    reason = f"{head.host} answers {head.status} {http.client.responses.get(head.status, '')}"
    if head.status == 416:  # noqa: PLR2004  our part is past the end of what the server has
        partial.restart()
        return AttemptError(reason)
    if head.status in _AGAIN:
        if (wait := head.retry_after) > limits.longest_wait:
            return DownloadFailedError(
                f"cannot download '{partial.file.path}': {reason}",
                f"it asks to come back in {wait:.0f} s; what has arrived is kept",
            )
        return AttemptError(reason, wait)
    return DownloadFailedError(
        f"cannot download '{partial.file.path}': {reason}",
        "a mirror may lack it: see PARAKEET_COREML_MIRROR and HF_ENDPOINT",
    )
