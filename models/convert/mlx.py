"""Convert a checkpoint to MLX in parakeet-mlx's layout: `config.json` and `model.safetensors`.

Names and places of the weights are NeMo's, convolutions with their channels last. Numbers that
halves hold exactly are stored as halves. Needs no MLX; takes about 8 bytes a parameter of memory.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.convert.checkpoint import Checkpoint, is_current, load, write, write_manifest
from models.present import present
from parakeet_coreml.audio.samples import SAMPLE_RATE, SUBSAMPLING
from parakeet_coreml.backends.transducer.mel import BINS

RENAMED = (
    ("encoder.subsampling.layers.", "encoder.pre_encode.conv."),
    ("encoder.subsampling.linear.", "encoder.pre_encode.out."),
    (".q_proj.", ".linear_q."),
    (".k_proj.", ".linear_k."),
    (".v_proj.", ".linear_v."),
    (".o_proj.", ".linear_out."),
    (".relative_k_proj.", ".linear_pos."),
    (".self_attn.bias_u", ".self_attn.pos_bias_u"),
    (".self_attn.bias_v", ".self_attn.pos_bias_v"),
    (".conv.norm.", ".conv.batch_norm."),
    ("decoder.embedding.", "decoder.prediction.embed."),
    ("decoder.decoder_projector.", "joint.pred."),
    ("encoder_projector.", "joint.enc."),
    ("joint.head.", "joint.joint_net.2."),
)
"""Parts of names in `transformers`, and in NeMo."""


def main() -> None:
    """Write both files; a finished weight file is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=present)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", help="of the model; default: the checkpoint folder's")
    options = parser.parse_args()
    checkpoint = load(options.checkpoint)
    if options.name:
        checkpoint = replace(checkpoint, name=options.name)
    convert(checkpoint, options.out)


def convert(checkpoint: Checkpoint, out: Path) -> None:
    """Write weights, configuration and manifest into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    target = out / "model.safetensors"
    if is_current(out, target.name, checkpoint.digest):
        print(f"{target.name}: already there")
    else:
        partial = target.with_name(target.name + ".partial")
        save_file(dict(weights(checkpoint.model)), partial, metadata={"format": "mlx"})
        partial.chmod(0o644)  # it comes as 0600
        partial.replace(target)
        print(f"{target.name}: {target.stat().st_size / 1e6:.1f} MB")
        write_manifest(out, checkpoint, [target.name], checkpoint.digest)
    path = out / "config.json"
    # The ONNX form beside it has a config.json too, of other keys.
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write(path, json.dumps(known | configuration(checkpoint), ensure_ascii=False, indent=1) + "\n")
    write_manifest(out, checkpoint, [path.name])


def weights(model: Any) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401  transformers' own
    """Give every weight under its NeMo name, as MLX wants it."""
    state = model.state_dict()
    for layer in range(model.config.num_decoder_layers):
        name = f"decoder.prediction.dec_rnn.lstm.{layer}"
        yield f"{name}.Wx", stored(state.pop(f"decoder.lstm.weight_ih_l{layer}"))
        yield f"{name}.Wh", stored(state.pop(f"decoder.lstm.weight_hh_l{layer}"))
        biases = (state.pop(f"decoder.lstm.bias_{kind}_l{layer}") for kind in ("ih", "hh"))
        yield f"{name}.bias", stored(sum(biases))
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        for old, new in RENAMED:
            name = name.replace(old, new)  # noqa: PLW2901  that is the point
        yield name, stored(value.movedim(1, -1) if value.ndim > 2 else value)


def stored(value: Tensor) -> Tensor:
    """Return a weight as halves if they hold it exactly."""
    half = value.half()
    exact = torch.equal(half.float(), value.float())
    return (half if exact else value.float()).contiguous().clone()


def configuration(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what parakeet-mlx reads of a NeMo configuration."""
    config, encoder = checkpoint.config, checkpoint.config.encoder_config
    if encoder.attention_bias != encoder.convolution_bias:
        raise SystemExit("MLX has biases in attention and convolutions, or in neither")
    tokens, durations = checkpoint.blank, list(config.durations)
    hidden = config.decoder_hidden_size
    return {
        "target": "nemo.collections.asr.models.rnnt_bpe_models.EncDecRNNTBPEModel",
        "model_defaults": {"tdt_durations": durations},
        "preprocessor": {
            "sample_rate": SAMPLE_RATE,
            "normalize": "per_feature",
            "window_size": 0.025,
            "window_stride": 0.01,
            "window": "hann",
            "features": BINS,
            "n_fft": 512,
            "dither": 1e-5,
            "pad_to": 0,
        },
        "encoder": {
            "feat_in": BINS,
            "n_layers": encoder.num_hidden_layers,
            "d_model": encoder.hidden_size,
            "n_heads": encoder.num_attention_heads,
            "ff_expansion_factor": encoder.intermediate_size // encoder.hidden_size,
            "subsampling": "dw_striding",
            "subsampling_factor": SUBSAMPLING,
            "subsampling_conv_channels": encoder.subsampling_conv_channels,
            "self_attention_model": "rel_pos",
            "pos_emb_max_len": encoder.max_position_embeddings,
            "conv_kernel_size": encoder.conv_kernel_size,
            "use_bias": encoder.attention_bias,
            "xscaling": encoder.scale_input,
        },
        "decoder": {
            "blank_as_pad": True,
            "vocab_size": tokens,
            "prednet": {"pred_hidden": hidden, "pred_rnn_layers": config.num_decoder_layers},
        },
        "joint": {
            "num_classes": tokens,
            "vocabulary": list(checkpoint.pieces),
            "num_extra_outputs": len(durations),
            "jointnet": {
                "joint_hidden": hidden,
                "activation": config.hidden_act,
                "encoder_hidden": encoder.hidden_size,
                "pred_hidden": hidden,
            },
        },
        "decoding": {"model_type": "tdt", "durations": durations, "greedy": {"max_symbols": 10}},
    }


if __name__ == "__main__":
    main()
