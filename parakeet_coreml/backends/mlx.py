"""Parakeet TDT on MLX, in parakeet-mlx's layout. Sole importer of mlx and parakeet_mlx.

A folder holds `config.json`, NeMo's configuration with the vocabulary in it, and
`model.safetensors`. The networks are parakeet-mlx's modules; features and search are ours, so that
the same words come out as from the other backends. Runs on the GPU of a Mac, elsewhere on the CPU.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parakeet_coreml.audio.samples import MODEL_WINDOW, SAMPLE_RATE, SUBSAMPLING, Samples
from parakeet_coreml.backends.base import INSTALL, BackendInfo, BackendSpec
from parakeet_coreml.backends.transducer.backend import (
    BLOCK,
    HINT,
    Judged,
    Tally,
    TransducerBackend,
    check_logits,
)
from parakeet_coreml.backends.transducer.mel import BINS, log_mel, valid_frames
from parakeet_coreml.backends.transducer.steering import Preferences
from parakeet_coreml.backends.transducer.tdt import Decision, Frames
from parakeet_coreml.backends.transducer.vocab import Vocab
from parakeet_coreml.errors import BackendFailedError, ModelMissingError, ModelUnusableError

try:
    import dacite
    import mlx.core
    import mlx.utils
    import parakeet_mlx
    import parakeet_mlx.utils
except ImportError as error:  # an extra, not a dependency
    raise ModelUnusableError(
        f"the mlx backend needs parakeet-mlx: {error}", INSTALL["mlx"]
    ) from error

# An extra that may be absent when types are checked, with stubs of another mind when it is there.
mx: Any = mlx.core
tree_flatten: Any = mlx.utils.tree_flatten
from_config: Any = parakeet_mlx.utils.from_config
ParakeetTDT: Any = parakeet_mlx.ParakeetTDT
Model = Any

SMALL = 256 << 20
"""Bytes of single-precision weights under which a model stays in single precision on a GPU.

Above, bfloat16 as parakeet-mlx has it: half the memory, twice the speed, and hardly another word.
"""

_LOAD_ERRORS: tuple[type[Exception], ...] = (
    dacite.DaciteError,  # of parakeet-mlx, when a configuration lacks a part
    AssertionError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def open_mlx(spec: BackendSpec) -> tuple[TransducerBackend["Prediction"], BackendInfo]:
    """Load the model of a folder, and run it once.

    Raises `ModelMissingError` if a file is absent, `ModelUnusableError` if one is not what its
    name says or they do not fit together.
    """
    began = time.perf_counter()
    folder = Path(spec.directory)
    config = _read_config(folder / "config.json")
    model = _read_model(config, folder / "model.safetensors")
    networks = MLXNetworks(model)
    networks.check(folder)
    device = mx.default_device()
    vocab = Vocab(dict(enumerate(model.vocabulary)))
    preferences = Preferences.of(spec, vocab.piece, networks.blank, tells=True)
    info = BackendInfo(
        backend="mlx",
        model=spec.model,
        compute_units="gpu" if device.type == mx.DeviceType.gpu else "cpu",
        runtime=f"mlx {mx.__version__}",
        max_samples=MODEL_WINDOW,
        load_ms=round((time.perf_counter() - began) * 1000),
        form=str(_dtype(model)).rpartition(".")[2],
        notes=preferences.notes,
    )
    backend = TransducerBackend(
        networks,
        vocab,
        max_samples=MODEL_WINDOW,
        close=mx.clear_cache,
        tally=networks.tally,
        preferences=preferences,
    )
    return backend, info


@dataclass(slots=True)
class Prediction:
    """What the predictor gave, shape (1, 1, H), and its state after that; arrays of MLX."""

    output: Any
    state: Any
    judged: Judged | None = None


class MLXNetworks:
    """The `Networks` of `tdt` over parakeet-mlx's modules."""

    def __init__(self, model: Model) -> None:
        self.blank = len(model.vocabulary)
        self.durations: tuple[int, ...] = tuple(model.durations)
        self.tally = Tally()
        self._model = model
        self._type = _dtype(model)

    def encode(self, window: Samples, /) -> Frames:
        """Return the valid encoder frames of a window, shape (frames, D).

        A window without two mel frames has no features and gives none. Raises
        `BackendFailedError`.
        """
        valid = valid_frames(len(window))
        if valid < 2:  # noqa: PLR2004  a deviation takes two
            return np.zeros((0, 1), np.float32)
        began = time.perf_counter()
        features = mx.array(log_mel(window)[:, :valid].T[None]).astype(self._type)
        self.tally.features = time.perf_counter() - began
        frames, _ = self._model.encoder(features)
        return _numbers(frames[0])

    def predict(self, token: int, previous: Prediction | None, /) -> Prediction:
        """Step the predictor; None is the zero state. Computed when the joint asks for it.

        The start is the embedding of blank, which NeMo keeps at zero and we look up.
        """
        self.tally.predictor += 1
        state = None if previous is None else previous.state
        output, (h, c) = self._model.decoder(mx.array([[token]]), state)
        return Prediction(output.astype(self._type), (h.astype(self._type), c.astype(self._type)))

    def joint(self, ahead: Frames, prediction: Prediction, /) -> Decision:
        """Judge `ahead[0]`, frames of shape (n, D), and keep the results for those behind it.

        Raises `BackendFailedError` at a NaN or infinity.
        """
        if prediction.judged is None or not prediction.judged.reaches(len(ahead)):
            logits = self._logits(ahead[:BLOCK], prediction)
            prediction.judged = Judged(logits, self.blank, len(ahead))
        return prediction.judged.at(len(ahead))

    def check(self, folder: Path) -> None:
        """Run everything once: that warms up, and shows whether the parts fit each other.

        Raises `ModelUnusableError`.
        """
        try:
            frames = self.encode(np.zeros(SAMPLE_RATE, np.float32))
            logits = self._logits(frames[:1], self.predict(self.blank, None))
        except (BackendFailedError, ValueError) as error:
            raise ModelUnusableError(f"the model in '{folder}' does not run: {error}") from error
        check_logits(logits.reshape(-1), self, folder)

    def _logits(self, frames: Frames, prediction: Prediction) -> NDArray[np.float32]:
        """Run the joint; shape (frames, blank + 1 + durations)."""
        self.tally.joint += 1
        joined = self._model.joint(mx.array(frames[None]).astype(self._type), prediction.output)
        return _numbers(joined).reshape(len(frames), -1)


