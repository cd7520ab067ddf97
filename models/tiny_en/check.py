"""Check the shipped ONNX files against the checkpoint in PyTorch, padded and not, and time them."""

from __future__ import annotations

import argparse
import time

import numpy as np
import onnxruntime
import torch

from models.present import present
from models.tiny_en import export
from models.tiny_en.tokens import BLANK

TOLERANCE = 1e-3
"""Largest difference taken for rounding."""


def main() -> None:
    """Compare encoder and decoder at several lengths; fail loudly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=present, default=export.CHECKPOINT)
    parser.add_argument("--out", type=present, default=export.SHIPPED)
    options = parser.parse_args()
    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = 2
    encoder, decoder = (
        onnxruntime.InferenceSession(str(options.out / f"{name}-model.onnx"), session)
        for name in ("encoder", "decoder_joint")
    )
    model = export.loaded(options.checkpoint)
    for valid, padded in ((1500, 1501), (30, 31), (777, 1501), (400, 400), (2800, 2801)):
        compare_encoder(encoder, model, valid, padded)
    compare_decoder(decoder, model)
    features = np.random.default_rng(0).standard_normal((1, 128, 1501), np.float32)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        encoder.run(None, {"audio_signal": features, "length": np.array([1500])})
        times.append(time.perf_counter() - start)
    print(f"15 s window: {min(times) * 1000:.0f} ms in the encoder, 2 threads")


def close(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Print the largest difference, and refuse one that is not rounding."""
    worst = float(np.abs(ours - theirs).max())
    print(f"{name}: largest difference {worst:.1e}")
    if not worst < TOLERANCE:
        raise SystemExit(f"{name} differs")


def compare_encoder(
    session: onnxruntime.InferenceSession, model: torch.nn.Module, valid: int, padded: int
) -> None:
    """Encode the same features in both, and with rubbish after the valid ones."""
    rng = np.random.default_rng(valid)
    features = rng.standard_normal((1, 128, padded), np.float32)
    features[:, :, valid:] = 9.0
    length = np.array([valid])
    ours, count = session.run(None, {"audio_signal": features, "length": length})
    bare, same = session.run(None, {"audio_signal": features[:, :, :valid], "length": length})
    if count[0] != same[0]:
        raise SystemExit(f"{count} frames padded, {same} not")
    with torch.no_grad():
        theirs = export.Encoder(model)(torch.from_numpy(features), torch.from_numpy(length))[
            0
        ].numpy()
    frames = int(count[0])
    close(f"encoder {valid}/{padded}", ours[:, :, :frames], theirs[:, :, :frames])
    close(f"encoder {valid} without padding", ours[:, :, :frames], bare[:, :, :frames])


def compare_decoder(session: onnxruntime.InferenceSession, model: torch.nn.Module) -> None:
    """Take three steps through predictor and joint in both."""
    joint = export.DecoderJoint(model)
    width = model.config.encoder_config.hidden_size
    shape = (model.config.num_decoder_layers, 1, model.config.decoder_hidden_size)
    state = [np.zeros(shape, np.float32)] * 2
    names = [entry.name for entry in session.get_inputs()]
    for token in (BLANK, 5, 77):
        frame = np.random.default_rng(token).standard_normal((1, width, 1), np.float32)
        inputs = [frame, np.array([[token]], np.int32), np.array([1], np.int32), *state]
        logits, _, *after = session.run(None, dict(zip(names, inputs, strict=True)))
        with torch.no_grad():
            theirs = joint(*map(torch.from_numpy, inputs))
        close(f"joint after token {token}", logits, theirs[0].numpy())
        state = after


if __name__ == "__main__":
    main()
