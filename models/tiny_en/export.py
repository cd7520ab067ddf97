"""Turn a run into what is shipped: fp16 weights in `transformers` layout, and ONNX."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import sentencepiece
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import ParakeetFeatureExtractor, ParakeetForTDT, ParakeetTDTConfig

from models.tiny_en.folders import WORK
from models.tiny_en.model import DURATIONS, TinyModel
from models.tiny_en.shares import each, rest
from models.tiny_en.tokens import BLANK

Names = tuple[list[str], list[str]]
Axes = dict[str, dict[int, str]]

OPSET = 18
SHIPPED = Path(__file__).parents[2] / "parakeet_coreml" / "tiny_en"
"""The folder inside the package."""
CHECKPOINT = Path(__file__).with_name("checkpoint")
"""The one source of every format."""


def main() -> None:
    """Write the checkpoint if a run is given, then the ONNX files from the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--trained",
        type=Path,
        nargs="+",
        help="last.pt of a run, or of several, or a checkpoint's model.safetensors: their mean; "
        "else the checkpoint as it is",
    )
    parser.add_argument(
        "--share",
        type=float,
        nargs="+",
        default=[1.0],
        help="of the mean in what is written, or of each; the rest is the checkpoint that is there",
    )
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args()
    if not options.trained and options.share != [1.0]:
        parser.error("--share: of what? name --trained")
    if options.trained:
        try:
            shares = each(options.share, len(options.trained))
        except ValueError as error:
            parser.error(f"--share: {error}")
        beside = [options.checkpoint / "model.safetensors"] if rest(shares) else []
        for path in [*options.trained, *beside]:
            if not path.is_file():
                parser.error(f"no {path}")
        write_checkpoint(options.trained, shares, options.work, options.checkpoint)
    write_onnx(options.checkpoint, options.out)


def write_checkpoint(trained: list[Path], shares: list[float], work: Path, folder: Path) -> None:
    """Round the averaged weights to fp16; save them as `transformers` does, pieces beside.

    With `shares` that leave a rest they are drawn towards the checkpoint in `folder`, which a run
    began with: what it forgot comes back, and most of what it learnt stays (Wortsman et al.,
    *Robust fine-tuning of zero-shot models*, CVPR 2022; of several runs: *Model soups*, ICML 2022).
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = TinyModel()
    averages = [averaged(one) for one in trained]
    model.tdt.load_state_dict(averages[0])
    before = load_file(folder / "model.safetensors") if rest(shares) else {}
    halves = {}
    for name, value in model.tdt.state_dict().items():
        mixed = value
        if value.is_floating_point():
            parts = [average[name].float() for average in averages]
            mixed = sum(
                (share * part for share, part in zip(shares, parts, strict=True)),
                rest(shares) * before[name].float() if before else torch.zeros_like(value),
            ).half()
        halves[name] = mixed.contiguous().clone()
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    model.tdt.config.architectures = ["ParakeetForTDT"]
    model.tdt.config.save_pretrained(folder)
    ParakeetFeatureExtractor(feature_size=128).save_pretrained(folder)
    (folder / "pieces.model").write_bytes((work / "pieces.model").read_bytes())


def averaged(path: Path) -> dict[str, Tensor]:
    """Read the transducer: of a run's last.pt, averaged over its end, or of a checkpoint."""
    if path.suffix == ".safetensors":
        found: dict[str, Tensor] = load_file(path)
        return found
    average = torch.load(path, weights_only=True, map_location="cpu")["average"]
    return {
        name.removeprefix("tdt."): value
        for name, value in average.items()
        if name.startswith("tdt.")
    }


def loaded(folder: Path) -> ParakeetForTDT:
    """Load the checkpoint with its weights cast to fp32, ready to run."""
    model = ParakeetForTDT(ParakeetTDTConfig.from_pretrained(folder))
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    )
    return model.eval()


