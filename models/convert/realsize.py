"""Make a checkpoint with the dimensions of parakeet-tdt-0.6b-v3 and random weights, or time a form.

    python -m models.convert.realsize make FOLDER
    python -m models.convert.realsize time coreml|onnx|mlx FOLDER

Whether a model of that size converts, loads and runs does not depend on what it has learnt.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from parakeet_coreml.audio.samples import MODEL_WINDOW
from parakeet_coreml.backends.base import BackendSpec
from parakeet_coreml.backends.registry import open_backend
from parakeet_coreml.store.locate import stated

PIECES = 8192


def main() -> None:
    """Do one of the two."""
    match sys.argv[1:]:
        case ["make", folder]:
            make(Path(folder))
        case ["time", backend, folder]:
            measure(backend, Path(folder))
        case _:
            raise SystemExit(__doc__)


def make(folder: Path) -> None:
    """Save random weights and a made-up vocabulary; 1.3 GB of halves."""
    import torch  # noqa: PLC0415  measuring does without
    from transformers import ParakeetForTDT, ParakeetTDTConfig  # noqa: PLC0415

    torch.manual_seed(0)
    encoder = {
        "model_type": "parakeet_encoder",
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 8,
        "intermediate_size": 4096,
        "conv_kernel_size": 9,
        "subsampling_conv_channels": 256,
        "num_mel_bins": 128,
        "attention_bias": False,
        "convolution_bias": False,
        "scale_input": False,
    }
    config = ParakeetTDTConfig(vocab_size=PIECES + 1, blank_token_id=PIECES, encoder_config=encoder)
    ParakeetForTDT(config).half().save_pretrained(folder)
    vocab = {f"▁{number}": number for number in range(PIECES)}
    tokenizer = {"model": {"type": "BPE", "vocab": vocab, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def measure(name: str, folder: Path) -> None:
    """Print load time, seconds for a window and peak memory of a process that does nothing else.

    The seconds of processors tell more on a busy machine; imports are among the first.
    """
    blank, durations = stated(folder)
    spec = BackendSpec(name, folder.name, str(folder), blank=blank, durations=durations)
    backend, info = open_backend(spec)
    window = np.random.default_rng(0).standard_normal(MODEL_WINDOW, np.float32) * np.float32(0.1)
    loaded = time.process_time()
    began = time.perf_counter()
    tokens = backend.transcribe(window).tokens
    spent, worked = time.perf_counter() - began, time.process_time() - loaded
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    print(
        f"{name} ({info.runtime}, {info.compute_units}): {size:.0f} MB on disk, "
        f"load {info.load_ms / 1000:.1f} s, window {spent:.1f} s for {len(tokens)} tokens; "
        f"of processors {loaded:.1f} s until it was loaded and {worked:.1f} s; peak {peak:.1f} GiB"
    )


if __name__ == "__main__":
    main()
