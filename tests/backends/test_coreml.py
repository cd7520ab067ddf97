"""The Core ML backend: through the evaluator, and through a stand-in for Apple's binding."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import specs
import standin

from parakeet_coreml.audio.samples import MODEL_WINDOW
from parakeet_coreml.backends import binding, coreml
from parakeet_coreml.backends.base import INSTALL, BackendSpec
from parakeet_coreml.backends.coreml import (
    CoreMLNetworks,
    Programs,
    compiled_folder,
    load_programs,
    open_coreml,
    units_to_try,
)
from parakeet_coreml.backends.reference.mlpackage import Description, Feature, describe
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.errors import (
    BackendFailedError,
    ModelCorruptError,
    ModelMissingError,
    ModelUnusableError,
    StorageError,
)

FIXTURES = Path(__file__).parent / "fixtures"
TOY = FIXTURES / "toy"
STAGES: dict[str, Any] = dict(np.load(FIXTURES / "stages.npz"))
VALID = 100_000


def sound() -> Any:
    """The very sound that models/convert/fixtures.py gave to PyTorch."""
    time = np.arange(VALID) / 16_000
    wave = np.sin(2 * np.pi * 300 * time * (1 + time)) * np.sin(9 * time) ** 2
    return wave.astype(np.float32)


def spec(folder: Path, **how: Any) -> BackendSpec:
    return specs.spec_of("coreml", "toy", folder, **how)


def heard(folder: Path, **how: Any) -> list[tuple[int, int, int]]:
    backend, _ = open_backend(spec(folder, **how))
    tokens = backend.transcribe(sound()).tokens
    return [(token.id, token.start // 1280, token.duration // 1280) for token in tokens]


def expected() -> list[tuple[int, int, int]]:
    """PyTorch's tokens; the one without text is left out, and none reaches past the window."""
    last = -(-VALID // 1280) - 1
    return [
        (token, frame, min(duration, last - frame))
        for token, frame, duration in STAGES["emissions"].tolist()
        if token != 0
    ]


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[standin.MLModelProxy]:
    standin.installed(monkeypatch, tmp_path / "site")
    monkeypatch.setenv("PARAKEET_COREML_MODELS_DIR", str(tmp_path / "models"))
    return standin.MLModelProxy


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The toy as FluidInference publishes v3: compiled, the joint under its other name."""
    folder = tmp_path / "published"
    folder.mkdir()
    for name in ("Preprocessor", "Encoder", "Decoder", "JointDecision"):
        standin.compile_package(TOY / f"{name}.mlpackage", folder)
    (folder / "JointDecision.mlmodelc").rename(folder / "JointDecisionv3.mlmodelc")
    shutil.copy(TOY / "parakeet_vocab.json", folder)
    (folder / "MANIFEST.json").write_text('{"blank": 17, "durations": [0, 1, 2, 3, 4]}')
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    shutil.copytree(TOY, folder)
    return folder


def test_the_encoder_of_eight_bits_goes_before_the_one_of_six(
    mac: type[standin.MLModelProxy], published: Path
) -> None:
    (published / "Encoder.mlmodelc").rename(published / "Encoder_v2.mlmodelc")
    (published / "Encoder_v2.mlmodelc" / "metadata.json").unlink()  # as it is published
    (published / "Encoder.mlmodelc").mkdir()  # of six bits, here one that would not load

    assert heard(published) == expected()
    assert [Path(path).name for path, _ in mac.loaded].count("Encoder_v2.mlmodelc") == 1


# The same words, whoever runs the programs


def test_off_a_mac_the_evaluator_hears_what_pytorch_heard(
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend, info = open_coreml(spec(TOY, compute_units="cpu_and_ne"))

    assert heard(TOY) == expected()
    assert (info.runtime, info.compute_units, info.backend) == ("reference", "cpu_only", "coreml")
    assert info.max_samples == backend.max_samples == MODEL_WINDOW
    assert "reference evaluator" in capsys.readouterr().err


def test_probabilities_are_pytorchs_too() -> None:
    backend, _ = open_coreml(spec(TOY))
    kept = STAGES["emissions"][:, 0] != 0

    found = [token.probability for token in backend.transcribe(sound()).tokens]

    np.testing.assert_allclose(found, STAGES["probabilities"][kept], atol=2e-3)


def test_each_network_gives_what_pytorch_gave() -> None:
    networks = CoreMLNetworks(load_programs(TOY, "cpu_only"), blank=17, durations=(0, 1, 2, 3, 4))

    frames = networks.encode(sound())
    prediction = networks.predict(17, None)
    decision = networks.joint(STAGES["frames"], prediction)

    np.testing.assert_allclose(frames, STAGES["frames"], atol=1e-3)
    np.testing.assert_allclose(prediction.output.ravel(), STAGES["prediction"], atol=1e-3)
    np.testing.assert_allclose(prediction.h, STAGES["h"], atol=1e-3)
    np.testing.assert_allclose(prediction.c, STAGES["c"], atol=1e-3)
    assert decision.token == STAGES["logits"][:18].argmax()
    assert decision.duration_index == STAGES["logits"][18:].argmax()


def test_on_a_mac_packages_give_the_same_words(mac: type[standin.MLModelProxy]) -> None:
    assert heard(TOY) == expected()
    assert {Path(path).suffix for path, _ in mac.loaded} == {".mlmodelc"}


def test_on_a_mac_published_files_give_the_same_words(
    mac: type[standin.MLModelProxy], published: Path
) -> None:
    (published / "Encoder.mlpackage").mkdir()  # compiled ones are preferred to their sources

    assert heard(published) == expected()
    assert mac.compiled == []


def test_the_fused_layout_gives_the_same_words(mac: type[standin.MLModelProxy], copy: Path) -> None:
    shutil.rmtree(copy / "Encoder.mlpackage")
    shutil.rmtree(copy / "Preprocessor.mlpackage")
    shutil.copytree(FIXTURES / "Fused.mlpackage", copy / "Preprocessor.mlpackage")

    assert heard(copy, compute_units="cpu_and_ne") == expected()
    assert [units for _, units in mac.loaded] == ["CPU_AND_NE", "CPU_ONLY", "CPU_ONLY"]


def test_a_window_is_heard_alone() -> None:
    backend, _ = open_coreml(spec(TOY))

    first = backend.transcribe(sound())
    backend.transcribe(sound()[::-1].copy())

    assert backend.transcribe(sound()) == first
    backend.close()
    backend.close()


@pytest.mark.parametrize("samples", [1, 319, 320, 4_799, MODEL_WINDOW])
def test_any_window_is_taken_without_a_complaint(samples: int) -> None:
    backend, _ = open_coreml(spec(TOY))
    window = np.resize(sound(), samples)

    tokens = backend.transcribe(window).tokens

    assert all(0 <= token.start < samples for token in tokens)
    assert bool(tokens) == (samples >= 320)


# Compute units


def test_only_the_encoder_leaves_the_cpu(mac: type[standin.MLModelProxy]) -> None:
    _, info = open_coreml(spec(TOY, compute_units="all"))

    asked = {Path(path).stem: units for path, units in mac.loaded}
    assert asked == {
        "Encoder": "ALL",
        "Preprocessor": "CPU_ONLY",
        "Decoder": "CPU_ONLY",
        "JointDecision": "CPU_ONLY",
    }
    assert (info.runtime, info.compute_units) == ("coreml", "all")


def test_what_will_not_load_is_tried_elsewhere_and_told(
    mac: type[standin.MLModelProxy], capsys: pytest.CaptureFixture[str]
) -> None:
    mac.refuse.update({"CPU_AND_NE", "CPU_AND_GPU"})

    _, info = open_coreml(spec(TOY, compute_units="cpu_and_ne"))

    assert info.compute_units == "cpu_only"
    told = capsys.readouterr().err
    assert "will not load 'Encoder.mlpackage' for cpu_and_ne on " in told
    assert ": Error loading model" in told
    assert "trying cpu_and_gpu" in told
    assert "NSFilePath" not in told


def test_what_loads_nowhere_is_unusable(mac: type[standin.MLModelProxy]) -> None:
    mac.refuse.update({"CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY"})

    with pytest.raises(
        ModelUnusableError, match=r"for cpu_only on .*: Error loading model for CPU_ONLY$"
    ):
        open_coreml(spec(TOY))


@pytest.mark.parametrize(
    ("asked", "attempt", "order"),
    [
        ("cpu_and_ne", 0, ("cpu_and_ne", "cpu_and_gpu", "cpu_only")),
        ("all", 1, ("cpu_and_gpu", "cpu_only")),
        ("all", 7, ("cpu_only",)),
        ("cpu_only", 0, ("cpu_only", "cpu_and_gpu")),
    ],
)
def test_compute_units_are_tried_in_an_order(
    monkeypatch: pytest.MonkeyPatch, asked: str, attempt: int, order: tuple[str, ...]
) -> None:
    standin.a_mac(monkeypatch)

    assert units_to_try(asked, attempt) == order


@pytest.mark.parametrize(
    ("attempt", "front", "encoder", "rest"),
    [
        (0, "CPU_ONLY", "CPU_AND_NE", "CPU_ONLY"),
        (1, "CPU_ONLY", "CPU_AND_GPU", "CPU_ONLY"),
        (2, "ALL", "CPU_AND_NE", "CPU_AND_NE"),
    ],
)
def test_what_cost_a_process_loads_in_another_way(
    mac: type[standin.MLModelProxy], attempt: int, front: str, encoder: str, rest: str
) -> None:
    open_coreml(spec(TOY)._replace(attempt=attempt))
    units = {Path(path).name.partition(".")[0]: units for path, units in mac.loaded}
    assert (units["Preprocessor"], units["Encoder"]) == (front, encoder)
    assert (units["Decoder"], units["JointDecision"]) == (rest, rest)


def test_units_nobody_knows_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="npu"):
        binding.load(TOY / "Decoder.mlpackage", "npu", kept=Path())


# Warm or cold


@pytest.mark.parametrize(("seconds", "warm"), [(2.9, True), (3.1, False)])
def test_a_load_that_took_long_was_not_warm(
    mac: type[standin.MLModelProxy], monkeypatch: pytest.MonkeyPatch, seconds: float, *, warm: bool
) -> None:
    ticks = chain([10.0], repeat(10.0 + seconds))
    monkeypatch.setattr(coreml, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))

    _, info = open_coreml(spec(TOY))

    assert info.warm is warm


def test_the_evaluator_is_neither_warm_nor_cold() -> None:
    _, info = open_coreml(spec(TOY))

    assert info.warm is None


def recorded(environment: dict[str, str], folder: Path) -> dict[str, Any]:
    """Record a sound with Core ML in processes of its own; return the lines by type."""
    soundfile.write(folder / "sound.wav", sound(), 16_000, subtype="FLOAT")
    command = [sys.executable, "-P", "-m", "parakeet_coreml", "progressive-record", "--meta"]
    command += ["--events", "ready,timing", "--backend", "coreml", "--model", str(TOY)]
    done = subprocess.run(
        [*command, "--input", str(folder / "sound.wav"), "--models-dir", str(folder / "models")],
        env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=120,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["type"]: line for line in lines}


def test_a_recording_on_a_mac_says_whether_the_model_was_warm(tmp_path: Path) -> None:
    lines = recorded(standin.for_programs(tmp_path / "site"), tmp_path)

    ready = lines["ready"]
    assert (ready["runtime"], ready["compute_units"]) == ("coreml", "cpu_and_ne")
    assert ready["warm"] is lines["timing"]["warm"] is (ready["load_ms"] < 3_000)
    assert lines["done"]["full_text"]
    assert len(list((tmp_path / "models" / "compiled").rglob("*.mlmodelc"))) == 4


def test_a_crash_while_loading_for_the_neural_engine_ends_on_other_units(tmp_path: Path) -> None:
    crash = """
class _MLModelProxy(_MLModelProxy):
    def __init__(self, *arguments):
        if arguments[1] == "CPU_AND_NE":
            import os, signal
            os.kill(os.getpid(), signal.SIGSEGV)
        super().__init__(*arguments)
"""

    lines = recorded(standin.for_programs(tmp_path / "site", crash), tmp_path)

    assert (lines["ready"]["compute_units"], lines["timing"]["restarts"]) == ("cpu_and_gpu", 1)
    assert lines["done"]["full_text"]


# The binding


def test_a_program_is_fed_writable_arrays_that_outlive_it(mac: type[standin.MLModelProxy]) -> None:
    heard(TOY)

    counts = [sys.getrefcount(array) for array in mac.fed]
    assert len(counts) > 100
    assert min(counts) > binding.Buffers.REFERENCES


def test_read_only_and_strided_inputs_are_made_fit(
    mac: type[standin.MLModelProxy], tmp_path: Path
) -> None:
    program = binding.load(TOY / "JointDecision.mlpackage", "cpu_only", kept=tmp_path / "kept")
    frame = np.repeat(STAGES["frames"][:1].T[None], 2, -1)[:, :, ::2]
    frame.flags.writeable = False

    found = program.predict(
        {"encoder_step": frame, "decoder_step": STAGES["prediction"].reshape(1, -1, 1)}
    )

    assert found["token_id"].item() == STAGES["logits"][:18].argmax()
    assert all(array.flags["C_CONTIGUOUS"] for array in found.values())
    assert {array.dtype for array in found.values()} == {np.dtype("f4"), np.dtype("i4")}


def test_buffers_rest_before_they_are_used_again() -> None:
    now = [0.0]
    buffers = binding.Buffers(lambda: now[0])
    zeros, ones = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)

    first = buffers.filled(zeros)
    second = buffers.filled(ones)
    now[0] = buffers.REST
    third = buffers.filled(ones)
    other = buffers.filled(np.zeros((2, 3), np.int32))

    assert second is not first
    assert third is first
    assert first.all()
    assert other is not second
    assert len(buffers) == 3


def test_buffers_do_not_pile_up() -> None:
    now = [0.0]
    buffers = binding.Buffers(lambda: now[0])

    for _ in range(1000):
        now[0] += 0.1
        buffers.filled(np.zeros(4, np.float32))

    assert len(buffers) <= 31


def test_a_failed_prediction_fails_in_one_line(mac: type[standin.MLModelProxy]) -> None:
    backend, _ = open_coreml(spec(TOY))
    mac.fail = "Unable to compute the prediction"

    with pytest.raises(BackendFailedError) as raised:
        backend.transcribe(sound())

    assert (
        raised.value.message == "'Preprocessor.mlpackage' failed: Unable to compute the prediction"
    )


ERRORS = [
    (
        """{
    NSLocalizedDescription = "Failed to build the model execution plan: -4.";
    NSUnderlyingError = "Error Domain=com.apple.CoreML Code=0";
}""",
        "Failed to build the model execution plan: -4.; Error Domain=com.apple.CoreML Code=0",
    ),
    ("{\n    NSLocalizedDescription = Unreadable;\n}", "Unreadable"),
    ("{\n    NSFilePath = x;\n}", "{ NSFilePath = x; }"),
    ("", "no reason given"),
]
"""What coremltools prints of an NSError's `userInfo`, and what a person reads of it."""


@pytest.mark.parametrize(("printed", "read"), ERRORS)
def test_the_reason_is_taken_out_of_an_errors_dictionary(printed: str, read: str) -> None:
    assert binding._line(RuntimeError(printed)) == read


def test_programs_that_fail_at_once_do_not_load(mac: type[standin.MLModelProxy]) -> None:
    mac.fail = "boom"

    with pytest.raises(ModelUnusableError, match=r"programs of 'toy' do not run: .* failed: boom"):
        open_coreml(spec(TOY))


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ({"encoder": np.full((1, 24, 188), np.nan)}, "no frames"),
        ({"encoder_length": np.array([189])}, "no frames"),
        ({"token_id": np.array([18])}, "no decision"),
        ({"token_prob": np.array([np.nan])}, "not one finite number"),
        ({"token_id": np.array([1, 2])}, "not one finite number"),
        ({"encoder_length": np.zeros((0,))}, "not one finite number"),
        ({"duration": np.array([5])}, "no decision"),
    ],
)
def test_nonsense_from_a_device_is_not_taken_for_words(
    mac: type[standin.MLModelProxy], answers: dict[str, Any], complaint: str
) -> None:
    backend, _ = open_coreml(spec(TOY))
    mac.answers = answers

    with pytest.raises(BackendFailedError, match=complaint):
        backend.transcribe(sound())


