"""What a backend is opened with, and that it crosses the process border whole."""

import json
from pathlib import Path

import pytest

from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.errors import ModelCorruptError, ModelUnusableError
from parakeet_coreml.store.locate import BUILT_IN_DIRECTORY, stated
from parakeet_coreml.store.manifest import DURATIONS


@pytest.mark.parametrize(
    "spec",
    [
        BackendSpec("scripted", "x", "/x"),
        BackendSpec("onnx", "v3", "/v3", blank=8_192, durations=(0, 1, 2, 3, 9)),
        BackendSpec("coreml", "v3", "/v3", blank=0, served=4, attempt=1, models_dir="/models"),
    ],
)
def test_json_brings_it_back_as_it_was(spec: BackendSpec) -> None:
    again = BackendSpec.from_json(spec.to_json())
    assert again == spec
    assert type(again.durations) is type(spec.durations)


def test_a_folder_without_a_manifest_states_nothing(tmp_path: Path) -> None:
    assert stated(tmp_path) == stated(tmp_path / "nowhere") == (None, DURATIONS)


@pytest.mark.parametrize("backend", ["onnx", "coreml"])
def test_a_spec_without_durations_is_refused_not_filled_in(backend: str) -> None:
    blank, _ = stated(BUILT_IN_DIRECTORY)
    spec = BackendSpec(backend, "tiny-en", str(BUILT_IN_DIRECTORY), blank=blank)
    with pytest.raises(ModelUnusableError, match="nothing says which durations"):
        open_backend(spec)


@pytest.mark.parametrize("name", ["MANIFEST.json", "manifest.json"])
def test_a_manifest_states_blank_and_durations(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps({"blank": 7}), encoding="utf-8")
    assert stated(tmp_path) == (7, DURATIONS)
    (tmp_path / name).write_text(json.dumps({"blank": 7, "durations": [0, 9]}), encoding="utf-8")
    assert stated(tmp_path) == (7, (0, 9))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", '{"blank": "20"}', '{"blank": -1}', '{"durations": 4}', '{"durations": []}',
     '{"durations": [0, 1.5]}', '{"blank": true}', "\udcff", 200_000 * "[", 2_000_000 * " "],
)  # fmt: skip
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ModelCorruptError):
        stated(tmp_path)
