"""Manifests, and what `resolve` says of files that are absent, damaged, foreign or newer."""

import hashlib
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parakeet_coreml.backends.transducer.vocab import read_vocab
from parakeet_coreml.errors import (
    ModelCorruptError,
    ModelMissingError,
    ModelUnusableError,
    ParakeetError,
    StorageError,
    UsageError,
)
from parakeet_coreml.store import locate, manifest
from parakeet_coreml.store.locate import Model, default_models_dir, resolve
from parakeet_coreml.store.manifest import MARKER, parse_manifest, published, shipped
from parakeet_coreml.store.state import state_of
from parakeet_coreml.store.verify import hashed, verify

TOTALS = {  # the published figures
    ("v3", "coreml"): (21, 483_105_645, 8192),
    ("v3-int8", "coreml"): (20, 632_169_729, 8192),
    ("v2", "coreml"): (21, 464_413_247, 1024),
    ("110m", "coreml"): (16, 227_466_209, 1024),
    ("v3", "onnx"): (4, 670_480_039, 8192),
    ("v2", "onnx"): (4, 661_191_781, 1024),
    ("v3", "mlx"): (2, 2_508_532_829, 8192),
    ("v2", "mlx"): (2, 2_471_596_080, 1024),
}


def stated(**changes: Any) -> dict[str, Any]:
    """Return the content of a manifest of two small files."""
    files = {"config.json": b"{}", "weights/weight.bin": b"12345"}
    entries = [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in files.items()
    ]
    whole: dict[str, Any] = json.loads(shipped("v3", "onnx").text)
    return whole | {"files": entries, "bytes": 7} | changes


