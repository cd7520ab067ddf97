"""Train tiny-en by a schedule that may be edited while it runs; checkpoint, resume, log."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.present import present
from models.tiny_en import export, tokens
from models.tiny_en.folders import WORK
from models.tiny_en.mixture import Mixture, Samples, Stage, schedule
from models.tiny_en.model import Features, TinyModel

if TYPE_CHECKING:  # this Queue takes no parameters when it runs
    Batches = Queue[tuple[list[str], Samples, NDArray[np.int64]]]

PATIENCE = 300.0
"""Seconds to wait for a batch: long for a busy machine, but a feeder that died gets noticed."""
HEAD_FIRST = 200
"""Steps in which a CTC head learnt anew follows the encoder and may not teach it."""
MEET_EVERY = 16
"""Steps between two averagings: in step at every one, the slower process would hold up both."""
SAVE_EVERY = 90.0
"""Seconds between checkpoints."""
RENDEZVOUS = "tcp://127.0.0.1:29511"
"""Where the processes of one training meet."""
NARROW = 0.6
"""Of the stripes of `masks`: those of a stage that names none, about as wide as ever."""
SCHEDULE = Path(__file__).with_name("schedule.json")
"""The stages of the recipe."""


def main() -> None:
    """Run or resume the training in `--work`/run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument(
        "--digits", type=present, required=True, help="folder of the Free Spoken Digit Dataset"
    )
    parser.add_argument("--schedule", type=present, default=SCHEDULE)
    parser.add_argument("--run", default="run", help="name of the run's folder")
    parser.add_argument(
        "--init", type=present, help="checkpoint folder to go on from; the CTC head is learnt anew"
    )
    gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument(
        "--ranks",
        type=int,
        default=1 if gpu else 2,
        help="processes that train, of one thread each",
    )
    parser.add_argument(
        "--feeders",
        type=int,
        default=max(1, (os.cpu_count() or 2) - 2) if gpu else 1,
        help="processes that prepare batches for each of them",
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=12.0 if gpu else 1.0,
        help="batches this many times the schedule's",
    )
    options = parser.parse_args()
    if options.init:
        shutil.copy(options.init / "pieces.model", options.work)
    context = multiprocessing.get_context("spawn")
    helpers = [
        context.Process(target=work, args=(options, rank)) for rank in range(1, options.ranks)
    ]
    for helper in helpers:
        helper.start()
    work(options, 0)


def work(options: argparse.Namespace, rank: int) -> None:
    """Train as one of several processes: threads would wait for each other at every operation."""
    torch.set_num_threads(1)
    torch.manual_seed(int(time.time()) + rank)
    if options.ranks > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=RENDEZVOUS, rank=rank, world_size=options.ranks
        )
    Trainer(options, rank).run()


