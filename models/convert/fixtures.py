"""Make the recorded references of `tests/backends/fixtures`: PyTorch's answers, without PyTorch.

    python -m models.convert.fixtures [--check] [FOLDER]

A toy transducer with random weights and every part of the real ones is converted by the very code
that converts real checkpoints; what PyTorch computes at each stage is noted beside it. Its
preprocessor is a toy too, a single convolution: a Fourier transform weighs a megabyte.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ParakeetForTDT, ParakeetTDTConfig

from models.convert import coreml, mlx
from models.convert.checkpoint import Checkpoint
from models.convert.reference import TorchNetworks, encoded
from parakeet_coreml.audio.samples import HOP, MODEL_WINDOW, SAMPLE_RATE
from parakeet_coreml.backends.reference.evaluator import Evaluator
from parakeet_coreml.backends.reference.mlpackage import Feature
from parakeet_coreml.backends.transducer.mel import BINS
from parakeet_coreml.backends.transducer.tdt import greedy

FIXTURES = Path(__file__).parents[2] / "tests" / "backends" / "fixtures"
PIECES = ("<unk>", *(f"▁{letter}" for letter in "abcdefgh"), *"ijklmnop")
LOUDER = {"head.weight": 4, "projector.weight": 3, "lstm.weight": 3, "subsampling": 2}
"""Gains that make random weights answer to what they hear."""

SEED = 33
"""One that gives many tokens, blanks and every duration."""

VALID = 100_000
"""Samples of the test sound, of a window that is longer."""


def main() -> None:
    """Make everything again, or compare what is there with what is made now."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FIXTURES)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if it differs")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    if not options.check:
        shutil.rmtree(options.folder, ignore_errors=True)
        make(options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        differences = list(compared(options.folder, Path(folder)))
    print("\n".join(differences) or "the recorded references are what PyTorch says today")
    sys.exit(bool(differences))


def make(folder: Path) -> None:
    """Write everything into `folder`."""
    checkpoint = toy()
    coreml.convert(checkpoint, folder / "toy", preprocessor=ToyPreprocessor)
    fused = coreml.components(checkpoint, ToyPreprocessor, fused=True)[0]
    coreml.save(coreml.package(fused, "fp16"), folder / "Fused.mlpackage")
    encoder = coreml.components(checkpoint, ToyPreprocessor, fused=False)[1]
    for weights in ("palettized6", "int8"):
        coreml.save(coreml.package(encoder, weights), folder / f"Encoder-{weights}.mlpackage")
    mlx.convert(checkpoint, folder / "mlx")
    np.savez_compressed(folder / "stages.npz", **stages(checkpoint.model))
    np.savez_compressed(folder / "operations.npz", **operations())


def compared(recorded: Path, made: Path) -> Iterator[str]:
    """Give what differs between two folders by more than rounding."""
    for path in sorted(made.rglob("*.npz")):
        old, new = np.load(recorded / path.name), np.load(path)
        for name in sorted(old.keys() | new.keys()):
            if name not in old or name not in new or not close(old[name], new[name]):
                yield f"{path.name}: {name}"
    for path in sorted(made.rglob("*.mlpackage")):
        name = path.relative_to(made)
        (old, new) = (Evaluator(folder / name) for folder in (recorded, made))
        inputs = {key: example(feature) for key, feature in new.description.inputs.items()}
        if old.description != new.description:
            yield f"{name}: another description"
            continue
        outputs = new.predict(inputs)
        for key, array in old.predict(inputs).items():
            if not close(array, outputs[key]):
                yield f"{name}: {key}"


def close(one: Any, other: Any) -> bool:  # noqa: ANN401  arrays
    """Return whether two arrays are the same but for rounding."""
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-4, atol=1e-4))


def example(feature: Feature) -> Any:  # noqa: ANN401  an array
    """Return an input of small numbers that a feature allows."""
    if feature.dtype == "int32":
        return np.ones(feature.shape, np.int32)
    return np.random.default_rng(0).standard_normal(feature.shape, np.float32)


class ToyPreprocessor(nn.Module):
    """A convolution in the place of the real preprocessor, of the same shapes."""

    def __init__(self) -> None:
        """Fill the filters from a seed."""
        super().__init__()
        numbers = torch.Generator().manual_seed(1)
        self.register_buffer("filters", torch.randn(BINS, 1, 32, generator=numbers).half().float())

    def forward(self, audio_signal: Tensor, audio_length: Tensor) -> tuple[Tensor, Tensor]:
        """Turn samples (1, n) into (1, BINS, n // HOP + 1)."""
        padded = functional.pad(audio_signal[:, None], (16, 16))
        features = functional.conv1d(padded, self.filters, stride=HOP)
        count = torch.div(audio_length, HOP, rounding_mode="floor")
        places = torch.arange(features.shape[2], dtype=torch.int32)
        return features * (places < count[:, None]).to(features.dtype)[:, None], count


def toy() -> Checkpoint:
    """Return a transducer of some ten thousand random weights that says a lot."""
    torch.manual_seed(SEED)
    encoder = {
        "model_type": "parakeet_encoder",
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "conv_kernel_size": 9,
        "subsampling_conv_channels": 8,
        "num_mel_bins": BINS,
        "attention_bias": False,
        "convolution_bias": False,
        "scale_input": False,
    }
    config = ParakeetTDTConfig(
        vocab_size=len(PIECES) + 1,
        blank_token_id=len(PIECES),
        pad_token_id=0,
        decoder_hidden_size=16,
        num_decoder_layers=2,
        durations=[0, 1, 2, 3, 4],
        encoder_config=encoder,
    )
    model = ParakeetForTDT(config).eval()
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    for name, parameter in model.named_parameters():
        if "bias_u" in name or "bias_v" in name:
            parameter.normal_(0, 0.3)
        louder = next((gain for part, gain in LOUDER.items() if part in name), 1)
        # What halves can hold, so that a converted model has the very same weights.
        parameter.copy_((parameter * louder).half().float())
    return Checkpoint("toy", model, PIECES)