def test_an_encoder_without_frames_is_unusable(mac: type[standin.MLModelProxy]) -> None:
    mac.answers = {"encoder_length": np.array([0])}

    with pytest.raises(ModelUnusableError, match="gives no frames"):
        open_coreml(spec(TOY))


def test_a_decoder_may_lie_on_its_side(mac: type[standin.MLModelProxy]) -> None:
    networks = CoreMLNetworks(load_programs(TOY, "cpu_only"), blank=17, durations=(0, 1, 2, 3, 4))
    mac.answers = {"decoder": STAGES["prediction"].reshape(1, 1, -1)}

    assert networks.predict(17, None).output.shape == (1, 16, 1)


def test_prediction_does_without_the_converters(mac: type[standin.MLModelProxy]) -> None:
    heard(TOY)

    assert "coremltools" not in sys.modules
    assert sys.modules[binding.BINDING].__name__ == "coremltools.libcoremlpython"


def test_without_coremltools_the_command_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    standin.a_mac(monkeypatch)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    with pytest.raises(ModelUnusableError, match="not installed") as raised:
        binding.load(TOY / "Decoder.mlpackage", "cpu_only", kept=tmp_path)

    assert raised.value.hint == INSTALL["coreml"]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (
            lambda m: m.setattr("importlib.metadata.version", lambda _: "8.3.0"),
            "8.3.0 is not known",
        ),
        (lambda m: m.setattr(standin, "EXTENSION", "raise ImportError('built for 3.9')"), "3.9"),
        (lambda m: m.setattr(standin, "EXTENSION", ""), "binding has changed"),
        (
            lambda m: m.setattr(standin.MLModelProxy, "__init__", lambda _: None),
            "binding has changed",
        ),
    ],
)
def test_another_coremltools_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    spoil: Callable[[pytest.MonkeyPatch], None],
    complaint: str,
) -> None:
    spoil(monkeypatch)
    standin.installed(monkeypatch, tmp_path / "site")

    with pytest.raises(ModelUnusableError, match=complaint):
        binding.load(TOY / "Decoder.mlpackage", "cpu_only", kept=tmp_path / "kept")


