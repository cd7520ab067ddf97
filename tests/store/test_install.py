"""What disks, locks, kills and other users do."""

import errno
import fcntl
import functools
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fault_server import (
    BIG,
    FILES,
    QUICK,
    SMALL,
    FaultServer,
    content,
    install_elsewhere,
    interfere,
    manifest_of,
)
from power_loss import Journal
from support import requires

from parakeet_coreml.errors import (
    DownloadFailedError,
    ModelCorruptError,
    ModelMissingError,
    StorageError,
)
from parakeet_coreml.store import partial
from parakeet_coreml.store.install import install, remove
from parakeet_coreml.store.locate import Model, installed
from parakeet_coreml.store.manifest import MARKER, Manifest
from parakeet_coreml.store.state import STAGING, staged_size
from parakeet_coreml.store.verify import verify_files

pytest_plugins = ("fault_fixtures",)

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["parakeet_coreml.store.install", "fault_server"])

TINY = manifest_of({"vocab.txt": b"a 0\n", "deep/er/model.mil": b"program"})
TINY_FILES = {"vocab.txt": b"a 0\n", "deep/er/model.mil": b"program"}
BIG_PARTIAL = f"{hashlib.sha256(FILES[BIG]).hexdigest()}.partial"


def get(models_dir: Path, wanted: Manifest = SMALL) -> Model:
    return install(wanted, models_dir, limits=QUICK)


def is_whole(models_dir: Path, wanted: Manifest = SMALL) -> bool:
    verify_files(wanted, installed(wanted, models_dir).directory)
    return True


@pytest.fixture(autouse=True, scope="module")
def quick_processes() -> None:
    """Let the processes of `elsewhere` start with everything imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


def elsewhere(hub: FaultServer, models_dir: Path, wanted: Manifest = SMALL, **options: Any) -> Any:
    """Start an installation in a process of its own."""
    process = PROCESSES.Process(
        target=install_elsewhere,
        args=(wanted.text, str(models_dir), hub.base, options.pop("limits", {})),
        kwargs=options,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(sys.modules["__main__"], "__file__", raising=False)  # or it is run anew
        process.start()
    return process


def ended(process: Any) -> int | None:
    """Return a process's exit code."""
    process.join(60)
    assert not process.is_alive()
    code: int | None = process.exitcode
    process.close()
    return code


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """Give a folder where an fsync costs nothing, for tests of hundreds of installations."""
    memory = Path("/dev/shm")  # noqa: S108  only if it is there
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


# Kills