def sound() -> Any:  # noqa: ANN401  an array
    """Return `VALID` samples that the tests make again: a rising tone that comes and goes."""
    time = np.arange(VALID) / SAMPLE_RATE
    wave = np.sin(2 * np.pi * 300 * time * (1 + time)) * np.sin(9 * time) ** 2
    return wave.astype(np.float32)


def stages(model: Any) -> dict[str, Any]:  # noqa: ANN401  transformers' own
    """Return what PyTorch computes of a sound, stage by stage, and the tokens it ends in.

    Once with the toy's preprocessor, and once (`real_`) with the features of `transformers`, of the
    sound in a little noise.
    """
    window = torch.zeros(1, MODEL_WINDOW)
    window[0, :VALID] = torch.from_numpy(sound())
    mel, mel_length = ToyPreprocessor()(window, torch.tensor([VALID], dtype=torch.int32))
    mask = torch.arange(mel.shape[2])[None] < mel_length[:, None]
    noise = np.random.default_rng(0).standard_normal(VALID, np.float32) * np.float32(0.01)
    features = TorchNetworks(model).features(sound() + noise)
    return {
        "mel": mel[0, :, ::50].numpy(),
        **answers(model, mel.transpose(1, 2), mask),
        "real_mel": features["input_features"][0, ::50].T.numpy(),
        **{
            f"real_{name}": value
            for name, value in answers(
                model, features["input_features"], features["attention_mask"]
            ).items()
        },
    }


def answers(model: Any, features: Tensor, mask: Tensor) -> dict[str, Any]:  # noqa: ANN401  transformers' own
    """Return what the networks of PyTorch make of features."""
    # The judge is transformers' own encoder, not the module that was converted.
    frames = encoded(model, features, mask)
    networks = TorchNetworks(model)
    emissions = greedy(networks, frames)
    prediction, (h, c) = networks.predict(networks.blank, None)
    return {
        "frames": frames,
        "prediction": prediction,
        "h": h.numpy(),
        "c": c.numpy(),
        "logits": networks.logits(frames[0], prediction),
        "emissions": np.array([(e.token, e.frame, e.duration) for e in emissions], np.int32),
        "probabilities": np.array([e.probability for e in emissions], np.float32),
    }


def operations() -> dict[str, Any]:
    """Return inputs and results of the operations that NumPy has no word for."""
    torch.manual_seed(7)
    found: dict[str, Any] = {}

    def note(name: str, result: Tensor, **inputs: Tensor) -> None:
        for key, value in inputs.items():
            found[f"{name}/{key}"] = value.numpy()
        found[f"{name}/result"] = result.numpy()

    x1, x2 = torch.randn(2, 6, 40), torch.randn(1, 4, 11, 9)
    w, b = torch.randn(8, 6, 5), torch.randn(8)
    note("conv", functional.conv1d(x1, w, b, 2, 2), x=x1, weight=w, bias=b)
    w = torch.randn(8, 6, 3)
    note("conv_dilated", functional.conv1d(x1, w, None, 1, 0, 3), x=x1, weight=w)
    w = torch.randn(6, 1, 7)
    note("conv_depthwise", functional.conv1d(x1, w, None, 1, 3, 1, 6), x=x1, weight=w)
    w = torch.randn(6, 2, 3)
    note("conv_grouped", functional.conv1d(x1, w, None, 1, 1, 1, 3), x=x1, weight=w)
    w, b = torch.randn(5, 4, 3, 3), torch.randn(5)
    note("conv_plane", functional.conv2d(x2, w, b, 2, 1), x=x2, weight=w, bias=b)
    w = torch.randn(5, 4, 3, 3)
    note("conv_same", functional.conv2d(x2, w, None, 1, "same"), x=x2, weight=w)
    g, o = torch.randn(6), torch.randn(6)
    m, v = torch.randn(6), torch.rand(6) + 0.5
    note(
        "batch_norm",
        functional.batch_norm(x1, m, v, g, o, eps=1e-3),
        x=x1, mean=m, variance=v, gamma=g, beta=o,
    )  # fmt: skip
    g, o = torch.randn(9), torch.randn(9)
    note("layer_norm", functional.layer_norm(x2, (9,), g, o, 1e-3), x=x2, gamma=g, beta=o)
    for name in ("relu", "sigmoid", "silu", "tanh"):
        note(name, getattr(functional, name)(x1 * 20), x=x1 * 20)
    note("softmax", (x2 * 30).softmax(2), x=x2 * 30)
    note("linear", functional.linear(x2, torch.ones(3, 9), torch.arange(3.0)), x=x2)
    lstm = nn.LSTM(5, 4)
    x, h, c = torch.randn(6, 2, 5), torch.randn(1, 2, 4), torch.randn(1, 2, 4)
    y, (h1, c1) = lstm(x, (h, c))
    # PyTorch's gates lie as input, forget, cell, output; MIL's as input, forget, output, cell.
    order = torch.cat([torch.arange(4) + 4 * gate for gate in (0, 1, 3, 2)])
    wih, whh = lstm.weight_ih_l0[order], lstm.weight_hh_l0[order]
    bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0)[order]
    note(
        "lstm", y, x=x, h=h[0], c=c[0], weight_ih=wih, weight_hh=whh, bias=bias, h1=h1[0], c1=c1[0]
    )
    best, ids = torch.topk(x1, 3, 1)
    note("topk", best, x=x1, ids=ids)
    return found


if __name__ == "__main__":
    main()