def test_another_signature_of_predict_is_told(
    mac: type[standin.MLModelProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, _ = open_coreml(spec(TOY))
    monkeypatch.setattr(mac, "predict", lambda _self, _inputs: {})

    with pytest.raises(ModelUnusableError, match="binding has changed"):
        backend.transcribe(sound())


def test_a_frozen_app_has_no_version_to_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    standin.installed(monkeypatch, tmp_path / "site", version="")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])

    program = binding.load(TOY / "Decoder.mlpackage", "cpu_only", kept=tmp_path / "kept")

    assert program.description.inputs["targets"] == Feature("int32", (1, 1))


# Packages compiled once


def test_a_package_is_compiled_once_and_again_when_it_changed(
    mac: type[standin.MLModelProxy], copy: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    package = copy / "Decoder.mlpackage"

    binding.load(package, "cpu_only", kept=kept)
    binding.load(package, "cpu_only", kept=kept)
    assert len(mac.compiled) == 1
    assert mac.loaded[0] == mac.loaded[1]

    model = package / "Data/com.apple.CoreML/model.mlmodel"
    model.write_bytes(model.read_bytes())
    binding.load(package, "cpu_only", kept=kept)
    assert len(mac.compiled) == 2
    assert len(list(kept.rglob("*.mlmodelc"))) == 1


def test_a_package_whose_weights_alone_changed_is_compiled_again(
    mac: type[standin.MLModelProxy], copy: Path, tmp_path: Path
) -> None:
    package = copy / "Decoder.mlpackage"
    binding.load(package, "cpu_only", kept=tmp_path / "kept")
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    weights.write_bytes(weights.read_bytes())
    binding.load(package, "cpu_only", kept=tmp_path / "kept")
    assert len(mac.compiled) == 2
    assert mac.loaded[0] != mac.loaded[1]


def test_two_processes_may_compile_at_once(
    mac: type[standin.MLModelProxy], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept, package = tmp_path / "kept", TOY / "Decoder.mlpackage"
    alone = mac.compileModel

    def raced(path: str) -> str:
        monkeypatch.setattr(mac, "compileModel", staticmethod(alone))
        binding.load(package, "cpu_only", kept=kept)  # the other one is quicker
        return alone(path)

    monkeypatch.setattr(mac, "compileModel", staticmethod(raced))
    binding.load(package, "cpu_only", kept=kept)

    assert mac.loaded[0] == mac.loaded[1]
    assert not list(kept.rglob("*.partial"))


def test_a_folder_that_cannot_be_written_is_told(
    mac: type[standin.MLModelProxy], tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("a file")

    with pytest.raises(StorageError, match=r"cannot keep the compiled form of 'Decoder"):
        binding.load(TOY / "Decoder.mlpackage", "cpu_only", kept=tmp_path / "kept")


def test_a_place_taken_by_a_file_is_told(
    mac: type[standin.MLModelProxy], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(_self: Path, _target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refused)

    with pytest.raises(StorageError, match="Permission denied"):
        binding.load(TOY / "Decoder.mlpackage", "cpu_only", kept=tmp_path / "kept")


def test_a_package_that_will_not_compile_is_unusable(
    mac: type[standin.MLModelProxy], copy: Path, tmp_path: Path
) -> None:
    (copy / "Decoder.mlpackage" / "Manifest.json").unlink()

    with pytest.raises(ModelUnusableError, match="will not compile"):
        binding.load(copy / "Decoder.mlpackage", "cpu_only", kept=tmp_path / "kept")


def test_compiled_packages_lie_beside_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARAKEET_COREML_MODELS_DIR", "/elsewhere")
    assert compiled_folder() == Path("/elsewhere/compiled")
    monkeypatch.delenv("PARAKEET_COREML_MODELS_DIR")
    assert compiled_folder().name == "compiled"


# Folders that are not what they should be


def test_off_a_mac_compiled_programs_are_refused(published: Path) -> None:
    with pytest.raises(ModelUnusableError, match=r"'Encoder.mlmodelc' is compiled for Macs"):
        open_coreml(spec(published))


@pytest.mark.parametrize("name", ["Preprocessor", "Decoder", "JointDecision"])
def test_a_missing_program_is_named(copy: Path, name: str) -> None:
    shutil.rmtree(copy / f"{name}.mlpackage")

    with pytest.raises(ModelMissingError, match=name):
        open_coreml(spec(copy))


def test_a_path_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="no '"):
        binding.load(tmp_path / "Encoder.mlpackage", "cpu_only", kept=tmp_path)


def test_the_joint_of_a_whole_grid_is_told_apart(copy: Path) -> None:
    model = copy / "JointDecision.mlpackage/Data/com.apple.CoreML/model.mlmodel"
    model.write_bytes(model.read_bytes().replace(b"encoder_step", b"encoder_grid"))

    with pytest.raises(ModelUnusableError, match=r"takes encoder_grid, decoder_step") as raised:
        open_coreml(spec(copy))

    assert raised.value.hint.startswith("expected: decoder_step, encoder_step and")


def test_a_front_that_gives_too_little_is_told(copy: Path) -> None:
    shutil.rmtree(copy / "Encoder.mlpackage")

    with pytest.raises(ModelUnusableError, match="and gives mel, mel_length"):
        open_coreml(spec(copy))


def test_without_a_description_the_binding_is_trusted(
    mac: type[standin.MLModelProxy], published: Path
) -> None:
    (published / "Encoder.mlmodelc" / "metadata.json").unlink()  # as Encoder_v2 is published

    assert heard(published) == expected()


def test_a_decoder_must_say_how_large_its_state_is(
    mac: type[standin.MLModelProxy], published: Path
) -> None:
    (published / "Decoder.mlmodelc" / "metadata.json").unlink()

    with pytest.raises(ModelUnusableError, match="how large its state is"):
        open_coreml(spec(published))


@pytest.mark.parametrize("content", ["not json", "[]", "[{}]", '[{"inputSchema": [{"name": 1}]}]'])
def test_a_description_that_is_none_is_corrupt(published: Path, content: str) -> None:
    (published / "Decoder.mlmodelc" / "metadata.json").write_text(content)

    with pytest.raises(ModelCorruptError, match="cannot understand"):
        describe(published / "Decoder.mlmodelc")


def test_a_manifest_without_blank_is_unusable(copy: Path) -> None:
    (copy / "manifest.json").write_text('{"durations": [0, 1, 2, 3, 4]}')

    with pytest.raises(ModelUnusableError, match="is not a manifest: 'blank'"):
        open_coreml(spec(copy))


def test_blank_is_never_guessed(copy: Path) -> None:
    (copy / "manifest.json").unlink()

    with pytest.raises(ModelUnusableError, match="which id is blank is not known"):
        open_coreml(spec(copy))


def test_the_usual_durations_need_not_be_stated(copy: Path) -> None:
    (copy / "manifest.json").write_text('{"blank": 17}')

    assert heard(copy) == expected()


def test_a_folder_without_a_vocabulary_is_missing_it(copy: Path) -> None:
    (copy / "parakeet_vocab.json").unlink()

    with pytest.raises(ModelMissingError, match="vocabulary"):
        open_coreml(spec(copy))


def test_the_vocabulary_may_be_an_array_under_the_other_name(copy: Path) -> None:
    pieces = json.loads((copy / "parakeet_vocab.json").read_text())
    (copy / "parakeet_vocab.json").unlink()
    (copy / "vocab.json").write_text(json.dumps(list(pieces.values())))

    assert heard(copy) == expected()


# The contract of models.md 1.3, up to the dimensions that differ by model


def test_our_packages_have_the_published_inputs_and_outputs() -> None:
    width, hidden, layers, tokens = 24, 16, 2, 18
    whole, state = Feature("int32", (1,)), Feature("float32", (layers, 1, hidden))
    mel, encoder = Feature("float32", (1, 128, 1501)), Feature("float32", (1, width, 188))
    one, best = (1, 1, 1), (1, 1, 1, min(64, tokens))
    contract = {
        "Preprocessor": Description(
            {"audio_signal": Feature("float32", (1, 240_000), True), "audio_length": whole},
            {"mel": Feature("float32", ()), "mel_length": whole},
        ),
        "Encoder": Description(
            {"mel": mel, "mel_length": whole}, {"encoder": encoder, "encoder_length": whole}
        ),
        "Decoder": Description(
            {
                "targets": Feature("int32", (1, 1)),
                "target_length": whole,
                "h_in": state,
                "c_in": state,
            },
            {"decoder": Feature("float32", (1, hidden, 1)), "h_out": state, "c_out": state},
        ),
        "JointDecision": Description(
            {
                "encoder_step": Feature("float32", (1, width, 1)),
                "decoder_step": Feature("float32", (1, hidden, 1)),
            },
            {
                "token_id": Feature("int32", one),
                "token_prob": Feature("float32", one),
                "duration": Feature("int32", one),
                "top_k_ids": Feature("int32", best),
                "top_k_logits": Feature("float32", best),
            },
        ),
    }

    assert {name: describe(TOY / f"{name}.mlpackage") for name in contract} == contract
    fused = describe(FIXTURES / "Fused.mlpackage")
    assert fused.inputs["audio_signal"] == Feature("float32", (1, 240_000))
    assert fused.outputs["encoder"] == encoder


def test_programs_are_held_by_name() -> None:
    programs = load_programs(TOY, "cpu_only")

    assert isinstance(programs, Programs)
    assert programs.encoder is not None
