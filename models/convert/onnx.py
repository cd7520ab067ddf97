"""Convert a checkpoint to ONNX with istupakov's names, shapes and types.

`--int8` quantises both graphs after that, by onnxruntime's dynamic quantisation. Takes about 16
bytes a parameter of memory; past 2 GB weights go to a file beside the graph, as ONNX requires.
"""

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from models.convert import networks
from models.convert.checkpoint import Checkpoint, is_current, load, write, write_manifest
from models.present import present
from parakeet_coreml.audio.samples import SUBSAMPLING
from parakeet_coreml.backends.transducer.mel import BINS
from parakeet_coreml.backends.transducer.vocab import BLANK_PIECE

OPSET = 18
LARGEST = 1 << 31
"""Bytes that a protobuf message may have."""

SMALL_FILES = ("config.json", "vocab.txt")


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph to make; sizes that stay open are named, by input or output and axis."""

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    open: Mapping[str, dict[int, str]]


def main() -> None:
    """Convert both graphs unless they are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=present)
    parser.add_argument("out", type=Path)
    parser.add_argument("--int8", action="store_true", help="quantise, and keep no float graphs")
    parser.add_argument("--name", help="of the model; default: the checkpoint folder's")
    options = parser.parse_args()
    checkpoint = load(options.checkpoint)
    if options.name:
        checkpoint = replace(checkpoint, name=options.name)
    convert(checkpoint, options.out, int8=options.int8)


def convert(checkpoint: Checkpoint, out: Path, *, int8: bool = False) -> None:
    """Write graphs, vocabulary, configuration and manifest into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    stamp = f"{checkpoint.digest} {'int8' if int8 else 'fp32'}"
    for graph in graphs(checkpoint):
        target = out / f"{graph.name}{'.int8' if int8 else ''}.onnx"
        if is_current(out, target.name, stamp):
            print(f"{target.name}: already there")
            continue
        with tempfile.TemporaryDirectory(dir=out) as folder:
            export(graph, Path(folder) / target.name, int8=int8)
            for file in sorted(Path(folder).iterdir(), reverse=True):  # the graph itself last
                file.chmod(0o644)  # weights beside a graph come as 0600
                file.replace(out / file.name)
        print(f"{target.name}: {target.stat().st_size / 1e6:.1f} MB")
        beside = [name for name in [f"{target.name}.data"] if (out / name).exists()]
        write_manifest(out, checkpoint, [target.name, *beside], stamp)
    pieces = [*checkpoint.pieces, BLANK_PIECE]
    write(out / "vocab.txt", "".join(f"{piece} {i}\n" for i, piece in enumerate(pieces)))
    about = {"model_type": "nemo-conformer-tdt", "features_size": BINS}
    about |= {"subsampling_factor": SUBSAMPLING, "max_tokens_per_step": 10}
    path = out / "config.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write(path, json.dumps(known | about, ensure_ascii=False, indent=1) + "\n")
    write_manifest(out, checkpoint, list(SMALL_FILES))


def graphs(checkpoint: Checkpoint) -> list[Graph]:
    """Return the two graphs of a model, sizes taken from its configuration."""
    config, model = checkpoint.config, checkpoint.model
    state = torch.zeros(config.num_decoder_layers, 1, config.decoder_hidden_size)
    one = torch.ones(1, dtype=torch.int32)
    encoder = Graph(
        "encoder-model",
        Onward(networks.Encoder(model)),
        {"audio_signal": torch.zeros(1, BINS, 301), "length": torch.tensor([300])},
        ("outputs", "encoded_lengths"),
        {"audio_signal": {2: "mel_frames"}, "outputs": {2: "frames"}},
    )
    decoder = Graph(
        "decoder_joint-model",
        networks.DecoderJoint(model),
        {
            "encoder_outputs": torch.zeros(1, config.encoder_config.hidden_size, 1),
            "targets": torch.zeros(1, 1, dtype=torch.int32),
            "target_length": one,
            "input_states_1": state,
            "input_states_2": state.clone(),
        },
        ("outputs", "prednet_lengths", "output_states_1", "output_states_2"),
        {
            "encoder_outputs": {2: "frames"},
            "targets": {1: "tokens"},
            "outputs": {1: "frames", 2: "tokens"},
        },
    )
    return [encoder, decoder]


class Onward(nn.Module):
    """The encoder with features hidden past their length, as callers may pad with anything."""

    def __init__(self, encoder: networks.Encoder) -> None:
        """Wrap the encoder."""
        super().__init__()
        self.encoder = encoder

    def forward(self, audio_signal: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (1, BINS, mel frames) into (1, dimension, frames)."""
        places = torch.arange(audio_signal.shape[2])
        valid = (places < length[:, None]).to(audio_signal.dtype)
        return self.encoder(audio_signal * valid[:, None], length)  # type: ignore[no-any-return]


def export(graph: Graph, path: Path, *, int8: bool) -> None:
    """Export one graph, its weights beside it if they are large."""
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as folder:
        exported = Path(folder) / "exported.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing
            torch.onnx.export(
                graph.module.eval(),
                tuple(graph.inputs.values()),
                str(exported),
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_axes=graph.open,
                opset_version=OPSET,
                # The newer exporter fixes the length at which it saw relative attention.
                dynamo=False,
            )
        if int8:
            quantise(exported, path)
            return
        model = onnx.load(str(exported))
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        onnx.save(
            model, str(path), save_as_external_data=size > LARGEST, location=f"{path.name}.data"
        )


def quantise(source: Path, target: Path) -> None:
    """Store weights as int8, and quantise what meets them at run time."""
    prepared = source.with_name("prepared.onnx")
    large = sum(file.stat().st_size for file in source.parent.iterdir()) > LARGEST
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    quant_pre_process(source, prepared, skip_symbolic_shape=True, save_as_external_data=large)
    # Convolutions stay as they are: int8 ones are slower on most processors, and hear less.
    quantize_dynamic(
        prepared,
        target,
        op_types_to_quantize=["MatMul", "Gemm", "LSTM", "Gather"],
        weight_type=QuantType.QInt8,
        per_channel=True,
        use_external_data_format=False,
    )


if __name__ == "__main__":
    main()
