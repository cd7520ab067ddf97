"""The network: a FastConformer-TDT of `transformers`, its features, and its loss."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import ParakeetFeatureExtractor, ParakeetForTDT, ParakeetTDTConfig

from models.tiny_en.lattice import losses
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
        "dropout": 0.0,
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


def valid(width: int, lengths: Tensor) -> Tensor:
    """Mark what is not padding, as booleans (batch, width)."""
    return torch.arange(width, device=lengths.device)[None, :] < lengths[:, None]


def quick_halves(device: str) -> bool:
    """Say whether a device multiplies bfloat16 quicker than float32; an AVX2 CPU is far slower."""
    able = torch.cpu.get_capabilities()
    return device != "cpu" or able.get("avx512_bf16", False) or able.get("amx_bf16", False)


def pointwise(module: nn.Conv1d | nn.Conv2d, x: Tensor) -> Tensor:
    """Compute a convolution over one frame, (batch, channels, ...), as a product of matrices."""
    out = nn.functional.linear(x.movedim(1, -1), module.weight.flatten(1), module.bias)
    return out.movedim(-1, 1)


class TinyModel(nn.Module):
    """The transducer, and the CTC head that teaches its encoder; only the first is shipped."""

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
        # Channels last makes a step a fifth to a half quicker on a CPU, products a twelfth.
        self.tdt.encoder.subsampling.to(memory_format=torch.channels_last)
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Conv2d)) and set(module.kernel_size) == {1}:
                module.forward = partial(pointwise, module)

    def drop(self, share: float) -> None:
        """Leave out so much of what the encoder's layers give, and a layer half as often."""
        encoder = self.tdt.encoder
        encoder.dropout, encoder.layerdrop = share, share / 2
        for layer in encoder.layers:
            layer.self_attn.attention_dropout = share
            layer.feed_forward1.activation_dropout = share
            layer.feed_forward2.activation_dropout = share

    def encode(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn features (batch, mel frames, bins) into encoder frames and their counts."""
        mask = valid(features.shape[1], lengths)
        half = self.training and quick_halves(features.device.type)
        with torch.autocast(features.device.type, dtype=torch.bfloat16, enabled=half):
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
        scores = self.tdt_scores(frames, targets)
        found = Lattice.apply(*scores, counts, sizes)
        return found.sum() / (sizes.sum() + len(sizes))

    def tdt_scores(self, frames: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score blanks (batch, frames, tokens + 1), labels (tokens), durations (tokens + 1, 5)."""
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
        return tokens[..., BLANK] - SIGMA, labels - SIGMA, durations

    def said_at(
        self, frames: Tensor, counts: Tensor, targets: Tensor, sizes: Tensor
    ) -> NDArray[np.float32]:
        """Say how likely each token is said at each frame, (batch, frames, tokens), all paths."""
        scores = (part.numpy() for part in self.tdt_scores(frames, targets))
        _, (_, labels, _) = losses(tuple(scores), counts.numpy(), sizes.numpy())
        return -labels


class Lattice(torch.autograd.Function):
    """The TDT loss by compiled sums: hundreds of times quicker than a graph of small steps."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:  # noqa: ANN401  torch's own object
        """Take scores of blanks, labels, durations, then frame and token counts; give losses.

        The sums are made on the CPU, wherever the scores are; the losses come back to them.
        """
        device = inputs[0].device
        scores = tuple(part.detach().contiguous().cpu().numpy() for part in inputs[:3])
        found, grads = losses(scores, inputs[3].cpu().numpy(), inputs[4].cpu().numpy())
        ctx.save_for_backward(*(torch.from_numpy(grad).to(device) for grad in grads))
        return torch.from_numpy(found).to(device)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401  likewise
        """Scale the posteriors kept."""
        blanks, labels, durations = ctx.saved_tensors
        scale = grad[:, None, None]
        return blanks * scale, labels * scale, durations * scale[..., None], None, None


class Features:
    """Log-mel features as `ParakeetFeatureExtractor` computes them, without its detours."""

    def __init__(self, device: str = "cpu") -> None:
        """Take the filters from the extractor itself."""
        extractor = ParakeetFeatureExtractor(feature_size=128)
        self.filters = extractor.mel_filters.to(device)
        self.window = torch.hann_window(400, periodic=False, device=device)

    def log_mel(self, samples: Tensor, lengths: Tensor) -> Tensor:
        """Turn padded samples (batch, n) into log-mel (batch, frames, bins), not normalised."""
        mask = valid(samples.shape[1], lengths)
        sharp = torch.cat([samples[:, :1], samples[:, 1:] - 0.97 * samples[:, :-1]], dim=1) * mask
        spectrum = torch.stft(
            sharp, 512, HOP, 400, window=self.window, return_complex=True, pad_mode="constant"
        )
        power = torch.view_as_real(spectrum).pow(2).sum(-1)
        return torch.log(self.filters @ power + 2**-24).transpose(1, 2)

    def normal(self, mel: Tensor, counts: Tensor) -> Tensor:
        """Give every bin mean 0 and deviation 1 over the valid mel frames, and 0 beyond them."""
        mask = valid(mel.shape[1], counts).unsqueeze(-1)
        mean = (mel * mask).sum(1, keepdim=True) / counts[:, None, None]
        variance = ((mel - mean).pow(2) * mask).sum(1, keepdim=True) / (counts[:, None, None] - 1)
        return (mel - mean) / (variance.sqrt() + 1e-5) * mask

    def __call__(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute normalised features and their counts."""
        counts = lengths // HOP
        return self.normal(self.log_mel(samples, lengths), counts), counts
