"""What development installs: locked, hashed, from no particular index, as pyproject.toml asks."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements-dev.lock").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13")


def entries() -> list[tuple[Requirement, list[str]]]:
    """Return what is locked, each with its hashes."""
    found = []
    for line in LOCK.replace("\\\n", " ").splitlines():
        what, *hashes = re.split(r"\s+--hash=", line)
        found.append((Requirement(what), hashes))
    return found


def test_everything_is_pinned_and_hashed() -> None:
    assert len(entries()) > 30
    for requirement, hashes in entries():
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)


def test_no_index_is_named() -> None:
    assert "//" not in LOCK
    assert not re.search(r"(?m)^\s*(-i|-f|--(?!hash=))", LOCK)


def wanted(extra: str) -> Iterator[Requirement]:
    """Yield what the package asks for with an extra, that of the extras it names included."""
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]):
        asked = Requirement(text)
        if asked.name == PROJECT["name"]:
            for other in asked.extras:
                yield from wanted(other)
        else:
            yield asked


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_what_the_package_asks_for_is_locked_for_every_python(python: str, platform: str) -> None:
    machine = {"linux": "x86_64", "darwin": "arm64"}[platform]
    env = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
        "platform_machine": machine,
    }
    locked: dict[str, str] = {}
    for requirement, _ in entries():
        if requirement.marker is None or requirement.marker.evaluate(env):
            assert requirement.name not in locked, "two versions of one package"
            (pin,) = requirement.specifier
            locked[requirement.name] = pin.version
    for asked in wanted("dev"):
        if asked.marker is None or asked.marker.evaluate(env):
            assert asked.specifier.contains(locked[asked.name]), asked


def test_the_pythons_tried_are_those_of_the_package() -> None:
    assert [
        v for v in ("3.10", *PYTHONS, "3.14") if v in SpecifierSet(PROJECT["requires-python"])
    ] == [*PYTHONS]