def install(text: str, root: Path) -> Path:
    """Lay the files of `stated` out as a completed installation."""
    folder = root / parse_manifest(text).folder
    (folder / "weights").mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "weights/weight.bin").write_bytes(b"12345")
    (folder / MARKER).write_text(text)
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ship the manifest of `stated` as v3 for ONNX; give its text."""
    text = json.dumps(stated())
    (tmp_path / "v3-onnx.json").write_text(text)
    monkeypatch.setattr(manifest, "MANIFESTS", tmp_path)
    return text


# Manifests


@pytest.mark.parametrize(("name", "backend"), TOTALS)
def test_a_shipped_manifest_has_the_published_number_of_files_bytes_and_blank(
    name: str, backend: str
) -> None:
    wanted = shipped(name, backend)
    assert (len(wanted.files), wanted.size, wanted.blank) == TOTALS[name, backend]
    assert (wanted.name, wanted.backend) == (name, backend)
    assert wanted.durations == (0, 1, 2, 3, 4)


def test_every_shipped_manifest_pins_revision_and_hashes_and_names_its_licence() -> None:
    assert {(m.name, m.backend) for m in published()} == set(TOTALS)
    shipped_files = {path.name for path in manifest.MANIFESTS.iterdir()}
    assert shipped_files == {f"{name}-{backend}.json" for name, backend in TOTALS}
    for wanted in published():
        assert re.fullmatch("[0-9a-f]{40}", wanted.revision)
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in wanted.files)
        assert len({file.path for file in wanted.files}) == len(wanted.files)
        assert json.loads(wanted.text)["licence"] == "CC-BY-4.0"


def test_v2_and_v3_share_a_graph_but_not_their_weights() -> None:
    """As published: one `model.mil`, so only a hash per path tells the two apart."""
    two, three = (
        {file.path: file.sha256 for file in shipped(name, "coreml").files} for name in ("v2", "v3")
    )
    assert two["Encoder.mlmodelc/model.mil"] == three["Encoder.mlmodelc/model.mil"]
    weights = "Encoder.mlmodelc/weights/weight.bin"
    assert two[weights] != three[weights]


def test_a_models_folder_is_named_after_name_backend_and_revision() -> None:
    assert shipped("v3", "coreml").folder == "v3-coreml-aed027400592"


UNSAFE = [
    *("../x.bin", "a/../../b.bin", "/etc/x.json", "a//b.bin", "./a.bin", "a/./b.bin", ".."),
    *("C:\\x.bin", "C:/x.bin", "\\\\?\\C:\\x.bin", "a\\b.bin", "a:b.bin", "a?.bin", "a*.bin"),
    *("a\0.bin", "a\n.bin", "a.bin\n", " a.bin", "a.bin ", "a.bin.", "a./b.bin", ".a.bin"),
    *("CON.bin", "con.json", "a/NUL.txt", "nul", "COM1.bin", "lpt9.bin", "aux/x.bin"),
    *("é.bin", "e\u0301.bin", "a\u2028.bin", "\u202ea.bin", "\uff10.bin"),
    *("a" * 300 + ".bin", "/".join("abcdefghi") + ".bin", "", "/", MARKER, MARKER.lower()),
]


@pytest.mark.parametrize("path", UNSAFE, ids=ascii)
def test_a_path_that_leaves_the_folder_or_is_not_portable_is_refused(path: str) -> None:
    files = [{"path": path, "size": 7, "sha256": "0" * 64}]
    with pytest.raises(ModelCorruptError):
        parse_manifest(json.dumps(stated(files=files)))


@given(st.text(max_size=40) | st.from_regex(r"[./\\:A-Za-z0-9 -]{1,30}\.bin", fullmatch=True))
@example("weights/weight.bin")
def test_whatever_path_is_accepted_stays_inside(path: str) -> None:
    files = [{"path": path, "size": 7, "sha256": "0" * 64}]
    try:
        parse_manifest(json.dumps(stated(files=files)))
    except ModelCorruptError:
        return
    assert re.fullmatch(r"[A-Za-z0-9._/-]+", path, re.ASCII)
    assert os.path.normpath(f"/models/{path}") == f"/models/{path}"


@pytest.mark.parametrize(
    "kind", ["tar", "tar.gz", "zip", "nemo", "pt", "pkl", "ckpt", "npy", "yaml", "so", "dylib"]
)
def test_archives_pickles_and_libraries_are_no_model_files(kind: str) -> None:
    files = [{"path": f"model.{kind}", "size": 7, "sha256": "0" * 64}]
    with pytest.raises(ModelCorruptError):
        parse_manifest(json.dumps(stated(files=files)))


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.bin", "a.bin"), ("a.bin", "A.BIN"), ("a.bin", "a.bin/b.bin"), ("A.bin/b.bin", "a.bin")],
)
def test_two_files_that_some_file_system_takes_for_one_are_refused(one: str, other: str) -> None:
    files = [{"path": path, "size": 1, "sha256": "0" * 64} for path in (one, other)]
    with pytest.raises(ModelCorruptError):
        parse_manifest(json.dumps(stated(files=files, bytes=2)))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"schema": "1"},
        {"revision": "main"},
        {"revision": "A" * 40},
        {"repository": "../x"},
        {"repository": "a/b/c"},
        {"name": "../x"},
        {"backend": "torch"},
        {"blank": "8192"},
        {"blank": True},
        {"blank": -1},
        {"durations": []},
        {"durations": "01234"},
        {"durations": [0, 1.5]},
        {"bytes": 8},
        {"files": []},
        {"files": {}},
        {"files": [{}]},
        {"files": ["config.json"]},
        {"files": [{"path": "a.bin", "size": 0, "sha256": "0" * 64}], "bytes": 0},
        {"files": [{"path": "a.bin", "size": 7.0, "sha256": "0" * 64}]},
        {"files": [{"path": "a.bin", "size": True, "sha256": "0" * 64}], "bytes": 1},
        {"files": [{"path": "a.bin", "size": 7, "sha256": "0" * 63}]},
        {"files": [{"path": "a.bin", "size": 1 << 40, "sha256": "0" * 64}], "bytes": 1 << 40},
    ],
    ids=str,
)
def test_a_manifest_that_states_something_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelCorruptError):
        parse_manifest(json.dumps(stated(**change)))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "{", '"x"', "[" * 100_000, "NaN"])
def test_text_that_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ModelCorruptError):
        parse_manifest(text)


def test_v3_in_eight_bits_differs_from_v3_in_its_encoder_alone() -> None:
    def files(name: str, encoder: str) -> dict[str, str]:
        manifest = shipped(name, "coreml")
        assert any(file.path.startswith(encoder) for file in manifest.files)
        rest = (file for file in manifest.files if not file.path.startswith(encoder))
        return {file.path: file.sha256 for file in rest}

    assert files("v3-int8", "Encoder_v2.mlmodelc/") == files("v3", "Encoder.mlmodelc/")
    assert shipped("v3", "coreml").flaw.endswith("v3-int8 does not")
    assert shipped("v3-int8", "coreml").flaw == ""


# Installed models


def test_an_installed_model_is_found_with_blank_and_durations(small: str, tmp_path: Path) -> None:
    folder = install(small, tmp_path)
    assert resolve("v3", "onnx", tmp_path) == Model("v3", "onnx", folder, 8192, (0, 1, 2, 3, 4))
    assert verify("v3", "onnx", tmp_path).directory == folder


def test_a_relative_models_folder_gives_an_absolute_directory(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install(small, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert resolve("v3", "onnx", Path()).directory == folder


def test_an_absent_model_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError) as caught:
        resolve("v2", "mlx", tmp_path / "no such")
    command = f"parakeet-coreml models download v2 --backend mlx --models-dir '{tmp_path}/no such'"
    assert caught.value.hint.splitlines()[0] == command


def test_the_command_leaves_the_default_folder_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ModelMissingError) as caught:
        resolve("v3", "onnx")
    command, told = caught.value.hint.splitlines()
    assert command == "parakeet-coreml models download v3 --backend onnx"
    assert told == "fetches 670 MB; the built-in --model tiny-en needs no download"


def test_the_command_can_be_typed_where_the_program_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = tmp_path / "my apps" / "parakeet-coreml"
    monkeypatch.setattr("sys.argv", [str(called)])
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ModelMissingError) as caught:
        resolve("v3", "onnx", tmp_path)
    assert caught.value.hint.startswith(f"'{called}' models download v3 ")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "parakeet-coreml").touch(0o755)
    with pytest.raises(ModelMissingError) as caught:
        resolve("v3", "onnx", tmp_path)
    assert caught.value.hint.startswith("parakeet-coreml models download v3 ")


def test_looking_for_a_model_loads_neither_network_nor_numpy(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from parakeet_coreml.errors import ModelMissingError
from parakeet_coreml.store.locate import resolve
sys.addaudithook(lambda event, _: sys.exit(event) if event.startswith("socket.") else None)
try:
    resolve("v3", "onnx", Path(sys.argv[1]))
except ModelMissingError:
    print(*{"numpy", "urllib3", "hashlib", "ssl", "socket", "http", "click"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"


def test_a_marker_of_another_revision_or_none_at_all_means_absent(
    small: str, tmp_path: Path
) -> None:
    marker = install(small, tmp_path) / MARKER
    others = [json.dumps(stated(revision="0" * 40)), "garbage", "{}", "[]", '{"schema": "x"}']
    for text in others:
        marker.write_text(text)
        with pytest.raises(ModelMissingError):
            resolve("v3", "onnx", tmp_path)
    marker.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelMissingError):
        resolve("v3", "onnx", tmp_path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 33)


def _deep(path: Path) -> None:
    path.write_text("[" * 200_000)


NO_MANIFESTS: list[Callable[[Path], None]] = [os.mkfifo, _endless, _sparse, _deep]
"""What would block, never end or fill the memory of whoever just reads it."""


@pytest.mark.timeout(20)
@pytest.mark.parametrize("lay_odd", NO_MANIFESTS)
def test_a_marker_that_is_no_small_plain_file_means_absent(
    small: str, tmp_path: Path, lay_odd: Callable[[Path], None]
) -> None:
    marker = install(small, tmp_path) / MARKER
    marker.unlink()
    lay_odd(marker)
    with pytest.raises(ModelMissingError):
        resolve("v3", "onnx", tmp_path)
    assert state_of(shipped("v3", "onnx"), tmp_path)[0] == "missing"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("lay_odd", NO_MANIFESTS)
def test_a_folders_own_manifest_that_is_no_small_plain_file_is_told(
    tmp_path: Path, lay_odd: Callable[[Path], None]
) -> None:
    folder = lay(tmp_path / "mine", ONNX)
    lay_odd(folder / MARKER)
    with pytest.raises(ModelCorruptError, match=f"cannot read '{folder / MARKER}': it is "):
        resolve(str(folder), "onnx")
    assert hashed(folder, "onnx", None) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("lay_odd", [os.mkfifo, _endless, _sparse])
def test_a_vocabulary_that_is_no_small_plain_file_is_told(
    tmp_path: Path, lay_odd: Callable[[Path], None]
) -> None:
    lay_odd(tmp_path / "vocab.txt")
    with pytest.raises(ModelUnusableError, match="cannot read the vocabulary"):
        read_vocab(tmp_path / "vocab.txt")


def test_a_marker_that_differs_in_more_than_the_files_is_the_same_model(
    small: str, tmp_path: Path
) -> None:
    """A later version may state more of a model without fetching it again."""
    marker = install(small, tmp_path) / MARKER
    marker.write_text(json.dumps(stated(blank=1, note="older")))
    assert resolve("v3", "onnx", tmp_path).blank == 8192, "what is shipped counts"


def test_an_unreadable_or_misplaced_folder_is_told_with_its_path(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / parse_manifest(small).folder
    folder.write_text("a file")
    with pytest.raises(StorageError, match="not a folder"):
        resolve("v3", "onnx", tmp_path)
    folder.unlink()
    install(small, tmp_path)

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(StorageError, match=str(folder)):
        resolve("v3", "onnx", tmp_path)


# Names, folders, scripts


@pytest.mark.parametrize(
    ("name", "backend", "words"),
    [
        ("110m", "onnx", "coreml"),
        ("110m", "mlx", "coreml"),
        ("v3", "torch", "coreml, mlx"),
        ("v4", "onnx", "v3, v3-int8, v2, 110m, tiny-en"),
        ("", "onnx", ""),
        ("a\0b", "onnx", "null"),
    ],
)
def test_what_does_not_exist_is_a_mistake_of_the_call(
    name: str, backend: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParakeetError) as caught:
        resolve(name, backend, tmp_path)
    assert caught.value.exit_code == 2
    assert all(word in f"{caught.value.message} {caught.value.hint}" for word in words.split(", "))


ONNX = ("vocab.txt", "encoder-model.int8.onnx", "decoder_joint-model.int8.onnx")
FUSED = ("Preprocessor.mlmodelc/x", "Decoder.mlmodelc/x", "JointDecision.mlmodelc/x", "vocab.json")
MLX = ("config.json", "model.safetensors")


def lay(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("backend", "names"), [("onnx", ONNX), ("coreml", FUSED), ("mlx", MLX)], ids=str
)
def test_a_folder_of_the_backends_layout_is_a_model(
    tmp_path: Path, backend: str, names: tuple[str, ...]
) -> None:
    folder = lay(tmp_path / "mine", names)
    assert resolve(f"{folder}/", backend) == Model("mine", backend, folder)
    (folder / names[0].partition("/")[0]).rename(tmp_path / "elsewhere")
    with pytest.raises(ModelMissingError, match=names[0].partition("/")[0]) as caught:
        resolve(str(folder), backend)
    assert f"a model folder for {backend} holds" in caught.value.hint


def test_a_folder_may_state_its_blank_and_durations(tmp_path: Path) -> None:
    folder = lay(tmp_path / "mine", ONNX)
    for name in ("manifest.json", MARKER):
        (folder / name).write_text('{"blank": 512, "durations": [0, 1, 2]}')
        assert resolve(str(folder), "onnx") == Model("mine", "onnx", folder, 512, (0, 1, 2))
        (folder / name).unlink()
    for text in ("[]", "{", '{"blank": "x"}', '{"durations": 4}'):
        (folder / MARKER).write_text(text)
        with pytest.raises(ModelCorruptError):
            resolve(str(folder), "onnx")


def test_a_known_name_is_never_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path / "v3", ONNX)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelMissingError):
        resolve("v3", "onnx", tmp_path / "models")
    assert resolve("./v3", "onnx").directory == tmp_path / "v3"


def test_a_folder_that_is_a_file_absent_or_unreadable_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="not a folder"):
        resolve(str(tmp_path / "file"), "onnx")
    with pytest.raises(ModelMissingError, match="no folder"):
        resolve(str(tmp_path / "absent"), "onnx")

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        resolve(str(tmp_path), "onnx")


def test_the_built_in_model_has_the_forms_that_are_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "BUILT_IN_DIRECTORY", tmp_path / "tiny_en")
    with pytest.raises(ModelMissingError, match="built-in"):
        resolve("tiny-en", "onnx")
    folder = lay(tmp_path / "tiny_en", ONNX)
    assert resolve("tiny-en", "onnx") == Model("tiny-en", "onnx", folder)
    with pytest.raises(UsageError, match="no form for backend 'coreml'") as caught:
        resolve("tiny-en", "coreml")
    assert caught.value.hint == "use --backend onnx, or another --model"
    lay(folder, FUSED)
    assert resolve("tiny-en", "coreml").directory == folder


def test_a_script_is_the_scripted_backends_model(tmp_path: Path) -> None:
    script = tmp_path / "words.json"
    with pytest.raises(UsageError, match=r"words\.json"):
        resolve(str(script), "scripted")
    script.write_text("[]")
    assert resolve(str(script), "scripted") == Model("words.json", "scripted", script)


# Where models lie


def test_models_lie_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_models_dir() == Path("/data/parakeet-coreml/models")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    expected = Path("/home/someone/.local/share/parakeet-coreml/models")
    assert default_models_dir() == expected
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_models_dir() == expected
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_models_dir() == Path(
        "/home/someone/Library/Application Support/parakeet-coreml/models"
    )


@pytest.mark.parametrize("home", ["", "relative"])
def test_without_home_the_user_database_is_asked_and_then_the_user(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    listed = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert default_models_dir().is_relative_to(listed)

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(StorageError) as caught:
        default_models_dir()
    assert "--models-dir" in caught.value.hint
    with pytest.raises(ModelMissingError):
        resolve("v3", "onnx", Path("/nowhere"))


def test_auto_takes_core_ml_on_an_apple_silicon_mac_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for platform, machine, backend in [
        ("darwin", "arm64", "coreml"),
        ("darwin", "x86_64", "onnx"),
        ("linux", "aarch64", "onnx"),
        ("linux", "arm64", "onnx"),
    ]:
        monkeypatch.setattr(sys, "platform", platform)
        fields = os.uname_result(("system", "node", "release", "version", machine))
        monkeypatch.setattr(os, "uname", lambda fields=fields: fields)
        assert locate.auto_backend() == backend