def test_a_kill_while_bytes_arrive_loses_none_that_were_written(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.files = FILES | {BIG: content(3_000_000, 20)}
    hub.send_little_at_once()
    wanted = manifest_of(hub.files)
    seeded = random.Random(20)
    kills, kept = 0, 0
    for _ in range(30):
        start = hub.bodies
        hub.requests.clear()
        process = elsewhere(hub, models_dir, wanted)
        # The server kills its client after so many bytes.
        count = seeded.randrange(8192, 500_000)
        hub.on_sent = lambda sum_, at=start + count, it=process: sum_ >= at and it.kill()  # type: ignore[misc]
        killed = ended(process) == -signal.SIGKILL
        hub.on_sent = lambda _: None
        for request in hub.asked():
            assert request.range == (f"bytes={kept}-" if kept else "")
        if not killed:
            break
        kills += 1
        partials = list((models_dir / STAGING / wanted.folder).glob("*.partial"))
        assert len(partials) <= 1, "of the file that was arriving"
        kept = max((partial.stat().st_size for partial in partials), default=0)
    assert kills >= 8, "so few kills show little"
    get(models_dir, wanted)
    assert is_whole(models_dir, wanted)
    on_its_way = 512 * 1024  # socket buffers, and what the reading thread holds
    assert hub.bodies <= wanted.size + kills * on_its_way


def test_a_kill_before_any_operation_on_the_disk_leaves_nothing_half_done(
    hub: FaultServer, in_memory: Path
) -> None:
    hub.files = dict(TINY_FILES)
    for number in range(1000):
        models_dir = in_memory / str(number)
        code = ended(elsewhere(hub, models_dir, TINY, die_at=number))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        try:
            assert is_whole(models_dir, TINY)
        except ModelMissingError:
            get(models_dir, TINY)
            assert is_whole(models_dir, TINY)
        assert len(list(models_dir.rglob("*.partial"))) == 0
    assert number > 20


# Disks


def test_a_disk_that_is_too_full_is_told_before_anything_is_fetched(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        f_frsize = 1
        f_bavail = SMALL.size  # just enough is not enough

    monkeypatch.setattr(os, "fstatvfs", lambda _: Full)
    with pytest.raises(StorageError, match=f"{SMALL.size} bytes free"):
        get(models_dir)
    assert hub.requests == []


def test_what_has_arrived_needs_no_more_space(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.plan = ["cut:200000", "404"]
    with pytest.raises(DownloadFailedError):
        get(models_dir)

    class Tight:
        f_frsize = 1
        f_bavail = int((SMALL.size - 200_000) * 1.05)

    monkeypatch.setattr(os, "fstatvfs", lambda _: Tight)
    hub.plan = ["ok"]
    get(models_dir)
    assert is_whole(models_dir)


FILL = """
import sys
from fault_server import FILES, SMALL, install_elsewhere, serving
with serving() as hub:
    install_elsewhere(SMALL.text, sys.argv[1], hub.base, {})
"""


@pytest.mark.parametrize("room", ["200k", "320k"])
def test_a_disk_that_fills_up_keeps_what_arrived(
    clean: None, tmp_path: Path, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real file system of `room`; without the right to mount one, a limit on file sizes."""
    fill = f"import os; os.fstatvfs = lambda _: os.statvfs('/')\n{FILL}"
    mount = f"mount -t tmpfs -o size={room} none {tmp_path}"
    count = "find . -type f -name '*.partial' -size +0 | wc -l"
    script = f'{mount} && cd {tmp_path} && "$0" -c "$1" {tmp_path}/models; echo $? && {count}'
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    asked = ["unshare", "-rm", "true"] if shutil.which("unshare") else ["false"]
    allowed = subprocess.run(asked, capture_output=True, check=False)
    if allowed.returncode:
        script = script.replace(mount, f"ulimit -f {room.removesuffix('k')}")
    shell = ["sh"] if allowed.returncode else ["unshare", "-rm", "sh"]
    done = subprocess.run(
        [*shell, "-c", script, sys.executable, fill], capture_output=True, text=True, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["31", "1"], "")


def test_an_operation_that_fails_at_any_point_commits_nothing_and_a_retry_succeeds(
    hub: FaultServer, in_memory: Path
) -> None:
    hub.files = dict(TINY_FILES)
    seen = set()
    for number in range(1000):
        models_dir = in_memory / str(number)
        with pytest.MonkeyPatch.context() as patch:
            failed = _failing_at(number, patch)
            with suppress(StorageError):
                get(models_dir, TINY)
        seen |= set(failed)
        if not failed:
            break
        try:
            assert is_whole(models_dir, TINY)
        except ModelMissingError:
            get(models_dir, TINY)
            assert is_whole(models_dir, TINY)
    assert number > 20
    assert seen >= {"open", "write", "fsync", "mkdir", "rename"}


def _failing_at(number: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Let one operation fail; the list it is noted in is returned."""
    failed: list[str] = []

    def act(count: int, name: str) -> None:
        if count == number:
            failed.append(name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    interfere(act, patch.setattr)
    return failed


def test_a_failing_fsync_is_an_error_and_nothing_is_committed(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StorageError, match="Input/output error"):
        get(models_dir)
    with pytest.raises(ModelMissingError):
        installed(SMALL, models_dir)


FINAL = f"models/{TINY.folder}"


@pytest.mark.parametrize("unsynced", ["kept", "lost", "garbled"])
def test_a_power_cut_at_any_moment_leaves_a_whole_model_or_none(
    hub: FaultServer, tmp_path: Path, unsynced: str
) -> None:
    requires("/proc", present=Path("/proc/self/fd").exists())
    hub.files = dict(TINY_FILES)
    models_dir = tmp_path / "models"
    journal = Journal(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        journal.watch(patch)
        get(models_dir, TINY)
    committed = next(n for n, step in enumerate(journal.steps) if step[2:] == (FINAL,))
    assert ("fsync", "models") in journal.steps[committed:], "the new name reaches the disk too"
    outcomes = []
    for count in range(len(journal.steps) + 1):
        target = tmp_path / "after" / str(count)
        journal.replay(target, count, unsynced)
        try:
            outcomes.append(is_whole(target / "models", TINY))
        except ModelMissingError:
            outcomes.append(False)
    assert outcomes == sorted(outcomes), "once committed, always committed"
    assert not outcomes[0]
    assert outcomes[-1]


def test_a_models_folder_that_is_a_file_or_a_dangling_link_is_told_with_its_path(
    hub: FaultServer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for models_dir in (tmp_path / "file", tmp_path / "link", tmp_path / "file" / "below"):
        with pytest.raises(StorageError) as caught:
            get(models_dir)
        assert str(models_dir) in caught.value.message


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that any user may enter."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # those of pytest are closed to other users
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("inside", ["", "models"])
def test_a_folder_where_we_may_not_write_or_that_belongs_to_another_is_told(
    hub: FaultServer, open_folder: Path, inside: str
) -> None:
    (open_folder / inside).mkdir(exist_ok=True)
    if os.geteuid() == 0:
        process = elsewhere(hub, open_folder / "models", user=65534)
    else:
        (open_folder / inside).chmod(0o555)
        process = elsewhere(hub, open_folder / "models")
    assert ended(process) == StorageError.exit_code
    assert hub.requests == []


def test_without_a_usable_home_the_models_folder_can_be_named(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/no/such/home")
    with pytest.raises(StorageError, match="/proc/no/such/home") as caught:
        install(SMALL, None, limits=QUICK)
    assert "--models-dir" in caught.value.hint
    get(models_dir)
    assert is_whole(models_dir)


# Locks


def test_of_eight_downloads_at_once_one_transfers_and_all_succeed(
    hub: FaultServer, models_dir: Path
) -> None:
    processes = [elsewhere(hub, models_dir, limits={"lock": 60}) for _ in range(8)]
    assert [ended(process) for process in processes] == [0] * 8
    assert is_whole(models_dir)
    assert hub.bodies == SMALL.size
    assert staged_size(models_dir, SMALL.folder) == 0


def test_the_lock_of_a_dead_process_holds_nothing(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["stall:1000", "ok"]
    process = elsewhere(hub, models_dir)
    assert hub.waiting.wait(30)
    process.kill()
    ended(process)
    get(models_dir)
    assert is_whole(models_dir)


def test_a_stopped_download_is_waited_for_a_while_and_then_named(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.plan = ["stall:1000"]
    process = elsewhere(hub, models_dir)
    assert hub.waiting.wait(30)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(DownloadFailedError, match=f"process {process.pid} ") as caught:
            install(SMALL, models_dir, limits=replace(QUICK, lock=0.3))
        assert f"kill {process.pid}" in caught.value.hint
        with pytest.raises(StorageError, match="being downloaded"):
            remove(SMALL, models_dir)
    finally:
        process.kill()
        ended(process)


def test_a_download_that_goes_on_is_waited_for_however_long(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.plan = ["drip"]
    process = elsewhere(hub, models_dir)
    while staged_size(models_dir, SMALL.folder) < len(FILES["config.json"]) + 3:
        assert process.is_alive()
    began = time.monotonic()
    hub.plan = ["ok"]
    release_at = iter([False] * 10)

    def arrived(_: int) -> None:
        if next(release_at, True):
            process.kill()

    hub.on_sent = arrived  # ten more bytes, each within our patience, then the lock is free
    install(SMALL, models_dir, limits=replace(QUICK, lock=10.0))
    hub.on_sent = lambda _: None
    ended(process)
    assert is_whole(models_dir)
    assert time.monotonic() - began < 30


def test_patience_counts_from_the_last_byte_that_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(partial, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    monkeypatch.setattr(partial, "try_lock", lambda _: clock[0] > 30)
    folder = os.open(tmp_path, os.O_RDONLY)
    take = functools.partial(partial.locked, folder, "x.lock", patience=2.0)
    try:
        with take(progress=lambda: int(clock[0])) as held:
            assert held
        clock[0] = 0.0
        (tmp_path / "x.lock").write_text("")
        with pytest.raises(DownloadFailedError, match="another process"), take(progress=int):
            pass
        assert clock[0] < 3
    finally:
        os.close(folder)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_a_download_still_succeeds(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _without_locks(monkeypatch, code)
    get(models_dir)
    assert is_whole(models_dir)
    assert not list((models_dir / STAGING).glob(f"{SMALL.folder}.[0-9]*"))


def _without_locks(monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOLCK) -> None:
    def unsupported(_: int, __: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", unsupported)


@pytest.mark.parametrize("damage", [False, True])
def test_the_later_of_two_downloads_without_locks_is_harmless(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch, damage: bool
) -> None:
    _without_locks(monkeypatch)

    def overtaken(_: int) -> None:
        hub.on_sent = lambda _: None
        assert ended(elsewhere(hub, models_dir)) == 0
        if damage:
            (models_dir / SMALL.folder / BIG).write_bytes(b"")

    hub.on_sent = overtaken
    get(models_dir)
    assert is_whole(models_dir)


# What lies about


def test_what_was_given_up_a_month_ago_is_removed_unless_locked(
    hub: FaultServer, models_dir: Path
) -> None:
    staging = models_dir / STAGING
    old, held, young = (staging / f"{name}-onnx-0123456789ab" for name in ("old", "held", "young"))
    for folder in (old, held, young, staging / f"{SMALL.folder}.123-abc"):
        (folder / "files").mkdir(parents=True)
        (folder / "x.partial").write_bytes(b"part")
        month = time.time() - (31 * 86_400 if folder is not young else 29 * 86_400)
        for path in (folder / "x.partial", folder / "files", folder):
            os.utime(path, (month, month))
    lock = os.open(f"{held}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        get(models_dir)
    finally:
        os.close(lock)
    assert {path.name for path in staging.iterdir() if path.is_dir()} == {held.name, young.name}


def test_our_own_partial_is_gone_on_with_however_old(hub: FaultServer, models_dir: Path) -> None:
    hub.plan = ["cut:100000", "404"]
    with pytest.raises(DownloadFailedError):
        get(models_dir)
    for path in (models_dir / STAGING).rglob("*"):
        os.utime(path, (0, 0))
    os.utime(models_dir / STAGING / SMALL.folder, (0, 0))
    hub.plan = ["ok"]
    hub.requests.clear()
    get(models_dir)
    assert [request.range for request in hub.asked()] == ["bytes=100000-"]


def test_folders_of_other_tools_and_versions_are_left_alone(
    hub: FaultServer, models_dir: Path
) -> None:
    others = ["parakeet-tdt-0.6b-v3", "v3", "v3-onnx", "v3-onnx-ffffffffffff"]
    for name in others:
        (models_dir / name).mkdir(parents=True)
        (models_dir / name / MARKER).write_text("{}")
    get(models_dir)
    assert all((models_dir / name / MARKER).read_text() == "{}" for name in others)


def test_what_a_newer_version_wrote_is_refused_and_not_touched(
    hub: FaultServer, models_dir: Path
) -> None:
    marker = models_dir / SMALL.folder / MARKER
    marker.parent.mkdir(parents=True)
    marker.write_text('{"schema": 2}')
    for act in (get, lambda folder: remove(SMALL, folder), lambda f: installed(SMALL, f)):
        with pytest.raises(ModelMissingError, match="newer version"):
            act(models_dir)
    assert marker.read_text() == '{"schema": 2}'
    assert hub.requests == []


def _link(path: Path) -> None:
    path.rename(f"{path}.data")
    path.symlink_to(f"{path}.data")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _swap(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(content(len(FILES[BIG]), 8))
    other.replace(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, 1000),
    "absent": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "web_page": lambda path: path.write_bytes(b"<html>"),
    "longer": lambda path: path.write_bytes(bytes(len(FILES[BIG]) + 1)),
    "link": _link,
    "folder": _folder,
    "pipe": _pipe,
}
SAME_SIZE: dict[str, Callable[[Path], object]] = {
    "flipped_bit": lambda path: path.write_bytes(bytes([FILES[BIG][0] ^ 1]) + FILES[BIG][1:]),
    "garbage": lambda path: path.write_bytes(content(len(FILES[BIG]), 7)),
    "swapped": _swap,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_that_sizes_tell_is_found_at_once_and_repaired_by_one_file(
    hub: FaultServer, models_dir: Path, damage: str
) -> None:
    get(models_dir)
    DAMAGES[damage](models_dir / SMALL.folder / BIG)
    with pytest.raises(ModelCorruptError, match=BIG) as caught:
        installed(SMALL, models_dir)
    assert caught.value.hint.startswith("parakeet-coreml models download v3 --backend onnx")
    hub.requests.clear()
    get(models_dir)
    assert is_whole(models_dir)
    assert len(hub.requests) == len(hub.asked()) == 1, "the other files were right"


@pytest.mark.parametrize("damage", SAME_SIZE)
def test_damage_that_only_the_hash_tells_is_found_by_verify_and_repaired_by_one_file(
    hub: FaultServer, models_dir: Path, damage: str
) -> None:
    model = get(models_dir)
    SAME_SIZE[damage](model.directory / BIG)
    installed(SMALL, models_dir)
    with pytest.raises(ModelCorruptError, match="SHA-256"):
        verify_files(SMALL, model.directory)
    assert (model.directory / BIG).exists(), "verify deletes nothing"
    hub.requests.clear()
    get(models_dir)
    assert is_whole(models_dir)
    assert len(hub.requests) == 1


def test_a_folder_without_its_marker_or_with_a_partial_is_absent(
    hub: FaultServer, models_dir: Path
) -> None:
    directory = get(models_dir).directory
    (directory / "x.partial").write_bytes(b"")
    with pytest.raises(ModelMissingError):
        installed(SMALL, models_dir)
    (directory / "x.partial").unlink()
    assert is_whole(models_dir)
    (directory / MARKER).unlink()
    with pytest.raises(ModelMissingError):
        installed(SMALL, models_dir)
    hub.requests.clear()
    get(models_dir)
    assert is_whole(models_dir)
    assert hub.requests == [], "the files were there, and right"


def test_a_repair_that_fails_can_be_gone_on_with(hub: FaultServer, models_dir: Path) -> None:
    directory = get(models_dir).directory
    (directory / BIG).write_bytes(b"")
    hub.plan = ["404"]
    with pytest.raises(DownloadFailedError):
        get(models_dir)
    hub.plan = ["ok"]
    hub.requests.clear()
    get(models_dir)
    assert is_whole(models_dir)
    assert len(hub.requests) == 1


# Other users


def test_a_link_in_place_of_a_partial_is_not_followed(
    hub: FaultServer, models_dir: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    staged = models_dir / STAGING / SMALL.folder
    staged.mkdir(parents=True)
    (staged / BIG_PARTIAL).symlink_to(victim)
    with pytest.raises(StorageError, match=BIG_PARTIAL):
        get(models_dir)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("planted", [STAGING, f"{STAGING}/{SMALL.folder}", SMALL.folder])
def test_a_link_in_place_of_a_folder_is_not_followed(
    hub: FaultServer, models_dir: Path, tmp_path: Path, planted: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    link = models_dir / planted
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    with pytest.raises(StorageError):
        get(models_dir)
    with suppress(StorageError):
        assert not remove(SMALL, models_dir)
    assert list(victim.iterdir()) == []
    assert link.is_symlink()


def test_a_link_within_a_damaged_model_takes_nothing_from_elsewhere(
    hub: FaultServer, models_dir: Path, tmp_path: Path
) -> None:
    hub.files = dict(TINY_FILES)
    directory = get(models_dir, TINY).directory
    (directory / "deep").rename(tmp_path / "elsewhere")
    (directory / "deep").symlink_to(tmp_path / "elsewhere")
    (directory / "vocab.txt").write_text("damaged")
    get(models_dir, TINY)
    assert is_whole(models_dir, TINY)
    assert (tmp_path / "elsewhere/er/model.mil").exists()


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("which", [".", STAGING])
def test_a_folder_that_others_may_write_in_is_refused(
    hub: FaultServer, models_dir: Path, which: str, mode: int
) -> None:
    (models_dir / STAGING).mkdir(parents=True)
    (models_dir / which).chmod(mode)
    with pytest.raises(StorageError, match="other users") as caught:
        get(models_dir)
    assert "chmod go-w" in caught.value.hint
    assert hub.requests == []


def test_what_we_make_nobody_else_may_write_in_whatever_the_umask(
    hub: FaultServer, models_dir: Path
) -> None:
    before = os.umask(0)
    try:
        get(models_dir)
    finally:
        os.umask(before)
    assert not [path for path in models_dir.rglob("*") if path.lstat().st_mode & 0o022]


def test_nor_in_the_folders_above_the_models(hub: FaultServer, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        get(tmp_path / "a" / "b" / "models")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/models")] == [
        0o755,
        0o755,
        0o755,
    ]


DARWIN = """
import errno, fcntl, os, sys
errno.ENOTSUP, errno.EOPNOTSUPP = 45, 102
fcntl.F_FULLFSYNC = 51

def unsupported(*_):
    raise OSError(45, "Operation not supported")

fcntl.flock = fcntl.fcntl = unsupported
from pathlib import Path
from fault_server import QUICK, SMALL
from parakeet_coreml.store.install import install
print(install(SMALL, Path(sys.argv[1]), limits=QUICK).directory.name)
"""


def test_a_network_share_of_a_mac_has_neither_locks_nor_full_syncs(
    hub: FaultServer, models_dir: Path
) -> None:
    """`hub` has put its address into the environment; the numbers are xnu's."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", DARWIN, str(models_dir)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == (f"{SMALL.folder}\n", "")
    assert is_whole(models_dir)


@pytest.mark.parametrize("kind", ["pipe", "hard_link", "folder"])
@pytest.mark.parametrize("name", [BIG_PARTIAL, f"../{SMALL.folder}.lock"])
def test_a_partial_or_lock_that_is_no_plain_file_of_ours_is_refused(
    hub: FaultServer, models_dir: Path, tmp_path: Path, kind: str, name: str
) -> None:
    staged = models_dir / STAGING / SMALL.folder
    staged.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    plant: dict[str, Callable[[Path], object]] = {
        "pipe": os.mkfifo,
        "hard_link": lambda path: os.link(victim, path),
        "folder": lambda path: path.mkdir(),
    }
    plant[kind](staged / name)
    with pytest.raises(StorageError):
        get(models_dir)
    assert victim.read_text() == "precious"


# Removing


def test_a_removed_model_leaves_nothing_but_its_lock(hub: FaultServer, models_dir: Path) -> None:
    get(models_dir)
    assert remove(SMALL, models_dir)
    assert [path.name for path in models_dir.rglob("*")] == [STAGING, f"{SMALL.folder}.lock"]
    assert not remove(SMALL, models_dir)


def test_a_removal_that_stops_half_way_leaves_no_model(hub: FaultServer, models_dir: Path) -> None:
    get(models_dir)

    def stop(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", stop)
        with pytest.raises(StorageError):
            remove(SMALL, models_dir)
    with pytest.raises(ModelMissingError):
        installed(SMALL, models_dir)
    assert remove(SMALL, models_dir)


def test_removing_takes_what_an_unfinished_download_left(
    hub: FaultServer, models_dir: Path
) -> None:
    hub.plan = ["cut:1000", "404"]
    with pytest.raises(DownloadFailedError):
        get(models_dir)
    assert remove(SMALL, models_dir)
    assert staged_size(models_dir, SMALL.folder) == 0


def test_removing_never_takes_a_folder_of_another_user(
    hub: FaultServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(models_dir)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(StorageError, match="not to you"):
        remove(SMALL, models_dir)
    assert is_whole(models_dir)