class Encoder(nn.Module):
    """The encoder with the names and shapes of istupakov's files."""

    def __init__(self, model: ParakeetForTDT) -> None:
        """Wrap the encoder."""
        super().__init__()
        self.encoder = model.encoder

    def forward(self, audio_signal: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Encode features (batch, bins, mel frames) of which `length` are valid."""
        mask = torch.arange(audio_signal.shape[2])[None, :] < length[:, None]
        features = audio_signal.transpose(1, 2) * mask[:, :, None]
        out = self.encoder(input_features=features, attention_mask=mask)
        counts = out.attention_mask.sum(-1)
        return (out.last_hidden_state * out.attention_mask[:, :, None]).transpose(
            1, 2
        ), counts.long()


class DecoderJoint(nn.Module):
    """Predictor and joint in one, as NeMo exports them."""

    def __init__(self, model: ParakeetForTDT) -> None:
        """Wrap both networks and the projections between."""
        super().__init__()
        self.decoder, self.joint, self.projector = (
            model.decoder,
            model.joint,
            model.encoder_projector,
        )

    def forward(
        self, encoder_outputs: Tensor, targets: Tensor, target_length: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, ...]:
        """Predict from the tokens so far, and join with every encoder frame."""
        predicted, (h, c) = self.decoder.lstm(self.decoder.embedding(targets.long()), (h, c))
        logits = self.joint(
            encoder_hidden_states=self.projector(encoder_outputs.transpose(1, 2))[:, :, None, :],
            decoder_hidden_states=self.decoder.decoder_projector(predicted)[:, None, :, :],
        )
        return logits, target_length + 0, h, c


def write_onnx(checkpoint: Path, out: Path) -> None:
    """Export both graphs, halve their weights, and write the small files beside them."""
    out.mkdir(parents=True, exist_ok=True)
    model = loaded(checkpoint)
    config = model.config
    width, hidden = config.encoder_config.hidden_size, config.decoder_hidden_size
    state = torch.zeros(config.num_decoder_layers, 1, hidden)
    export(
        Encoder(model),
        (torch.randn(1, 128, 401), torch.tensor([400])),
        out / "encoder-model.onnx",
        names=(["audio_signal", "length"], ["outputs", "encoded_lengths"]),
        dynamic={
            "audio_signal": {0: "batch", 2: "mel_frames"},
            "length": {0: "batch"},
            "outputs": {0: "batch", 2: "frames"},
            "encoded_lengths": {0: "batch"},
        },
    )
    export(
        DecoderJoint(model),
        (
            torch.randn(1, width, 1),
            torch.tensor([[BLANK]], dtype=torch.int32),
            torch.ones(1, dtype=torch.int32),
            state,
            state.clone(),
        ),
        out / "decoder_joint-model.onnx",
        names=(
            ["encoder_outputs", "targets", "target_length", "input_states_1", "input_states_2"],
            ["outputs", "prednet_lengths", "output_states_1", "output_states_2"],
        ),
        dynamic={
            "encoder_outputs": {2: "frames"},
            "targets": {1: "tokens"},
            "outputs": {1: "frames", 2: "tokens"},
        },
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(checkpoint / "pieces.model"))
    lines = [f"{pieces.id_to_piece(i)} {i}" for i in range(BLANK)] + [f"<blk> {BLANK}"]
    (out / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    about = {"model_type": "nemo-conformer-tdt", "features_size": 128, "subsampling_factor": 8}
    (out / "config.json").write_text(json.dumps(about | {"max_tokens_per_step": 10}) + "\n")
    write_manifest(out, config)


def export(
    model: nn.Module, inputs: tuple[Tensor, ...], path: Path, *, names: Names, dynamic: Axes
) -> None:
    """Export one graph and store its weights as fp16."""
    torch.onnx.export(
        model.eval(),
        inputs,
        str(path),
        input_names=names[0],
        output_names=names[1],
        dynamic_axes=dynamic,
        opset_version=OPSET,
        # The other exporter fixes the length at which it saw relative attention.
        dynamo=False,
    )
    graph = onnx.load(str(path))
    halved(graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def halved(model: onnx.ModelProto) -> None:
    """Store large float initializers as fp16 behind a Cast, which runtimes fold when they load."""
    kept, casts = [], []
    for initializer in model.graph.initializer:
        array = numpy_helper.to_array(initializer)
        if (
            array.dtype != np.float32
            or array.size < 64
            or not np.array_equal(array.astype(np.float16), array)
        ):
            kept.append(initializer)
            continue
        name = initializer.name + "_half"
        kept.append(numpy_helper.from_array(array.astype(np.float16), name))
        casts.append(helper.make_node("Cast", [name], [initializer.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]


def write_manifest(out: Path, config: ParakeetTDTConfig) -> None:
    """Write what a loader checks: sizes, sums and dimensions."""
    names = ["encoder-model.onnx", "decoder_joint-model.onnx", "vocab.txt", "config.json"]
    files = {
        name: {
            "size": (out / name).stat().st_size,
            "sha256": hashlib.sha256((out / name).read_bytes()).hexdigest(),
        }
        for name in names
    }
    manifest = {
        "name": "tiny-en",
        "blank": BLANK,
        "durations": list(DURATIONS),
        "predictor_layers": config.num_decoder_layers,
        "predictor_hidden": config.decoder_hidden_size,
        "encoder_dim": config.encoder_config.hidden_size,
        "files": files,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
