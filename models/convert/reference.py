"""The networks as PyTorch runs them: what every converted form is compared with."""

from typing import Any

import torch
from torch import Tensor
from transformers import ParakeetFeatureExtractor

from models.convert import networks
from parakeet_coreml.audio.samples import SAMPLE_RATE, Samples
from parakeet_coreml.backends.transducer.mel import BINS
from parakeet_coreml.backends.transducer.tdt import Decision, Frames

Prediction = Any
"""The predictor's output, shape (H,), and its state, which is PyTorch's."""


def encoded(model: Any, features: Tensor, mask: Tensor) -> Frames:  # noqa: ANN401  transformers' own
    """Return the valid frames of `transformers`' own encoder, not of what is converted."""
    found = model.encoder(input_features=features, attention_mask=mask)
    frames: Frames = found.last_hidden_state[0, : int(found.attention_mask.sum())].numpy()
    return frames


class TorchNetworks:
    """The `Networks` of `tdt` over a PyTorch model."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401  transformers' own
        """Hold the model."""
        self.model = model
        self.blank = int(model.config.blank_token_id)
        self.durations = tuple(model.config.durations)
        self._joint = networks.Joint(model)
        self._extract = ParakeetFeatureExtractor(feature_size=BINS)

    def features(self, window: Samples) -> Any:  # noqa: ANN401  transformers' own
        """Return features (1, mel frames, BINS) and their mask."""
        return self._extract([window], sampling_rate=SAMPLE_RATE, return_tensors="pt")

    def encode(self, window: Samples, /) -> Frames:
        """Return the valid frames of a window."""
        features = self.features(window)
        return encoded(self.model, features["input_features"], features["attention_mask"])

    def predict(self, token: int, previous: Prediction | None, /) -> Prediction:
        """Step the predictor."""
        decoder = self.model.decoder
        state = None if previous is None else previous[1]
        output, state = decoder.lstm(decoder.embedding(torch.tensor([[token]])), state)
        return output[0, 0].numpy(), state

    def logits(self, frame: Frames, output: Any) -> Any:  # noqa: ANN401  arrays
        """Return the joint's logits for one frame and one output of the predictor."""
        joined = self._joint(
            torch.from_numpy(frame)[None, :, None], torch.from_numpy(output)[None, :, None]
        )
        return joined[0, 0, 0].numpy()

    def joint(self, ahead: Frames, prediction: Prediction, /) -> Decision:
        """Decide as greedy decoding does."""
        logits = torch.from_numpy(self.logits(ahead[0], prediction[0]))
        tokens, durations = logits[: self.blank + 1], logits[self.blank + 1 :]
        token = int(tokens.argmax())
        return Decision(token, float(tokens.softmax(-1)[token]), int(durations.argmax()))
