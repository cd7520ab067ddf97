"""The networks of a Parakeet TDT as PyTorch modules that exporters can trace.

They use the layers of `transformers` and give the same numbers on valid frames, with two changes
that make them fit a device that computes in half precision: attention to padding is forbidden by
subtracting a number that halves can hold, and every size may be fixed, so that no shape arithmetic
is left in the graph.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ParakeetFeatureExtractor

from parakeet_coreml.audio.samples import HOP
from parakeet_coreml.backends.transducer.mel import BINS

FORBIDDEN = -10_000.0
"""Added to the scores of padding; `exp` of it is nothing, and half precision ends at -65,504."""

ANALYSIS_WINDOW, N_FFT = 400, 512
TOP_K = 64


class Preprocessor(nn.Module):
    """Waveform to normalised log-mel features, as `ParakeetFeatureExtractor` computes them."""

    def __init__(self) -> None:
        """Make the Fourier transform a convolution, in double precision first."""
        super().__init__()
        taper = torch.hann_window(ANALYSIS_WINDOW, periodic=False, dtype=torch.float64)
        bins = torch.arange(N_FFT // 2 + 1, dtype=torch.float64)[:, None]
        angles = 2 * math.pi / N_FFT * bins * torch.arange(ANALYSIS_WINDOW)[None]
        waves = torch.cat([torch.cos(angles), torch.sin(angles)]) * taper
        self.register_buffer("waves", waves[:, None].float())
        self.register_buffer("filters", ParakeetFeatureExtractor(feature_size=BINS).mel_filters)

    def forward(self, audio_signal: Tensor, audio_length: Tensor) -> tuple[Tensor, Tensor]:
        """Turn samples (1, n), of which some are valid, into (1, BINS, n // HOP + 1)."""
        valid = self._mask(audio_signal.shape[1], audio_length, audio_signal)
        delayed = nn.functional.pad(audio_signal[:, :-1], (1, 0))
        emphasised = (audio_signal - 0.97 * delayed) * valid
        margin = ANALYSIS_WINDOW // 2
        padded = nn.functional.pad(emphasised, (margin, margin))
        spectrum = nn.functional.conv1d(padded[:, None], self.waves, stride=HOP)
        real, imaginary = spectrum[:, : N_FFT // 2 + 1], spectrum[:, N_FFT // 2 + 1 :]
        log_mel = torch.log(self.filters @ (real * real + imaginary * imaginary) + 2**-24)
        count = torch.div(audio_length, HOP, rounding_mode="floor")
        return self._normalised(log_mel, count), count

    def _normalised(self, log_mel: Tensor, count: Tensor) -> Tensor:
        """Give each bin mean 0 and deviation 1 over the valid mel frames, and 0 beyond."""
        valid = self._mask(log_mel.shape[2], count, log_mel)[:, None]
        number = count.to(log_mel.dtype)[:, None, None]
        # Below two frames there is no deviation: give zeros then, and not a division by zero.
        mean = (log_mel * valid).sum(2, keepdim=True) / number.clamp(min=1.0)
        centred = (log_mel - mean) * valid
        variance = centred.square().sum(2, keepdim=True) / (number - 1.0).clamp(min=1.0)
        return centred / (variance.sqrt() + 1e-5)

    @staticmethod
    def _mask(size: Any, count: Tensor, like: Tensor) -> Tensor:  # noqa: ANN401  int, or traced
        places = torch.arange(size, dtype=torch.int32)
        return (places < count[:, None]).to(like.dtype)


class Encoder(nn.Module):
    """Features to encoder frames, channels first."""

    def __init__(self, model: nn.Module, mel_frames: int | None = None) -> None:
        """Wrap the encoder of a `ParakeetForTDT`; `mel_frames` fixes the length."""
        super().__init__()
        self.encoder = model.encoder
        self.size: Callable[[Any], Any] = int if mel_frames else lambda size: size
        self.positions: Tensor | None = None
        if mel_frames:
            frames = mel_frames
            for _ in range(self.encoder.subsampling.num_layers):
                frames = (frames - 1) // 2 + 1
            self.positions = self.encoder.encode_positions(torch.zeros(1, frames, 1))

    def forward(self, mel: Tensor, mel_length: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (1, BINS, mel frames), of which some are valid, into (1, dimension, frames)."""
        x, count = self._subsampled(mel, mel_length)
        frames = self.size(x.shape[1])
        keep = (torch.arange(frames, dtype=count.dtype) < count[:, None]).to(x.dtype)
        forbid = ((1.0 - keep) * FORBIDDEN)[:, None, None, :]
        positions = self.encoder.encode_positions(x) if self.positions is None else self.positions
        for layer in self.encoder.layers:
            x = x + 0.5 * layer.feed_forward1(layer.norm_feed_forward1(x))
            x = x + self._attended(layer.self_attn, layer.norm_self_att(x), positions, forbid)
            x = x + self._convolved(layer.conv, layer.norm_conv(x), keep)
            x = x + 0.5 * layer.feed_forward2(layer.norm_feed_forward2(x))
            x = layer.norm_out(x)
        return (x * keep[:, :, None]).transpose(1, 2), count

    def _subsampled(self, mel: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        x = mel.transpose(1, 2)[:, None]
        for layer in self.encoder.subsampling.layers:
            x = layer(x)
            if isinstance(layer, nn.Conv2d):
                if layer.stride != (1, 1):
                    count = torch.div(count - 1, 2, rounding_mode="floor") + 1
                places = torch.arange(self.size(x.shape[2]), dtype=count.dtype)
                x = x * (places < count[:, None]).to(x.dtype)[:, None, :, None]
        frames, width = self.size(x.shape[2]), int(x.shape[1]) * int(x.shape[3])
        x = x.transpose(1, 2).reshape(-1, frames, width)
        return self.encoder.subsampling.linear(x) * self.encoder.input_scale, count

    def _attended(self, layer: nn.Module, x: Tensor, positions: Tensor, forbid: Tensor) -> Tensor:
        """Attend with relative positions (Transformer-XL, section 3.3)."""
        heads, width = layer.config.num_attention_heads, layer.head_dim
        frames = self.size(x.shape[1])

        def split(y: Tensor) -> Tensor:  # (1, heads, frames, width)
            return y.view(1, -1, heads, width).transpose(1, 2)

        query, key, value = split(layer.q_proj(x)), split(layer.k_proj(x)), split(layer.v_proj(x))
        places = split(layer.relative_k_proj(positions))
        by_place = (query + layer.bias_v[None, :, None]) @ places.transpose(2, 3)
        by_place = nn.functional.pad(by_place, (1, 0)).view(1, heads, -1, frames)[:, :, 1:]
        by_place = by_place.reshape(1, heads, frames, -1)[..., :frames]
        by_content = (query + layer.bias_u[None, :, None]) @ key.transpose(2, 3)
        scores = (by_content + by_place) * layer.scaling + forbid
        heard = (scores.softmax(-1) @ value).transpose(1, 2)
        return layer.o_proj(heard.reshape(1, -1, heads * width))

    def _convolved(self, layer: nn.Module, x: Tensor, keep: Tensor) -> Tensor:
        """Convolve between two pointwise convolutions, which are products where sizes are open.

        The Neural Engine prefers convolutions; ONNX Runtime's int8 knows products better.
        """
        x = x.transpose(1, 2)
        if self.positions is None:
            first, last = product(layer.pointwise_conv1), product(layer.pointwise_conv2)
        else:
            first, last = layer.pointwise_conv1, layer.pointwise_conv2
        x = nn.functional.glu(first(x), dim=1) * keep[:, None]
        return last(layer.activation(layer.norm(layer.depthwise_conv(x)))).transpose(1, 2)


def product(pointwise: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a convolution of one tap, over (1, channels, frames), as a product of matrices."""
    weight, bias = pointwise.weight[:, :, 0], pointwise.bias
    return lambda x: nn.functional.linear(x.transpose(1, 2), weight, bias).transpose(1, 2)


class Fused(nn.Module):
    """Preprocessor and encoder in one, as the 110M model is published."""

    def __init__(self, preprocessor: nn.Module, encoder: Encoder) -> None:
        """Put one behind the other."""
        super().__init__()
        self.preprocessor, self.encoder = preprocessor, encoder

    def forward(self, audio_signal: Tensor, audio_length: Tensor) -> tuple[Tensor, Tensor]:
        """Turn samples (1, n) into (1, dimension, frames)."""
        found: tuple[Tensor, Tensor] = self.encoder(*self.preprocessor(audio_signal, audio_length))
        return found


class Decoder(nn.Module):
    """The prediction network, one step of it."""

    def __init__(self, model: nn.Module) -> None:
        """Wrap the predictor, its projection left to the joint."""
        super().__init__()
        self.embedding, self.lstm = model.decoder.embedding, model.decoder.lstm

    def forward(
        self,
        targets: Tensor,
        target_length: Tensor,  # noqa: ARG002  part of the contract, one step has one
        h_in: Tensor,
        c_in: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Step from (layers, 1, hidden) by a token; the prediction is (1, hidden, 1)."""
        prediction, (h, c) = self.lstm(self.embedding(targets), (h_in, c_in))
        return prediction.transpose(1, 2), h, c


class Joint(nn.Module):
    """Both projections and the joint network: logits of tokens with blank, then of durations."""

    def __init__(self, model: nn.Module) -> None:
        """Wrap what comes after encoder and predictor."""
        super().__init__()
        self.for_frame, self.for_prediction = (
            model.encoder_projector,
            model.decoder.decoder_projector,
        )
        self.joint = model.joint

    def forward(self, encoder_step: Tensor, decoder_step: Tensor) -> Tensor:
        """Turn (1, dimension, frames) and (1, hidden, steps) into (1, frames, steps, logits)."""
        frame = self.for_frame(encoder_step.transpose(1, 2))[:, :, None]
        prediction = self.for_prediction(decoder_step.transpose(1, 2))[:, None]
        return self.joint.head(self.joint.activation(frame + prediction))


class JointDecision(nn.Module):
    """The joint network, and what greedy decoding wants to know of its logits."""

    def __init__(self, model: nn.Module) -> None:
        """Wrap the joint; the first `tokens` of its logits are for tokens and blank."""
        super().__init__()
        self.joint, self.tokens = Joint(model), int(model.config.vocab_size)

    def forward(self, encoder_step: Tensor, decoder_step: Tensor) -> tuple[Tensor, ...]:
        """Decide on (1, dimension, 1) and (1, hidden, 1)."""
        logits = self.joint(encoder_step, decoder_step)
        tokens, durations = logits[..., : self.tokens], logits[..., self.tokens :]
        best, ids = torch.topk(tokens, min(TOP_K, self.tokens), dim=-1)
        probability = tokens.softmax(-1).amax(-1)
        return tokens.argmax(-1).int(), probability, durations.argmax(-1).int(), ids.int(), best


class DecoderJoint(nn.Module):
    """Predictor and joint in one graph, as istupakov's ONNX files have them."""

    def __init__(self, model: nn.Module) -> None:
        """Wrap both."""
        super().__init__()
        self.decoder, self.joint = Decoder(model), Joint(model)

    def forward(
        self, encoder_outputs: Tensor, targets: Tensor, target_length: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, ...]:
        """Step by a token and join with (1, dimension, frames)."""
        prediction, h, c = self.decoder(targets.long(), target_length, h, c)
        return self.joint(encoder_outputs, prediction), target_length + 0, h, c
