"""What the network does wrong, and what comes of it."""

import base64
import email.utils
import hashlib
import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import urllib3
from fault_server import BIG, FILES, QUICK, SMALL, FaultServer, content, manifest_of, serving
from hypothesis import example, given
from hypothesis import strategies as st

from parakeet_coreml.errors import DownloadFailedError, ModelMissingError, UsageError
from parakeet_coreml.store import connect
from parakeet_coreml.store.http import Head, Limits, Mirror
from parakeet_coreml.store.install import install
from parakeet_coreml.store.locate import Model, installed
from parakeet_coreml.store.manifest import MARKER
from parakeet_coreml.store.state import STAGING

pytest_plugins = ("fault_fixtures",)

SIZE = len(FILES[BIG])
SHA256 = hashlib.sha256(FILES[BIG]).hexdigest()


def get(models_dir: Path, limits: Limits = QUICK) -> Model:
    return install(SMALL, models_dir, limits=limits)


def fails(models_dir: Path, limits: Limits = QUICK) -> DownloadFailedError:
    """Return the error of a download that must fail and commit nothing."""
    with pytest.raises(DownloadFailedError) as caught:
        get(models_dir, limits)
    with pytest.raises(ModelMissingError):
        installed(SMALL, models_dir)
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


def partial(models_dir: Path) -> Path:
    return models_dir / STAGING / SMALL.folder / f"{SHA256}.partial"


def begin(hub: FaultServer, models_dir: Path, count: int) -> None:
    """Leave a partial of `count` bytes behind, and forget how it came."""
    hub.plan = [f"cut:{count}", "404"]
    fails(models_dir)
    assert partial(models_dir).stat().st_size == count
    hub.requests.clear()


def is_whole(model: Model) -> bool:
    return all((model.directory / path).read_bytes() == data for path, data in FILES.items())


def test_a_model_arrives_whole_with_its_manifest_beside_it(
    hub: FaultServer, models_dir: Path
) -> None:
    told: list[int] = []
    model = install(SMALL, models_dir, limits=QUICK, on_progress=told.append)
    assert is_whole(model)
    assert (model.blank, model.durations) == (1, (0, 1, 2, 3, 4))
    assert (model.directory / MARKER).read_text() == SMALL.text
    assert told == sorted(told)
    assert told[-1] == SMALL.size
    assert list((models_dir / STAGING).iterdir()) == [models_dir / STAGING / f"{SMALL.folder}.lock"]