def feed(options: argparse.Namespace, number: int, step: Synchronized[int], queue: Batches) -> None:
    """Fill the queue with batches of the stage the trainer is in; a process of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(1)
    torch.set_num_threads(1)
    mixture = Mixture(options.work, options.digits, seed=int(time.time()) + number)
    for batch in mixture.batches(lambda: stage_at(options, step.value)):
        queue.put(batch)


def stage_at(options: argparse.Namespace, step: int) -> Stage:
    """Find the stage a step belongs to, its rate as it is at that step; the last has no end."""
    stages, began = schedule(options.schedule), 0
    for stage in stages:
        if step < stage.until:
            break
        began = stage.until
    part = min(1.0, (step - began) / max(1, stage.until - began))
    rate = stage.rate + part * (stage.rate_end - stage.rate) if stage.rate_end else stage.rate
    return replace(stage, rate=rate, seconds=stage.seconds * options.scale)


class Trainer:
    """The loop and all it remembers."""

    def __init__(self, options: argparse.Namespace, rank: int) -> None:
        """Build, or load the last checkpoint; rank 0 is the one that logs and saves."""
        self.options, self.rank, self.folder = options, rank, options.work / options.run
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pieces = tokens.load(options.work)
        self.device = options.device
        self.model, self.features = TinyModel().to(self.device), Features(self.device)
        self.average: dict[str, Tensor] = {}
        groups = [list(part.parameters()) for part in (self.model.tdt, self.model.ctc)]
        self.optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups],
            lr=1e-4,
            betas=(0.9, 0.98),
            weight_decay=1e-3,
            fused=True,
        )
        self.step, self.heard, self.saved, self.logged = 0, 0.0, time.monotonic(), 0.0
        self.asked = self.stopped = False
        signal.signal(signal.SIGTERM, self.ask)
        last = self.folder / "last.pt"
        if last.exists():
            self.resume(torch.load(last, weights_only=True, map_location=self.device))
        elif options.init:
            self.model.tdt.load_state_dict(export.loaded(options.init).state_dict())
        if options.ranks > 1:
            for value in self.model.state_dict().values():
                torch.distributed.broadcast(value, 0)
        print(
            sum(p.numel() for p in self.model.tdt.parameters()),
            "parameters, step",
            self.step,
            flush=True,
        )

    def resume(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint stopped."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            group["fused"] = True
        self.step, self.heard, self.average = state["step"], state["heard"], state["average"]
        self.logged = self.heard

    def ask(self, *_: object) -> None:
        """Stop at the next meeting, at which all processes learn of it."""
        self.asked = True

    def run(self) -> None:
        """Train until the last stage's end."""
        # Spawned: a process forked from one that has opened a device could not be relied on.
        context = multiprocessing.get_context("spawn")
        step = context.Value("q", self.step)
        queue: Batches = context.Queue(maxsize=12)
        for number in range(self.options.feeders):
            place = self.rank * self.options.feeders + number
            arguments = (self.options, place, step, queue)
            context.Process(target=feed, args=arguments, daemon=True).start()
        sums, since, first = np.zeros(3), time.monotonic(), self.step
        last = schedule(self.options.schedule)[-1].until
        while self.step < last:
            sums += self.learn(stage_at(self.options, self.step), *queue.get(timeout=PATIENCE))
            self.step += 1
            step.value = self.step
            if self.step % 50 == 0 and self.rank == 0:
                took, since = time.monotonic() - since, time.monotonic()
                self.log(sums / (self.step - first), took)
                sums[:], first = 0, self.step
            if self.step % 50 == 0:
                last = schedule(self.options.schedule)[-1].until
            if self.rank == 0 and time.monotonic() - self.saved > SAVE_EVERY:
                self.save()
            if self.stopped:
                break
        if self.rank == 0:
            self.save()

    def learn(
        self, stage: Stage, texts: list[str], samples: Samples, lengths: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Take one step; return CTC loss, TDT loss and seconds heard."""
        self.model.train()
        self.model.drop(stage.dropout)
        ids = [torch.tensor(self.pieces.encode(words), dtype=torch.long) for words in texts]
        sizes = torch.tensor([len(one) for one in ids], device=self.device)
        targets = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(self.device)
        heard, ends = (torch.from_numpy(part).to(self.device) for part in (samples, lengths))
        features, counts = self.spoiled(heard, ends, stage)
        frames, counts = self.model.encode(features, counts)
        zero = torch.zeros((), device=self.device)
        young = self.options.init and self.step < HEAD_FIRST
        told = frames.detach() if young else frames
        ctc = self.model.ctc_loss(told, counts, targets, sizes) if stage.ctc else zero
        tdt = self.model.tdt_loss(frames, counts, targets, sizes) if stage.tdt else zero
        network, head = self.optimizer.param_groups
        network["lr"] = stage.rate * min(1.0, (self.step + 1) / 300)
        head["lr"] = 3e-3 if young else stage.rate
        self.optimizer.zero_grad(set_to_none=True)
        (stage.ctc * ctc + stage.tdt * tdt).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        if self.step % MEET_EVERY == 0:
            self.meet()
            if self.rank == 0:
                self.blend()
        seconds = float(lengths.sum()) / 16_000 * self.options.ranks
        self.heard += seconds
        return np.array([ctc.item(), tdt.item(), seconds])

    def meet(self) -> None:
        """Average the weights of all processes; between two meetings each goes its own way."""
        self.stopped = self.asked
        if self.options.ranks == 1:
            return
        with torch.no_grad():
            values = [v for v in self.model.state_dict().values() if v.is_floating_point()]
            # One that leaves alone would leave the others waiting for it.
            asked = torch.full((1,), float(self.asked), device=self.device)
            flat = torch.cat([value.reshape(-1) for value in values] + [asked])
            torch.distributed.all_reduce(flat)
            self.stopped = bool(flat[-1])
            parts = (flat[:-1] / self.options.ranks).split([value.numel() for value in values])
            for value, part in zip(values, parts, strict=True):
                value.copy_(part.view_as(value))

    def spoiled(self, samples: Tensor, lengths: Tensor, stage: Stage) -> tuple[Tensor, Tensor]:
        """Compute features, warp their frequency axis, and mask stripes of them."""
        counts, strength = lengths // 160, stage.masks or stage.strength
        with torch.no_grad():
            mel = self.features.log_mel(samples, lengths)
            if strength:
                mel = bent(mel, strength)
            features = self.features.normal(mel, counts)
            if strength:
                striped(features, counts, stage.masks or NARROW * strength)
        return features, counts

    def blend(self) -> None:
        """Keep a running average of the weights: it is what is shipped."""
        keep = min(0.9, self.step / (self.step + 100))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                if name not in self.average or not value.dtype.is_floating_point:
                    self.average[name] = value.clone()
                else:
                    self.average[name].lerp_(value, 1 - keep)

    def log(self, means: NDArray[np.float64], took: float) -> None:
        """Append a line to the curve."""
        line = {"step": self.step, "hours": round(self.heard / 3600, 3), "ctc": round(means[0], 4)}
        line |= {
            "tdt": round(means[1], 4),
            "speed": round((self.heard - self.logged) / took, 1),
            "at": int(time.time()),
        }
        self.logged = self.heard
        with (self.folder / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        part = self.folder / "part.pt"
        torch.save(state | {"heard": self.heard, "average": self.average}, part)
        part.replace(self.folder / "last.pt")
        self.saved = time.monotonic()


def bent(mel: Tensor, strength: float) -> Tensor:
    """Stretch each utterance's frequency axis a little: other throats."""
    factor = 1 + 0.08 * strength * torch.randn(len(mel), 1, device=mel.device).clamp(-2, 2)
    bins = (torch.arange(128, device=mel.device)[None, :] * factor).clamp(0, 127)
    low = bins.floor().long().clamp(max=126)
    part = (bins - low)[:, None, :]
    low = low[:, None, :].expand_as(mel)
    return mel.gather(2, low) * (1 - part) + mel.gather(2, low + 1) * part


def striped(features: Tensor, counts: Tensor, strength: float) -> None:
    """Blank out two stripes of frequency and one or two of each second, in place.

    After Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech
    Recognition" (2019), with more stripes of time the longer a sound is, as in its sequel (2020).
    """
    for row, count in zip(features, counts.tolist(), strict=True):
        for _ in range(2):
            width = int(torch.randint(0, 1 + int(40 * strength), ()))
            start = int(torch.randint(0, 128 - width, ()))
            row[:, start : start + width] = 0
        for _ in range(max(1, round(count / 70))):
            size = int(torch.randint(0, 1 + int(min(25, 0.06 * count) * strength), ()))
            begin = int(torch.randint(0, max(1, count - size), ()))
            row[begin : begin + size] = 0


if __name__ == "__main__":
    main()
