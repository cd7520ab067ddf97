"""What the registry says of a backend agrees with the store, the binding and the package."""

import re
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


def test_every_page_asks_for_the_coremltools_whose_binding_was_read() -> None:
    (low, high), root = (binding.KNOWN[0], binding.KNOWN[-1]), PROJECT.parent
    known = f">={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"
    pages = (
        "pyproject.toml",
        "parakeet_coreml/backends/base.py",
        "models/convert/requirements.txt",
        "docs/MAC-CHECKLIST.md",
    )
    for page in pages:
        asked = set(re.findall(r"coremltools([<>=~!][^;' \n]*)", (root / page).read_text("utf-8")))
        assert asked - {"==8.3"} == {known}, page  # 8.3: the checklist tries one that is refused
    others = (root / "build/parakeet-coreml.spec", root / "tests/backends/test_coreml.py")
    assert not [path for path in others if "coremltools>=" in path.read_text("utf-8")]


def test_the_hint_asks_for_the_versions_that_the_package_does() -> None:
    wanted = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    for name in ("coreml", "onnx"):
        requirement = INSTALL[name].split("'")[1]
        assert any(each.split(";")[0].strip() == requirement for each in wanted)
