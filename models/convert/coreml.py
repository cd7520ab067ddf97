"""Convert a checkpoint to Core ML packages with FluidInference's names, shapes and types.

Encoder, decoder and joint compute in half precision, the preprocessor in single: halves lose
quiet mel bins. The encoder takes 15 s and nothing else, because a fixed shape is what the Neural
Engine takes. Takes about 12 bytes a parameter of memory: 8 GB for 0.6 billion.
"""

import argparse
import contextlib
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.convert import networks
from models.convert.checkpoint import Checkpoint, is_current, load, write, write_manifest
from models.present import present
from parakeet_coreml.audio.samples import HOP, MODEL_WINDOW
from parakeet_coreml.backends.transducer.mel import BINS

MEL_FRAMES = MODEL_WINDOW // HOP + 1
WEIGHTS = ("fp16", "palettized8", "palettized6", "int8")
VOCAB = "parakeet_vocab.json"

FLOAT, INT = np.float32, np.int32


@dataclass(frozen=True, slots=True)
class Component:
    """A package to make. Shapes hold one flexible size at most, given as a `RangeDim`."""

    name: str
    module: Callable[[], nn.Module]
    inputs: Mapping[str, tuple[tuple[Any, ...], type]]
    outputs: Mapping[str, type]
    single: bool = False


def main() -> None:
    """Convert every component that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=present)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", choices=WEIGHTS, default="fp16", help="of the encoder")
    parser.add_argument("--fused", action="store_true", help="preprocessor and encoder in one")
    parser.add_argument("--name", help="of the model; default: the checkpoint folder's")
    options = parser.parse_args()
    checkpoint = load(options.checkpoint)
    if options.name:
        checkpoint = replace(checkpoint, name=options.name)
    convert(checkpoint, options.out, options.weights, fused=options.fused)


def convert(
    checkpoint: Checkpoint,
    out: Path,
    weights: str = "fp16",
    *,
    fused: bool = False,
    preprocessor: Callable[[], nn.Module] = networks.Preprocessor,
) -> None:
    """Write packages, vocabulary and manifest into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for component in components(checkpoint, preprocessor, fused=fused):
        bits = weights if component.name in {"Encoder", "Preprocessor"} else "fp16"
        bits = "fp32" if component.single else bits
        target = out / f"{component.name}.mlpackage"
        stamp = f"{checkpoint.digest} {bits}"
        if is_current(out, target.name, stamp):
            print(f"{target.name}: already there")
            continue
        began = time.monotonic()
        save(package(component, bits), target)
        size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        print(f"{target.name}: {size / 1e6:.1f} MB in {time.monotonic() - began:.0f} s")
        write_manifest(out, checkpoint, [target.name], stamp)
    vocabulary = {str(number): piece for number, piece in enumerate(checkpoint.pieces)}
    write(out / VOCAB, json.dumps(vocabulary, ensure_ascii=False) + "\n")
    write_manifest(out, checkpoint, [VOCAB])


def components(
    checkpoint: Checkpoint, preprocessor: Callable[[], nn.Module], *, fused: bool
) -> list[Component]:
    """Return the packages of a model, sizes taken from its configuration."""
    config, model = checkpoint.config, checkpoint.model
    width, hidden = config.encoder_config.hidden_size, config.decoder_hidden_size
    state = (config.num_decoder_layers, 1, hidden)
    sound = {"audio_signal": ((1, MODEL_WINDOW), FLOAT), "audio_length": ((1,), INT)}
    encoded = {"encoder": FLOAT, "encoder_length": INT}
    front = [
        Component(
            "Preprocessor",
            preprocessor,
            sound | {"audio_signal": ((1, flexible(MODEL_WINDOW)), FLOAT)},
            {"mel": FLOAT, "mel_length": INT},
            single=True,
        ),
        Component(
            "Encoder",
            lambda: networks.Encoder(model, MEL_FRAMES),
            {"mel": ((1, BINS, MEL_FRAMES), FLOAT), "mel_length": ((1,), INT)},
            encoded,
        ),
    ]
    if fused:
        joined = lambda: networks.Fused(preprocessor(), networks.Encoder(model, MEL_FRAMES))  # noqa: E731  like the others
        front = [Component("Preprocessor", joined, sound, encoded, single=True)]
    return [
        *front,
        Component(
            "Decoder",
            lambda: networks.Decoder(model),
            {
                "targets": ((1, 1), INT),
                "target_length": ((1,), INT),
                "h_in": (state, FLOAT),
                "c_in": (state, FLOAT),
            },
            {"decoder": FLOAT, "h_out": FLOAT, "c_out": FLOAT},
        ),
        Component(
            "JointDecision",
            lambda: networks.JointDecision(model),
            {"encoder_step": ((1, width, 1), FLOAT), "decoder_step": ((1, hidden, 1), FLOAT)},
            {
                "token_id": INT,
                "token_prob": FLOAT,
                "duration": INT,
                "top_k_ids": INT,
                "top_k_logits": FLOAT,
            },
        ),
    ]


