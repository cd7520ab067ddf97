"""The network: a FastConformer-TDT of `transformers`, its features, and its loss."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from transformers import ParakeetFeatureExtractor, ParakeetForTDT, ParakeetTDTConfig

from models.tiny_en.tokens import BLANK

DURATIONS = (0, 1, 2, 3, 4)
HOP = 160
"""Samples per mel frame: 10 ms."""
SIGMA = 0.02
"""Undernormalisation of token scores (the TDT paper): nudges the search to longer durations."""


def configured() -> ParakeetTDTConfig:
    """Describe the 5.4 million parameters; flags as in parakeet-tdt-0.6b-v3."""
    encoder = {
        "model_type": "parakeet_encoder",
        "hidden_size": 160,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "intermediate_size": 640,
        "conv_kernel_size": 9,
        "subsampling_conv_channels": 64,
        "num_mel_bins": 128,
        "attention_bias": False,
        "convolution_bias": False,
        "scale_input": False,
        "dropout": 0.05,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "layerdrop": 0.0,
    }
    return ParakeetTDTConfig(
        vocab_size=BLANK + 1,
        blank_token_id=BLANK,
        pad_token_id=0,
        decoder_hidden_size=160,
        num_decoder_layers=1,
        durations=list(DURATIONS),
        encoder_config=encoder,
    )


class TinyModel(nn.Module):
    """The transducer, and beside it the CTC head that teaches its encoder; only the first is shipped."""

    def __init__(self) -> None:
        """Build with PyTorch's own initialisation: a deviation of 0.02 starves the convolutions."""
        super().__init__()
        self.tdt = ParakeetForTDT(configured())
        self.ctc = nn.Linear(160, BLANK + 1)
        for module in self.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            if hasattr(module, "bias_u"):
                nn.init.zeros_(module.bias_u)
                nn.init.zeros_(module.bias_v)
        # As in NeMo, blank opens the predictor as a row of zeros.
        self.tdt.decoder.embedding.padding_idx = BLANK
        with torch.no_grad():
            self.tdt.decoder.embedding.weight[BLANK] = 0
        # Channels last and bfloat16 make a training step three times as quick on a CPU that has both.
        self.tdt.encoder.subsampling.to(memory_format=torch.channels_last)

    def encode(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features (batch, mel frames, bins) into encoder frames and their counts."""
        mask = torch.arange(features.shape[1])[None, :] < lengths[:, None]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training):
            out = self.tdt.encoder(input_features=features, attention_mask=mask)
        return out.last_hidden_state.float(), out.attention_mask.sum(-1)

    def ctc_loss(self, frames: Tensor, counts: Tensor, targets: Tensor, sizes: Tensor) -> Tensor:
        """Score with the CTC head, per token."""
        scores = self.ctc(frames).log_softmax(-1).transpose(0, 1)
        total = nn.functional.ctc_loss(
            scores, targets, counts, sizes, blank=BLANK, reduction="sum", zero_infinity=True
        )
        return total / (sizes.sum() + len(sizes))

    def tdt_loss(self, frames: Tensor, counts: Tensor, targets: Tensor, sizes: Tensor) -> Tensor:
        """Score with the transducer, per token."""
        opened = nn.functional.pad(targets, (1, 0), value=BLANK)
        predicted = self.tdt.decoder(opened)
        joined = self.tdt.joint(
            encoder_hidden_states=self.tdt.encoder_projector(frames)[:, :, None, :],
            decoder_hidden_states=predicted[:, None, :, :],
        )
        tokens = joined[..., : BLANK + 1].log_softmax(-1)
        durations = joined[..., BLANK + 1 :].log_softmax(-1)
        index = targets[:, None, :, None].expand(-1, frames.shape[1], -1, -1)
        labels = tokens[:, :, :-1].gather(3, index).squeeze(3)
        losses = Lattice.apply(tokens[..., BLANK] - SIGMA, labels - SIGMA, durations, counts, sizes)
        return losses.sum() / (sizes.sum() + len(sizes))


class Lattice(torch.autograd.Function):
    """The TDT loss by forward and backward sums; hundreds of times quicker than a graph of small steps."""

    @staticmethod
    def forward(ctx: Any, blanks: Tensor, labels: Tensor, durations: Tensor, counts: Tensor, sizes: Tensor) -> Tensor:
        """Sum over all paths, and keep the posterior of every arc as the gradient."""
        arrays = [part.detach().contiguous().numpy() for part in (blanks, labels, durations)]
        grads = [np.zeros_like(part) for part in arrays]
        losses = np.zeros(len(counts), np.float32)
        lattice(*arrays, counts.numpy(), sizes.numpy(), losses, *grads)
        ctx.save_for_backward(*[torch.from_numpy(grad) for grad in grads])
        return torch.from_numpy(losses)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the posteriors kept."""
        blanks, labels, durations = ctx.saved_tensors
        scale = grad[:, None, None]
        return blanks * scale, labels * scale, durations * scale[..., None], None, None


@numba.njit(cache=True)
def plus(a: float, b: float) -> float:
    """Add two numbers given as logarithms."""
    if a < b:
        a, b = b, a
    if b <= -1e29:
        return a
    return a + np.log1p(np.exp(b - a))


@numba.njit(cache=True, nogil=True)
def lattice(blanks, labels, durations, counts, sizes, losses, g_blanks, g_labels, g_durations):  # noqa: ANN001, ANN201  numba
    """Fill losses and the three gradients; duration 0 is for labels only, the last blank must end at the end."""
    for b in range(len(counts)):
        frames, size = counts[b], sizes[b]
        alpha = np.full((frames, size + 1), -1e30)
        beta = np.full((frames, size + 1), -1e30)
        alpha[0, 0] = 0.0
        for t in range(frames):
            for u in range(size + 1):
                here = alpha[t, u]
                if here <= -1e29:
                    continue
                for d in range(min(5, frames - t)):
                    arc = here + durations[b, t, u, d]
                    if d > 0:
                        alpha[t + d, u] = plus(alpha[t + d, u], arc + blanks[b, t, u])
                    if u < size:
                        alpha[t + d, u + 1] = plus(alpha[t + d, u + 1], arc + labels[b, t, u])
        total = -1e30
        for t in range(frames - 1, -1, -1):
            for u in range(size, -1, -1):
                best = -1e30
                for d in range(5):
                    if t + d > frames:
                        continue
                    arc = durations[b, t, u, d]
                    if t + d == frames:
                        if u == size and d > 0:
                            best = plus(best, arc + blanks[b, t, u])
                        continue
                    if d > 0:
                        best = plus(best, arc + blanks[b, t, u] + beta[t + d, u])
                    if u < size:
                        best = plus(best, arc + labels[b, t, u] + beta[t + d, u + 1])
                beta[t, u] = best
        total = beta[0, 0]
        if total <= -1e29:
            continue
        losses[b] = -total
        for t in range(frames):
            for u in range(size + 1):
                here = alpha[t, u] - total
                if here <= -60.0 - beta[t, u]:
                    continue
                for d in range(5):
                    if t + d > frames:
                        continue
                    arc = here + durations[b, t, u, d]
                    mass = 0.0
                    if t + d == frames:
                        if u == size and d > 0:
                            mass = np.exp(arc + blanks[b, t, u])
                            g_blanks[b, t, u] -= mass
                    else:
                        if d > 0:
                            mass = np.exp(arc + blanks[b, t, u] + beta[t + d, u])
                            g_blanks[b, t, u] -= mass
                        if u < size:
                            label = np.exp(arc + labels[b, t, u] + beta[t + d, u + 1])
                            g_labels[b, t, u] -= label
                            mass += label
                    g_durations[b, t, u, d] -= mass


class Features:
    """Log-mel features as `ParakeetFeatureExtractor` computes them, without its detours."""

    def __init__(self) -> None:
        """Take the filters from the extractor itself."""
        extractor = ParakeetFeatureExtractor(feature_size=128)
        self.filters = extractor.mel_filters
        self.window = torch.hann_window(400, periodic=False)

    def log_mel(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """Turn zero-padded samples (batch, n) into log-mel (batch, mel frames, bins), not yet normalised."""
        mask = torch.arange(samples.shape[1])[None, :] < lengths[:, None]
        sharp = torch.cat([samples[:, :1], samples[:, 1:] - 0.97 * samples[:, :-1]], dim=1) * mask
        spectrum = torch.stft(
            sharp, 512, HOP, 400, window=self.window, return_complex=True, pad_mode="constant"
        )
        power = torch.view_as_real(spectrum).pow(2).sum(-1)
        return torch.log(self.filters @ power + 2**-24).transpose(1, 2)

    def normal(self, mel: Tensor, counts: Tensor) -> Tensor:
        """Give every bin mean 0 and deviation 1 over the valid mel frames, and 0 beyond them."""
        mask = (torch.arange(mel.shape[1])[None, :] < counts[:, None]).unsqueeze(-1)
        mean = (mel * mask).sum(1, keepdim=True) / counts[:, None, None]
        variance = ((mel - mean).pow(2) * mask).sum(1, keepdim=True) / (counts[:, None, None] - 1)
        return (mel - mean) / (variance.sqrt() + 1e-5) * mask

    def __call__(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute normalised features and their counts."""
        counts = lengths // HOP
        return self.normal(self.log_mel(samples, lengths), counts), counts
