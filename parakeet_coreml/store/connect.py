"""Where a download may connect, and how: addresses, proxies, certificates, the quickest socket.

One parser, urllib3's, says what an address means: whoever checks it and whoever connects must not
differ over where a host's name ends.
"""

import errno
import os
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import Url, parse_url

from parakeet_coreml.errors import DownloadFailedError

STAGGER = 0.25
"""Seconds that an address has to itself before the next one is tried beside it: RFC 8305, 5."""

PORTS = {"http": 80, "https": 443}

_BUNDLES = (
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
)
"""Where systems keep certificates, for a frozen Python that looks where it was built."""


# Addresses


def site_of(url: Url) -> tuple[str | None, str | None, int | None]:
    """Return scheme, host and port, the scheme's own where none is stated."""
    return url.scheme, url.host, url.port or PORTS.get(url.scheme or "")


def is_safe(base: str) -> bool:
    """Return whether an address is https (or http on this machine) without password or query."""
    try:
        url = parse_url(base)
    except ValueError:
        return False
    secure = url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host or ""))
    return bool(secure and url.host) and not (url.auth or url.query or url.fragment)


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine by its very name."""
    return host in ("127.0.0.1", "::1", "[::1]", "localhost")


def shown(proxy: str) -> str:
    """Return a proxy's address without its password."""
    return proxy.partition("://")[0] + "://" + proxy.rpartition("@")[2].rpartition("://")[2]


# Connections


class _Address(NamedTuple):
    family: int
    kind: int
    protocol: int
    name: str
    socket: Any


def connect(host: str, port: int, *, timeout: float) -> socket.socket:
    """Connect to the first address of a host that answers: RFC 8305, "Happy Eyeballs".

    The addresses are tried in the system's order, families in turn, each `STAGGER` seconds after
    the one before or as soon as that has failed, so that however many of them are silent cost
    seconds, not `timeout` each. `timeout` is for all of them together. Raises `socket.gaierror`,
    `TimeoutError`, or the last address's `OSError`.
    """
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    with selectors.DefaultSelector() as waiting:
        try:
            return _first(_in_turn(map(_Address._make, found)), waiting, timeout)
        finally:
            for key in [*waiting.get_map().values()]:
                _socket_of(key).close()


def _in_turn(addresses: Iterable[_Address]) -> Iterator[_Address]:
    """Yield one address of each family after the other, the first one's family first."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    for row in zip_longest(*families.values()):
        yield from (address for address in row if address is not None)


def _first(
    addresses: Iterator[_Address], waiting: selectors.BaseSelector, timeout: float
) -> socket.socket:
    until = time.monotonic() + timeout
    fault: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    address = next(addresses, None)
    while address or waiting.get_map():
        if address:
            try:
                waiting.register(_begin(address), selectors.EVENT_WRITE)
            except OSError as error:
                fault = error
            address = next(addresses, None)
        patience = until - time.monotonic()
        if patience <= 0:
            raise TimeoutError
        if not waiting.get_map():
            continue
        for key, _ in waiting.select(min(STAGGER, patience) if address else patience):
            waiting.unregister(key.fileobj)
            found = _socket_of(key)
            if (code := found.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) == 0:
                return found
            found.close()
            fault = OSError(code, os.strerror(code))
    raise fault


def _begin(address: _Address) -> socket.socket:
    """Start to connect; raises `OSError` where that fails at once."""
    begun = socket.socket(address.family, address.kind, address.protocol)
    begun.settimeout(0)
    try:
        with suppress(BlockingIOError):  # EINPROGRESS
            begun.connect(address.socket)
    except OSError:
        begun.close()
        raise
    return begun


def _socket_of(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)  # noqa: S101  nothing else is registered
    return key.fileobj


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        """Connect as `connect` does, with urllib3's own errors; its SOCKS part does likewise."""
        limit = self.timeout if isinstance(self.timeout, float) else 15.0
        try:
            found = connect(self.host, self.port, timeout=limit)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host} does not answer") from error
        except OSError as error:
            raise NewConnectionError(self, f"cannot connect to {self.host}") from error
        found.settimeout(limit)
        for option in self.socket_options or ():
            found.setsockopt(*option)
        sys.audit("http.client.connect", self, self.host, self.port)
        return found


class _Secure(_Plain, HTTPSConnection):
    pass


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


# Proxies and certificates


def new_pool(proxy: str, *, secure: bool) -> urllib3.PoolManager:
    """Return what sends requests, through `proxy` unless it is empty.

    Raises `DownloadFailedError` for a proxy that cannot be used.
    """
    # Reading the certificates takes longer than a small file does: only where they are needed.
    context = _certificates() if secure else None
    manager = _proxied(proxy, context) if proxy else urllib3.PoolManager(ssl_context=context)
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return manager


def _proxied(proxy: str, context: ssl.SSLContext | None) -> urllib3.ProxyManager:
    try:
        url = parse_url(proxy)
    except ValueError:
        url = Url()
    if url.scheme not in PORTS or not url.host:
        raise DownloadFailedError(
            f"proxy {shown(proxy)}: only http and https proxies are supported",
            "change the proxy variables of the environment, or set NO_PROXY",
        )
    headers = urllib3.make_headers(proxy_basic_auth=unquote(url.auth)) if url.auth else None
    address = url._replace(auth=None).url
    return urllib3.ProxyManager(
        address, proxy_headers=headers, ssl_context=context, proxy_ssl_context=context
    )


def _certificates() -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and not (paths.capath and any(Path(paths.capath).iterdir())):
        for bundle in filter(os.path.exists, _BUNDLES):
            context.load_verify_locations(bundle)
            break
    return context
