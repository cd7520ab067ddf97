"""What the registry says of a backend agrees with the store, the binding and the package."""

import tomllib
from pathlib import Path

from parakeet_coreml.backends import binding
from parakeet_coreml.backends.base import COMPUTE_UNITS, INSTALL
from parakeet_coreml.backends.registry import ENTRIES, NAMES, RUNTIMES
from parakeet_coreml.store.locate import LAYOUTS

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_a_backend_with_a_package_has_a_layout_and_a_way_to_get_it() -> None:
    assert NAMES == ("coreml", "onnx", "mlx", "scripted")
    for entry in ENTRIES.values():
        assert bool(entry.layout) == bool(entry.package) == bool(entry.install)
    assert RUNTIMES.keys() == LAYOUTS.keys() == INSTALL.keys()


def test_compute_units_are_what_the_binding_knows() -> None:
    assert ENTRIES["coreml"].units == COMPUTE_UNITS == tuple(binding.UNITS)


def test_the_hint_asks_for_the_versions_that_the_package_does() -> None:
    wanted = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    for name in ("coreml", "onnx"):
        requirement = INSTALL[name].split("'")[1]
        assert any(each.split(";")[0].strip() == requirement for each in wanted)
