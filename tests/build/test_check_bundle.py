"""The check of a frozen folder: what it lets pass, and that each thing it looks for is found."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "build"))
from check_bundle import (
    COMPONENTS,
    MB,
    bad_exclusions,
    bad_links,
    bad_modules,
    files_of,
    variant_of,
    weigh,
)

LINUX = {
    "parakeet-coreml": 3 * MB,
    "_internal/libpython3.11.so.1.0": 7 * MB,
    "_internal/base_library.zip": MB,
    "_internal/python3.11/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so": MB,
    "_internal/libssl.so.3": MB,
    "_internal/libcrypto.so.3": 5 * MB,
    "_internal/libstdc++.so.6": 2 * MB,
    "_internal/numpy/_core/_multiarray_umath.cpython-311-x86_64-linux-gnu.so": 10 * MB,
    "_internal/numpy.libs/libscipy_openblas64_-32a4b2a6.so": 25 * MB,
    "_internal/libgfortran-040039e1-0352e75f.so.5.0.0": 0,
    "_internal/onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so": 36
    * MB,
    "_internal/libportaudio.so.2": MB,
    "_internal/libjack.so.0": 1,
    "_internal/libdb-5.3.so": 1,
    "_internal/_cffi_backend.cpython-311-x86_64-linux-gnu.so": 1,
    "_internal/_soundfile_data/libsndfile_x86_64.so": 1,
    "_internal/soxr/soxr_ext.cpython-311-x86_64-linux-gnu.so": 1,
    "_internal/parakeet_coreml/manifests/v3-onnx.json": 1,
    "_internal/parakeet_coreml/samples/speech.wav": 1,
    "_internal/licences/numpy/LICENSE.txt": 1,
    "_internal/numpy-2.4.6.dist-info/METADATA": 1,
    "share/man/man1/parakeet-coreml.1": 1,
    "share/zsh/site-functions/_parakeet-coreml": 1,
}
DEBIAN = {**LINUX, "_internal/libexpat.so.1": 1}
"""Debian's Python takes expat from the system."""

STANDALONE = {
    path: size
    for path, size in LINUX.items()
    if not path.startswith(("_internal/libssl", "_internal/libcrypto"))
}
"""A standalone Python (uv's) has OpenSSL inside itself."""


MAC = {
    "parakeet-coreml": 3 * MB,
    "_internal/libpython3.13.dylib": 7 * MB,
    "_internal/base_library.zip": MB,
    "_internal/python3.13/lib-dynload/_json.cpython-313-darwin.so": MB,
    "_internal/libssl.3.dylib": MB,
    "_internal/libcrypto.3.dylib": 5 * MB,
    "_internal/numpy/_core/_multiarray_umath.cpython-313-darwin.so": 4 * MB,
    "_internal/coremltools/libcoremlpython.so": MB,
    "_internal/_sounddevice_data/portaudio-binaries/libportaudio.dylib": 1,
    "_internal/_cffi_backend.cpython-313-darwin.so": 1,
    "_internal/_soundfile_data/libsndfile_arm64.dylib": 1,
    "_internal/soxr/soxr_ext.cpython-313-darwin.so": 1,
    "_internal/parakeet_coreml/manifests/v3-coreml.json": 1,
    "_internal/parakeet_coreml/samples/speech.wav": 1,
    "_internal/licences/numpy/LICENSE.txt": 1,
    "_internal/numpy-2.4.6.dist-info/METADATA": 1,
    "share/man/man1/parakeet-coreml.1": 1,
    "share/zsh/site-functions/_parakeet-coreml": 1,
}


@pytest.mark.parametrize(
    ("files", "variant"),
    [(LINUX, "portable"), (DEBIAN, "portable"), (STANDALONE, "portable"), (MAC, "coreml")],
    ids=["linux", "debian", "standalone", "mac"],
)
def test_a_folder_as_it_should_be_passes(files: dict[str, int], variant: str) -> None:
    weights, wrong = weigh(files, variant)
    assert wrong == []
    assert sum(weights.values()) == sum(files.values())
    assert variant_of(files) == variant