def flexible(largest: int) -> Any:  # noqa: ANN401  coremltools' own
    """Return a size from 1 to `largest`."""
    return coremltools().RangeDim(1, largest, largest)


def package(component: Component, weights: str) -> Any:  # noqa: ANN401  coremltools' own
    """Trace a component and convert it for macOS 14."""
    ct = coremltools()
    samples = tuple(sample(shape, dtype) for shape, dtype in component.inputs.values())
    with quiet():
        traced = torch.jit.trace(component.module().eval(), samples, check_trace=False)
        model = ct.convert(
            traced,
            inputs=[
                ct.TensorType(k, shape, dtype) for k, (shape, dtype) in component.inputs.items()
            ],
            outputs=[ct.TensorType(k, dtype=dtype) for k, dtype in component.outputs.items()],
            minimum_deployment_target=ct.target.macOS14,
            compute_precision=ct.precision.FLOAT32 if component.single else ct.precision.FLOAT16,
            skip_model_load=True,
        )
        model = compressed(model, weights)
    model.short_description = f"Parakeet TDT, {component.name}, weights {weights}"
    model.user_defined_metadata.pop("com.github.apple.coremltools.conversion_date", None)
    return model


def compressed(model: Any, weights: str) -> Any:  # noqa: ANN401  coremltools' own
    """Store weights of more than 2,048 numbers as asked."""
    cto = coremltools().optimize.coreml
    if weights in {"fp16", "fp32"}:
        return model
    if weights == "int8":
        how = cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype=np.int8)
        return cto.linear_quantize_weights(model, cto.OptimizationConfig(how))
    bits = int(weights.removeprefix("palettized"))
    # Tables of equal steps would do for 8 bits; for 6 they cost several words in a hundred.
    how = cto.OpPalettizerConfig(mode="kmeans", nbits=bits)
    return cto.palettize_weights(model, cto.OptimizationConfig(how))


def sample(shape: tuple[Any, ...], dtype: type) -> Tensor:
    """Return an input to trace with; lengths say that all is valid."""
    if dtype is INT:
        return torch.full(shape, MEL_FRAMES - 1 if shape == (1,) else 0, dtype=torch.int32)
    return torch.zeros([size if isinstance(size, int) else size.upper_bound for size in shape])


def save(model: Any, target: Path) -> None:  # noqa: ANN401  coremltools' own
    """Save a package beside its place first, so that a broken run leaves no half of one."""
    partial = target.with_name(f"partial-{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    model.save(str(partial))
    os.chmod(partial / "Data/com.apple.CoreML/model.mlmodel", 0o644)  # noqa: PTH101  it comes as 0600
    shutil.rmtree(target, ignore_errors=True)  # of another checkpoint
    os.replace(partial, target)  # noqa: PTH105  says what it does


def coremltools() -> Any:  # noqa: ANN401  a module
    """Return coremltools, whose import alone prints a page."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    import coremltools as ct  # noqa: PLC0415

    return ct


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out the warnings of tracing with fixed sizes, which is what is wanted."""
    with warnings.catch_warnings(), open(os.devnull, "w", encoding="utf-8") as sink:  # noqa: PTH123
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(sink):  # progress bars, one for each of 112 passes
            yield


if __name__ == "__main__":
    main()
