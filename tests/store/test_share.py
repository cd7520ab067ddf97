"""Files that two models have in common are fetched once and lie on the disk once."""

import os
from pathlib import Path

import pytest
from fault_server import BIG, FILES, QUICK, FaultServer, content, manifest_of

from parakeet_coreml.store import share
from parakeet_coreml.store.install import install, remove
from parakeet_coreml.store.locate import installed
from parakeet_coreml.store.manifest import Manifest
from parakeet_coreml.store.verify import verify_files

pytest_plugins = ("fault_fixtures",)

ENCODER = "Encoder_v2.mlmodelc/weights/weight.bin"
SHARED = [name for name in FILES if name != BIG]


@pytest.fixture
def pair(hub: FaultServer, monkeypatch: pytest.MonkeyPatch) -> tuple[Manifest, Manifest]:
    """Two models that differ in one file; the hub has both."""
    other = {name: FILES[name] for name in SHARED} | {ENCODER: content(50_000, 9)}
    hub.files |= other
    old = manifest_of(FILES, name="v3", backend="coreml")
    new = manifest_of(other, name="v3-int8", backend="coreml")
    monkeypatch.setattr(share, "published", lambda: [old, new])
    return old, new


def is_whole(wanted: Manifest, models_dir: Path) -> bool:
    verify_files(wanted, installed(wanted, models_dir).directory)
    return True


def test_only_what_differs_is_fetched_and_the_rest_lies_there_once(
    hub: FaultServer, models_dir: Path, pair: tuple[Manifest, Manifest]
) -> None:
    old, new = pair
    install(old, models_dir, limits=QUICK)
    hub.requests.clear()
    install(new, models_dir, limits=QUICK)
    assert {request.path.rpartition("/")[2] for request in hub.requests} == {"weight.bin"}
    for name in SHARED:
        assert (models_dir / old.folder / name).samefile(models_dir / new.folder / name)
    remove(old, models_dir)
    assert is_whole(new, models_dir)


def test_damaged_or_linked_files_of_the_other_model_are_not_taken(
    hub: FaultServer, models_dir: Path, pair: tuple[Manifest, Manifest], tmp_path: Path
) -> None:
    old, new = pair
    install(old, models_dir, limits=QUICK)
    damaged, linked, *_ = (models_dir / old.folder / name for name in SHARED)
    damaged.write_bytes(bytes(damaged.stat().st_size))
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    install(new, models_dir, limits=QUICK)
    assert is_whole(new, models_dir)
    assert not damaged.samefile(models_dir / new.folder / damaged.name)


def test_repairing_one_model_leaves_the_other_as_it_is(
    hub: FaultServer, models_dir: Path, pair: tuple[Manifest, Manifest]
) -> None:
    old, new = pair
    for one in pair:
        install(one, models_dir, limits=QUICK)
    (models_dir / new.folder / ENCODER).unlink()
    install(new, models_dir, limits=QUICK)
    assert is_whole(old, models_dir)
    assert is_whole(new, models_dir)


def test_where_there_are_no_links_everything_is_fetched(
    hub: FaultServer,
    models_dir: Path,
    pair: tuple[Manifest, Manifest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = pair
    install(old, models_dir, limits=QUICK)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    install(new, models_dir, limits=QUICK)
    assert is_whole(new, models_dir)
