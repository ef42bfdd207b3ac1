"""The training loop: batches, phases, pieces; it knows no task, modality, adapter or optimizer by name.

The loss of a batch is the sum over its pieces divided by the weight of all pieces together, so that a step does not depend on how
many pieces (or processes) it was computed in. So a batch that does not fit memory is computed again in pieces of half the size, and
under a time limit the schedule ends with the steps that the time allows.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from tunesmith.core import memory
from tunesmith.core.contracts import Adapter, Batch
from tunesmith.core.errors import TrainingError
from tunesmith.core.files import atomic
from tunesmith.core.fitting import Callback, Progress, Schedule, Setup
from tunesmith.core.model import Model, to_device
from tunesmith.engine import checkpoints
from tunesmith.engine.averages import averaged
from tunesmith.engine.clock import Clock


class _TooLargeError(Exception):
    """A piece does not fit memory."""


@dataclass
class Limits:
    """When to evaluate, keep and stop.

    Attributes:
        epochs: passes over the rows.
        clip: largest gradient norm; 0 for none.
        warmup: share of the steps in which the rate rises.
        patience: evaluations without improvement after which training stops.
        monitor: validation metric that decides, and `max` or `min`.
        checkpoint_steps: steps between checkpoints besides those at the end of each epoch.
        seconds: what training and its evaluations may take; None for no limit.
        step_seconds, evaluation_seconds: what a step and an evaluation are expected to take, before they have been seen.
    """

    epochs: int
    clip: float
    warmup: float
    patience: int | None
    monitor: tuple[str, str]
    checkpoint_steps: int | None = None
    seconds: float | None = None
    step_seconds: float = 0.0
    evaluation_seconds: float = 0.0


@dataclass
class Loop:
    """Fits a setup.

    Args:
        setup: what runs.
        model: the model without wrappers of the accelerator.
        accelerator: accelerate's, for devices, precision and processes.
        adapter: decides what may change, and is told of each step.
        schedule: course of the rate.
        limits: when to evaluate, keep and stop.
        evaluate: gives the validation scores of the model as it stands.
        folder: where checkpoints and the best weights go.
        names: parameters that may change; known when `run` begins.
        ended: checksums of the parameters after the last step, before the best ones are put back.
        callbacks: told of everything.
    """

    setup: Setup
    model: Model
    accelerator: Any
    adapter: Adapter
    schedule: Schedule
    limits: Limits
    evaluate: Callable[[], dict[str, Any]]
    folder: Path
    callbacks: list[Callback]
    names: set[str] = field(default_factory=set)
    progress: Progress = field(default_factory=Progress)
    ended: dict[str, int] = field(default_factory=dict)

    def run(self, steps_per_epoch: int, resume: Path | None = None) -> Progress:
        """Train until the epochs are over, validation has stalled, or an error.

        Args:
            steps_per_epoch: batches of an epoch.
            resume: checkpoint to go on from.

        Raises:
            TrainingError: the loss is not finite, or no gradient arrives.
        """
        self.names = set(self.model.trainable())
        self.progress.total_steps = steps_per_epoch * self.limits.epochs
        self.progress.epochs = self.limits.epochs
        if resume is not None:
            self.progress = checkpoints.load(
                resume,
                model=self.model,
                adapter=self.adapter,
                optimizers=self.setup.optimizers,
                averages=self.setup.averages,
                device=self.accelerator.device,
            )
        self._clock = Clock(
            self.limits.seconds, steps_per_epoch, self.limits.step_seconds, self.limits.evaluation_seconds, self.progress.spent
        )
        self.adapter.begin(self.model, self.progress.step, self.progress.total_steps)
        try:
            self._tell("train_start", self.progress)
            while self.progress.epoch < self.limits.epochs and self.progress.stop is None and self._clock.begins(self.progress):
                self._epoch()
        except BaseException as error:
            self._tell("failed", self.progress, error)
            raise
        finally:
            self._tell("closed", self.progress)
        self.ended = self.model.fingerprints()
        best = self.folder / "best.safetensors"
        if best.exists():
            checkpoints.put(self.model, load_file(best))
        return self.progress

    def _epoch(self) -> None:
        progress = self.progress
        while not self._batches():
            self._halve()
        with averaged(self.setup.averages):
            scores = self._scores()
            self._judge(scores)
        progress.epoch += 1
        progress.batch = 0
        self._tell("evaluated", progress, scores)
        self._save()
        self._clock.evaluated()

    def _batches(self) -> bool:
        """Take the epoch's steps that are left, as far as the time limit allows; False where a piece does not fit memory."""
        progress = self.progress
        self.setup.model.train()
        started = time.perf_counter()
        for pieces in self.setup.batches(progress.epoch, progress.batch, progress.halvings):
            try:
                values = self._step(pieces)
            except _TooLargeError:
                if max(len(piece["row"]) for piece in pieces) == 1 or self.accelerator.num_processes > 1:
                    raise TrainingError(self._does_not_fit(pieces)) from None
                progress.seconds += time.perf_counter() - started
                return False
            progress.step += 1
            progress.batch += 1
            self._tell("step_end", progress, values)
            if self.limits.checkpoint_steps and progress.step % self.limits.checkpoint_steps == 0:
                progress.seconds += time.perf_counter() - started
                self._save()
                started = time.perf_counter()
            if not self._clock.stepped(progress, max(0, self._clock.per_epoch - progress.batch)):
                break
        progress.seconds += time.perf_counter() - started
        return True

    def _halve(self) -> None:
        """Go on in pieces of half the size, after memory ran out."""
        self.model.zero_grad(set_to_none=True)
        gc.collect()
        if self.accelerator.device.type != "cpu":
            torch.accelerator.empty_cache()
        self.progress.halvings += 1
        told = f"memory ran out in step {self.progress.step + 1}: batches are now computed in {2**self.progress.halvings} times as many"
        same = "batch norms see these only" if self.model.mixes_rows() else "the batch, and so the result, stays the same"
        if not self.setup.divides:
            same = "rows are held against those of their piece only, which is an easier task: a smaller --batch-size says the same openly"
        self._tell("noticed", self.progress, f"{told} pieces; {same}")

    def _does_not_fit(self, pieces: list[Batch]) -> str:
        if self.accelerator.num_processes > 1:
            return (
                f"memory ran out in step {self.progress.step + 1}; with several processes give smaller pieces yourself: "
                "--accumulate N, --batch-size N or --gradient-checkpointing"
            )
        return (
            f"memory ran out in step {self.progress.step + 1} with a single row (number {pieces[0]['row'][0]}); "
            "use a smaller backbone, shorter or smaller inputs (--set backbone.max_length or backbone.size), or --gradient-checkpointing"
        )

    def _scores(self) -> dict[str, Any]:
        """Validation scores; of several processes the first one evaluates, so that all of them judge alike."""
        if self.accelerator.num_processes == 1:
            return self.evaluate()
        told = [self.evaluate() if self.accelerator.is_main_process else None]
        torch.distributed.broadcast_object_list(told, src=0)
        assert told[0] is not None
        return told[0]

    def _step(self, pieces: list[Batch]) -> dict[str, float]:
        factor = self.schedule.factor(self.progress.step, self.progress.total_steps, self.limits.warmup, self.progress.drops)
        values: dict[str, float] = {}
        for phase, optimizer in self.setup.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor
            loss = self._backward(pieces, phase)
            norm = self._clip(optimizer)
            self._healthy(loss, norm, phase)
            optimizer.step()
            changed = self.adapter.stepped(self.model, self.progress.step + 1, self.progress.total_steps)
            optimizer.zero_grad(set_to_none=True)
            if changed:
                self.setup.model.train()
            suffix = "" if phase == "main" else f"_{phase}"
            values |= {f"loss{suffix}": loss, f"gradient_norm{suffix}": norm, f"lr{suffix}": optimizer.param_groups[0]["lr"]}
        for average in self.setup.averages:
            average.update()
        return values

    def _backward(self, pieces: list[Batch], phase: str) -> float:
        """Gradients of the batch; gives its loss."""
        try:
            return self._summed(pieces, phase)
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
        raise _TooLargeError  # outside of the handler, whose error would keep the tensors of the failed pass alive

    def _summed(self, pieces: list[Batch], phase: str) -> float:
        world = self.accelerator.num_processes
        total = sum(self.setup.weight(piece, phase) for piece in pieces)
        if world > 1:
            total = float(self.accelerator.reduce(torch.tensor(total, device=self.accelerator.device), "sum"))
        value = 0.0
        for number, piece in enumerate(pieces):
            if number + 1 < len(pieces) and world > 1:
                with self.accelerator.no_sync(self.setup.model):
                    value += self._one(piece, phase, total, world)
            else:
                value += self._one(piece, phase, total, world)
        if world > 1:
            value = float(self.accelerator.reduce(torch.tensor(value, device=self.accelerator.device), "mean"))
        return value

    def _one(self, piece: Batch, phase: str, total: float, world: int) -> float:
        piece = to_device(piece, self.accelerator.device)
        with self.accelerator.autocast():
            loss = self.setup.loss(self.setup.model, piece, phase)
        loss = loss * (world / total)  # gradients are averaged over processes
        self.accelerator.backward(loss)
        return float(loss.detach())

    def _clip(self, optimizer: Any) -> float:
        parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not parameters:
            return 0.0
        return float(self.accelerator.clip_grad_norm_(parameters, self.limits.clip or math.inf))

    def _healthy(self, loss: float, norm: float, phase: str) -> None:
        at = f"in step {self.progress.step + 1}" + ("" if phase == "main" else f", phase '{phase}'")
        if not math.isfinite(loss) or (not math.isfinite(norm) and self.accelerator.mixed_precision != "fp16"):
            raise TrainingError(
                f"the loss or its gradient is not finite {at} (loss {loss}, gradient norm {norm}); nothing can be learned from here. "
                "Use a lower rate (--lr), --precision fp32, or gradient clipping (--clip 1); checkpoints written before are intact"
            )
        if norm == 0.0 and self.progress.step == 0:
            raise TrainingError(
                f"no gradient arrives {at} (loss {loss:g}, gradient norm 0): no weight would change. "
                "Check that the adapter fits the backbone (tunesmith list adapters), or use --adapter full"
            )
        if self.progress.first_loss is None:
            self.progress.first_loss = loss
        if math.isfinite(norm):
            self.progress.largest_norm = max(self.progress.largest_norm, norm)

    def _judge(self, scores: Mapping[str, Any]) -> None:
        """Keep the weights if they are the best so far; count stalls."""
        progress = self.progress
        name, direction = self.limits.monitor
        if name not in scores:
            raise TrainingError(f"there is no validation metric '{name}' to monitor; there are {', '.join(sorted(scores))}")
        value = float(scores[name])
        if not math.isfinite(value):
            raise TrainingError(f"the validation metric '{name}' is {value}, so it cannot decide which weights are kept; monitor another")
        better = progress.best is None or (value > progress.best if direction == "max" else value < progress.best)
        progress.history.append({"step": progress.step, "epoch": progress.epoch + 1, **scores})
        if better or value == progress.best:  # of equal ones the later: few validation rows soon tell nothing apart any more
            progress.best, progress.best_step = value, progress.step
            if self.accelerator.is_main_process:
                with atomic(self.folder / "best.safetensors") as part:
                    checkpoints.save_tensors(checkpoints.moving(self.model, self.names), part)
            self.accelerator.wait_for_everyone()
        if better:
            progress.stale = 0
            return
        progress.stale += 1
        wait = self.schedule.patience()
        if wait is not None and progress.stale % wait == 0:
            progress.drops += 1
        if self.limits.patience is not None and progress.stale >= self.limits.patience:
            progress.stop = f"{name} has not improved in {progress.stale} evaluations"

    def _save(self) -> None:
        self.progress.spent = self._clock.elapsed()
        if self.accelerator.is_main_process:
            path = checkpoints.save(
                self.folder,
                model=self.model,
                names=self.names,
                adapter=self.adapter,
                optimizers=self.setup.optimizers,
                averages=self.setup.averages,
                progress=self.progress,
            )
            self._tell("saved", self.progress, path)
        self.accelerator.wait_for_everyone()

    def _tell(self, hook: str, *args: Any) -> None:
        if self.accelerator.is_main_process:
            for callback in self.callbacks:
                getattr(callback, hook)(*args)