@pytest.mark.parametrize(
    "stranger",
    [
        "_internal/numpy/tests/test_a.py",
        "_internal/PIL/_imaging.cpython-311-x86_64-linux-gnu.so",
        "_internal/libtcl8.6.so",
        "_internal/libasound.so.2",
        "_internal/libmvec.so.1",
        "_internal/torch/lib/libtorch.so",
        "_internal/setuptools/_vendor/vendored.txt",
        "_internal/click-8.5.1.dist-info/RECORD",
        "_internal/_tkinter.cpython-311-x86_64-linux-gnu.so",
        "notes.txt",
        "_internal/coremltools/libmodelpackage.so",
    ],
)
def test_a_stranger_is_named(stranger: str) -> None:
    assert weigh({**LINUX, stranger: 1}, "portable")[1] == [f"'{stranger}' belongs to no component"]


def test_onnx_runtime_is_a_stranger_in_the_variant_for_macs() -> None:
    runtime = "_internal/onnxruntime/capi/onnxruntime_pybind11_state.cpython-313-darwin.so"
    assert weigh({**MAC, runtime: 1}, "coreml")[1] == [f"'{runtime}' belongs to no component"]


def test_a_part_that_has_grown_or_is_absent_is_named() -> None:
    heavy = {**LINUX, "_internal/libportaudio.so.2": 9 * MB}
    assert weigh(heavy, "portable")[1] == ["PortAudio: 9.0 MB is more than 4 MB"]
    without = {path: size for path, size in LINUX.items() if "sndfile" not in path}
    assert weigh(without, "portable")[1] == ["libsndfile: absent"]


def test_every_component_has_a_bound_near_to_what_it_weighs() -> None:
    assert len({part.name for part in COMPONENTS}) == len(COMPONENTS)
    assert all(0 < part.most <= 60 for part in COMPONENTS)


def test_links_that_do_not_survive_a_copy_are_named(tmp_path: Path) -> None:
    inside, outside = tmp_path / "app", tmp_path / "elsewhere.so"
    inside.mkdir()
    outside.touch()
    (inside / "real.so").touch()
    (inside / "good.so").symlink_to("real.so")
    (inside / "out.so").symlink_to(outside)
    (inside / "gone.so").symlink_to("nothing.so")
    assert bad_links(inside) == [
        "'gone.so' leads out of the folder or nowhere",
        "'out.so' leads out of the folder or nowhere",
    ]
    assert set(files_of(inside)) == {"real.so", "good.so", "out.so", "gone.so"}


@pytest.mark.parametrize("module", ["sympy", "pip._internal", "tkinter.ttk", "unittest", "yaml"])
def test_a_module_without_business_there_is_named(module: str) -> None:
    ours = [
        "numpy._core",
        "json",
        "parakeet_coreml.cli.main",
        "_sysconfigdata__linux_x86_64-linux-gnu",
    ]
    assert bad_modules(ours, "portable") == []
    named = [f"module '{module.partition('.')[0]}' has no business here"]
    assert bad_modules([*ours, module], "portable") == named


def test_onnx_runtimes_modules_are_for_one_variant_only() -> None:
    assert bad_modules(["onnxruntime"], "portable") == []
    assert bad_modules(["onnxruntime"], "coreml") == ["module 'onnxruntime' has no business here"]


def test_a_module_that_was_left_out_but_is_needed_at_once_is_named() -> None:
    report = """
missing module named java - imported by platform (top-level)
excluded module named pydoc - imported by numpy.lib._utils_impl (delayed)
excluded module named _codecs_jp - imported by encodings.cp932 (top-level)
excluded module named ctypes.util - imported by sounddevice (top-level), soundfile (top-level)
excluded module named urllib3.http2 - imported by a.b (delayed), urllib3.connection (top-level)
"""
    named = ["excluded module 'urllib3.http2' is needed by urllib3.connection"]
    assert bad_exclusions(report) == named