def test_every_file_is_asked_for_by_pinned_revision_uncompressed_and_without_credentials(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    get(models_dir)
    prefix = f"/{SMALL.repository}/resolve/{SMALL.revision}/"
    assert [r.path for r in hub.requests] == [prefix + path for path in FILES]
    for request in hub.requests:
        assert request.headers["accept-encoding"] == "identity"
        assert "authorization" not in request.headers
        assert "cookie" not in request.headers
        assert "secret" not in str(request.headers)


def test_a_refused_connection_is_tried_again_a_few_times_then_told(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        port = unused.getsockname()[1]
        monkeypatch.setenv("PARAKEET_COREML_MIRROR", f"http://127.0.0.1:{port}")
        error = fails(models_dir, replace(QUICK, backoff=1.0, attempts=5))
    assert "cannot connect to 127.0.0.1" in error.message
    assert "PARAKEET_COREML_MIRROR" in error.hint
    assert waits == [1, 2, 4, 8]


def test_a_name_that_cannot_be_looked_up_is_told(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    assert "cannot find huggingface.co" in fails(models_dir).message


def test_a_look_up_that_hangs_is_given_up(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hangs(*_: object, **__: object) -> None:
        release.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    error = fails(models_dir, replace(QUICK, stall=0.2, attempts=2))
    release.set()
    assert "huggingface.co has gone silent" in error.message


def test_a_stall_ends_the_attempt_and_the_next_goes_on_by_range(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.plan = ["stall:100000", "ok"]
    assert is_whole(get(models_dir, replace(QUICK, stall=1.0)))
    assert [request.range for request in hub.asked()] == ["", "bytes=100000-"]


def test_a_server_that_never_answers_is_given_up(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["silent"]
    error = fails(models_dir, replace(QUICK, stall=0.3, attempts=2))
    assert "127.0.0.1 has gone silent" in error.message
    assert len(hub.asked()) == 2


def test_a_drip_is_as_bad_as_a_stall(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["drip"]
    limits = replace(QUICK, window=0.3, slowest=10_000, attempts=3)
    assert "bytes a second" in fails(models_dir, limits).message
    assert len(hub.asked()) == 3, "bytes that drip must not buy new attempts"


def test_a_head_that_drips_is_as_bad_as_a_stall(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["drip_head"]
    error = fails(models_dir, replace(QUICK, stall=0.3, attempts=2))
    assert "has gone silent" in error.message


def test_the_whole_download_has_a_deadline(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["drip"]
    error = fails(models_dir, replace(QUICK, overall=0.5, attempts=1000))
    assert "takes too long" in error.message


def test_a_body_that_ends_early_is_completed_by_range(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["cut:100000", "cut:80000", "ok"]
    assert is_whole(get(models_dir))
    assert [request.range for request in hub.asked()] == ["", "bytes=100000-", "bytes=180000-"]
    assert hub.bodies == SMALL.size, "no byte was sent twice"


def test_progress_buys_new_attempts_but_not_for_ever(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["cut:70000", "503", "503", "cut:70000", "503", "503", "503", "ok"]
    assert is_whole(get(models_dir, replace(QUICK, attempts=4)))


def test_a_body_that_always_ends_early_fails_and_is_never_committed(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.plan = ["cut:0"]
    assert "ended" in fails(models_dir).message or "broke" in fails(models_dir).message
    assert len(hub.asked()) % QUICK.attempts == 0


def test_a_flipped_bit_is_found_and_fetched_anew_once(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["corrupt", "ok"]
    assert is_whole(get(models_dir))
    assert [request.range for request in hub.asked()] == ["", ""]


def test_a_bit_that_is_always_flipped_fails_and_leaves_no_byte(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.plan = ["corrupt"]
    assert "SHA-256" in fails(models_dir).message
    assert len(hub.asked()) == 2
    assert partial(models_dir).stat().st_size == 0


@pytest.mark.parametrize("mode", ["html", "html:exact"])
def test_a_log_in_page_is_not_a_model(hub: FaultServer, models_dir: Path, mode: str) -> None:
    begin(hub, models_dir, 100_000)
    hub.plan = [mode]
    assert "web page" in fails(models_dir).message
    assert partial(models_dir).stat().st_size == 100_000, "what had arrived is kept"


@pytest.mark.parametrize("mode", ["other:10", f"other:{SIZE * 2}", "wrong_range:shorter"])
def test_a_body_of_another_length_is_refused_before_what_arrived_is_given_up(
    hub: FaultServer, models_dir: Path, mode: str
) -> None:
    begin(hub, models_dir, 100_000)
    hub.plan = [mode]
    assert "announces" in fails(models_dir).message
    assert partial(models_dir).stat().st_size == 100_000
    assert len(hub.asked()) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_a_refusal_is_told_and_not_asked_for_again(
    hub: FaultServer, models_dir: Path, status: int
) -> None:
    hub.plan = [str(status)]
    assert f"127.0.0.1 answers {status}" in fails(models_dir).message
    assert len(hub.asked()) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_may_ask_for_half_a_minute_not_for_an_hour(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    hub.plan = [f"{status}:30", f"{status}:3600"]
    assert "3600 s" in fails(models_dir).hint
    assert waits == [30]
    assert len(hub.asked()) == 2


LAST_DAY = "Fri, 31 Dec 9999 23:59:59 -2359"
"""Past every date that there is, once it is told in UTC."""


def test_retry_after_may_be_a_date() -> None:
    at = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3500 < Head(503, {"retry-after": at}, "hub").retry_after <= 3600
    for text in ("", "soon", "-5", "1e9", "Mon, 99 Foo 2020 00:00:00 GMT", LAST_DAY):
        assert Head(503, {"retry-after": text}, "hub").retry_after == 0


def test_a_server_that_recovers_is_forgiven(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["500", "502", "ok"]
    assert is_whole(get(models_dir))


def test_a_partial_that_is_all_there_is_verified_without_asking(
    hub: FaultServer, models_dir: Path
) -> None:
    begin(hub, models_dir, 100_000)
    partial(models_dir).write_bytes(FILES[BIG])
    hub.plan = ["416"]
    assert is_whole(get(models_dir))
    assert hub.asked() == []


@pytest.mark.parametrize("size", [SIZE, SIZE + 1, SIZE * 2])
def test_a_partial_of_other_bytes_is_fetched_anew(
    hub: FaultServer, models_dir: Path, size: int
) -> None:
    begin(hub, models_dir, 100_000)
    partial(models_dir).write_bytes(bytes(size))
    hub.plan = ["ok"]
    assert is_whole(get(models_dir))
    assert [request.range for request in hub.asked()] == [""]


def test_a_range_the_server_cannot_satisfy_starts_over(hub: FaultServer, models_dir: Path) -> None:
    begin(hub, models_dir, 100_000)
    hub.plan = ["416", "ok"]
    assert is_whole(get(models_dir))
    assert [request.range for request in hub.asked()] == ["bytes=100000-", ""]


def test_the_whole_file_in_answer_to_a_range_replaces_the_partial(
    hub: FaultServer, models_dir: Path
) -> None:
    begin(hub, models_dir, 100_000)
    hub.plan = ["ignore_range"]
    assert is_whole(get(models_dir))
    assert len(hub.asked()) == 1


def test_a_server_that_gets_no_further_than_before_is_given_up(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.plan = ["cut_anew:100000"]
    fails(models_dir, replace(QUICK, attempts=3))
    assert len(hub.asked()) == 4, "only the first attempt brought something new"


@pytest.mark.parametrize("mode", ["wrong_range", "wrong_range:none"])
def test_another_part_than_asked_for_is_never_appended(
    hub: FaultServer, models_dir: Path, mode: str
) -> None:
    begin(hub, models_dir, 100_000)
    hub.plan = [mode, "ok"]
    assert is_whole(get(models_dir))
    assert [request.range for request in hub.asked()] == ["bytes=100000-", ""]


@pytest.mark.parametrize("mode", ["longer", "endless", "unknown_length:!"])
def test_more_bytes_than_the_manifest_states_are_cut_off(
    hub: FaultServer, models_dir: Path, mode: str
) -> None:
    hub.plan = [mode]
    error = fails(models_dir)
    assert f"{SIZE}" in error.message
    assert len(hub.asked()) == 1
    assert partial(models_dir).stat().st_size == 0


def test_a_body_of_unstated_length_is_measured(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["unknown_length"]
    assert is_whole(get(models_dir))


def test_a_file_that_changed_between_two_runs_is_not_mixed(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.files[BIG] = content(SIZE, 99)
    begin(hub, models_dir, 100_000)
    hub.files[BIG], hub.etag, hub.plan = FILES[BIG], '"second"', ["ok"]
    assert is_whole(get(models_dir))
    (request,) = hub.asked()
    assert (request.range, request.headers["if-range"]) == ("bytes=100000-", '"first"')


def test_without_a_strong_etag_the_hash_tells(hub: FaultServer, models_dir: Path) -> None:
    hub.etag = 'W/"weak"'
    hub.files[BIG] = content(SIZE, 99)
    begin(hub, models_dir, 100_000)
    hub.files[BIG], hub.plan = FILES[BIG], ["ok"]
    assert is_whole(get(models_dir))
    first, second = hub.asked()
    assert "if-range" not in first.headers
    assert (first.range, second.range) == ("bytes=100000-", "")


def test_compressed_bytes_are_refused(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["gzip"]
    assert "compressed" in fails(models_dir).message


@pytest.mark.parametrize(
    "location",
    [
        "http://example.com/file",
        "https://example.com/file",
        "//example.com/file",
        "https://hf.co.example.com/file",
        "https://evilhf.co/file",
        "https://user:password@huggingface.co/file",
        "http://huggingface.co/file",
        "http://127.0.0.1:1/file",
        "http://localhost/file",
        "file:///etc/passwd",
        "https://[::1/file",
        "https://huggingface.co:port/file",
        "https://evil.example\\.hf.co/file",
        "https://evil.example\\@hf.co/file",
        "https://evil.example#@hf.co/file",
        "https://hf.co@evil.example/file",
        "//evil.example/file",
    ],
)
def test_a_redirect_to_http_or_a_foreign_host_is_refused(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    reached: list[object] = []
    plain = socket.socket.connect

    def watched(self: socket.socket, address: tuple[str, int]) -> None:
        reached.append(address)
        plain(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    hub.plan = [f"redirect:{location}"]
    assert "redirects to" in fails(models_dir).message
    assert set(reached) == {("127.0.0.1", hub.server_port)}
    assert len(hub.asked()) == 1


@given(st.text(st.sampled_from("/\\@#?:.%[]a \t"), max_size=12), st.sampled_from(("hf.co", "e.x")))
@example("\\.", "hf.co")
def test_who_checks_a_redirect_and_who_follows_it_read_the_same_host(odd: str, end: str) -> None:
    mirror = Mirror(QUICK)
    try:
        url = mirror._redirect(f"https://evil.example{odd}{end}/x", "https://huggingface.co/a")
    except DownloadFailedError:
        return
    pool = urllib3.PoolManager().connection_from_url(url)
    assert f".{pool.host}".endswith((".hf.co", ".huggingface.co"))


def test_redirects_that_go_round_are_left_after_five(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["loop"]
    assert "more than 5 times" in fails(models_dir).message
    assert len(hub.asked()) == 6


def test_a_redirect_within_the_mirror_is_followed_and_resumes(
    hub: FaultServer, models_dir: Path
) -> None:
    begin(hub, models_dir, 100_000)
    hub.plan = ["redirect_here", "redirect_here"]
    assert is_whole(get(models_dir))


@pytest.mark.parametrize(
    "location",
    [
        "https://cdn-lfs-us-1.hf.co/repos/ab/cd?Signature=x",
        "https://cas-bridge.xethub.hf.co/xet-bridge-us/ab",
        "https://cdn-lfs.huggingface.co/ab",
        "https://huggingface.co/api/resolve-cache/models/ab",
    ],
)
def test_the_hosts_that_the_hub_stores_files_on_are_trusted_to_send_bytes(
    clean: None, location: str
) -> None:
    assert Mirror(QUICK)._redirect(location, "https://huggingface.co/a") == location


@pytest.mark.parametrize(
    "base",
    [
        "http://example.com",
        "ftp://example.com",
        "example.com",
        "https://user:password@example.com",
        "https://example.com/?a=b",
        "https://[::1",
        "https://example.com:99999",
        "https://",
    ],
)
@pytest.mark.parametrize("variable", ["PARAKEET_COREML_MIRROR", "HF_ENDPOINT"])
def test_a_mirror_is_https_and_carries_no_password(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str, base: str
) -> None:
    monkeypatch.setenv(variable, base)
    with pytest.raises(UsageError, match=variable) as caught:
        get(models_dir)
    assert "password@" not in caught.value.message


def test_our_own_mirror_variable_goes_before_the_hubs(
    clean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Mirror(QUICK).base == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "https://b.example/")
    assert Mirror(QUICK).base == "https://b.example"
    monkeypatch.setenv("PARAKEET_COREML_MIRROR", "https://a.example/hub/")
    file = SMALL.files[0]
    assert Mirror(QUICK).url(SMALL, file) == (
        f"https://a.example/hub/someone/some-model/resolve/{SMALL.revision}/{file.path}"
    )


@pytest.mark.parametrize("certificate", ["valid.pem", "expired.pem"])
def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch, certificate: str
) -> None:
    with serving(certificate=certificate) as server:
        monkeypatch.setenv("PARAKEET_COREML_MIRROR", f"https://127.0.0.1:{server.server_port}")
        assert "certificate" in fails(models_dir).message
        assert server.requests == []


def test_an_expired_certificate_is_refused_though_its_issuer_is_trusted(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(certificate="expired.pem") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(Path(__file__).parent / "tls" / "expired.pem"))
        monkeypatch.setenv("PARAKEET_COREML_MIRROR", f"https://127.0.0.1:{server.server_port}")
        assert "certificate" in fails(models_dir).message


def test_a_certificate_named_by_ssl_cert_file_is_trusted(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(certificate="valid.pem") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(Path(__file__).parent / "tls" / "valid.pem"))
        monkeypatch.setenv("PARAKEET_COREML_MIRROR", f"https://127.0.0.1:{server.server_port}")
        assert is_whole(get(models_dir))


def test_a_python_that_knows_no_certificates_uses_the_systems(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a frozen one does on a machine unlike the one it was built on."""
    nowhere = SimpleNamespace(cafile=None, capath=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    bundles = ("/no/such.pem", str(Path(__file__).parent / "tls" / "valid.pem"))
    monkeypatch.setattr(connect, "_BUNDLES", bundles)
    with serving(certificate="valid.pem") as server:
        monkeypatch.setenv("PARAKEET_COREML_MIRROR", f"https://127.0.0.1:{server.server_port}")
        assert is_whole(get(models_dir))


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_broken_proxy_is_named_without_its_password(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://me:secret@127.0.0.1:9")
    error = fails(models_dir)
    assert "proxy http://127.0.0.1:9" in error.message
    assert "secret" not in error.message + error.hint


def test_a_proxy_is_asked_for_a_tunnel_with_its_password(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while not asked or b"\r\n\r\n" not in asked[0]:
                asked[:] = [b"".join([*asked, connection.recv(4096)])]
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,), daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://me:p%40ss@127.0.0.1:{port}")
        error = fails(models_dir, replace(QUICK, attempts=1))
        thread.join()
    assert f"proxy http://127.0.0.1:{port}" in error.message
    head = asked[0].decode().lower()
    assert head.startswith("connect huggingface.co:443 ")
    credentials = base64.b64encode(b"me:p@ss").decode()
    assert f"proxy-authorization: basic {credentials}".lower() in head


def test_a_kind_of_proxy_we_cannot_use_is_named(
    clean: None, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "socks5://me:secret@127.0.0.1:9")
    assert "proxy socks5://127.0.0.1:9" in fails(models_dir).message


def test_a_mirror_on_this_machine_needs_no_proxy(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert is_whole(get(models_dir))


@pytest.mark.parametrize("variable", ["PARAKEET_COREML_OFFLINE", "HF_HUB_OFFLINE"])
def test_an_offline_switch_fails_before_anything_is_asked(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    assert "forbids the network" in fails(models_dir).message
    assert hub.requests == []


def test_an_installed_model_stays_what_it_is_though_the_hub_changes(
    hub: FaultServer, models_dir: Path
) -> None:
    get(models_dir)
    hub.requests.clear()
    hub.files[BIG] = content(SIZE, 99)
    assert is_whole(get(models_dir))
    assert hub.requests == []


def test_a_clock_that_jumps_back_two_days_disturbs_nothing(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    jumps = iter(range(10_000))
    monkeypatch.setattr(time, "time", lambda: now - 2 * 86_400 * next(jumps))
    hub.plan = ["cut:100000", "503", "ok"]
    assert is_whole(get(models_dir))


def test_a_file_that_two_paths_share_is_fetched_for_each(
    hub: FaultServer, models_dir: Path
) -> None:
    files = {"a/model.mil": b"same", "b/model.mil": b"same"}
    hub.files = files
    model = install(manifest_of(files), models_dir, limits=QUICK)
    assert (model.directory / "b/model.mil").read_bytes() == b"same"