def _numbers(array: Any) -> NDArray[np.float32]:  # noqa: ANN401  an array of MLX
    """Compute what MLX put off, in single precision."""
    try:
        return np.array(array.astype(mx.float32))
    except RuntimeError as error:  # Metal out of memory, a lost device
        raise BackendFailedError(f"MLX failed: {error}") from error


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelMissingError(f"no '{path}'", HINT) from error
    except (OSError, ValueError) as error:
        raise ModelUnusableError(f"cannot read '{path}': {error}", HINT) from error
    if not isinstance(config, dict):
        raise ModelUnusableError(f"'{path}' is no configuration", HINT)
    return config


def _read_model(config: Mapping[str, Any], path: Path) -> Model:
    """Build the modules that a configuration names, and fill them."""
    if not path.is_file():
        raise ModelMissingError(f"no '{path}'", HINT)
    try:
        model = from_config(dict(config))
        _check_kind(model)
        model.load_weights(str(path))
    except _LOAD_ERRORS as error:
        raise ModelUnusableError(
            f"the model in '{path.parent}' will not load: {_line(error)}", HINT
        ) from error
    model.set_dtype(_kind(model))
    return model


def _check_kind(model: Model) -> None:
    """Refuse another kind of model, and one made for other features than ours."""
    if not isinstance(model, ParakeetTDT):
        raise ValueError("not a token-and-duration transducer")  # noqa: TRY004  reported with the rest
    front, factor = model.preprocessor_config, model.encoder_config.subsampling_factor
    if (front.sample_rate, front.features, factor) != (SAMPLE_RATE, BINS, SUBSAMPLING):
        raise ValueError(f"made for {front.features} bins at {front.sample_rate} Hz")


def _kind(model: Model) -> Any:  # noqa: ANN401  a type of MLX
    """Return the precision to compute in: bfloat16 pays on a GPU, and costs on a CPU."""
    numbers = sum(array.size for _, array in tree_flatten(model.parameters()))
    on_gpu = mx.default_device().type == mx.DeviceType.gpu
    return mx.bfloat16 if on_gpu and numbers * 4 > SMALL else mx.float32


def _dtype(model: Model) -> Any:  # noqa: ANN401  a type of MLX
    return tree_flatten(model.parameters())[0][1].dtype


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
