"""Run the training loop: steps until a bound is reached, with checkpoints, evaluations on held-out records and a log.

What a step computes comes from the trainer (`StepRunner`); the loop is the same for causal and encoder-decoder models.
Random numbers of a step depend on (seed, step, process) only, never on earlier draws, so a training that is resumed
from a checkpoint draws the same numbers as one that was not interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from filial import FilialError, TrainContext, seeded_rng
from filial_plugins.trainers.devices.process_group import ProcessGroup
from filial_plugins.trainers.devices.sharding import gather_tensor
from filial_plugins.trainers.devices.signals import defer_signals
from filial_plugins.trainers.devices.threads import ThreadChooser
from filial_plugins.trainers.optimizers import Optimizers, lr_factor
from filial_plugins.trainers.options import GradientTrainer
from filial_plugins.trainers.results.checkpoints import Checkpoints
from filial_plugins.trainers.state import Clock, TrainingState

LOSS_DECAY = 0.95  # share of the moving average that is kept at each step
STOP = 2  # write a checkpoint and stop; 1: write a checkpoint, 0: neither


class StepRunner(Protocol):
    """What a trainer gives the loop. A step is a list of bins, each a list of row indices."""

    def plan_steps(self, epoch: int) -> Sequence[Any]:
        """Return the steps of an epoch, at least one. They depend on seed and epoch only."""

    def count_tokens(self, step: Any) -> int:
        """Return the number of tokens in a step."""

    def add_gradients(self, step: Any) -> Any:
        """Add the gradient of this process's share of a step's loss: the mean over all trained tokens of the step.

        Returns that share of the loss as a tensor without gradient. The shares of all processes add up to the loss.
        """

    def evaluate(self) -> dict[str, Any]:
        """Return figures about held-out records (``heldout_loss``, ``stop_rate``, ...). Every process calls it."""


class NotANumber(Exception):
    """The loss or its gradient is infinite or not a number."""


class Loop:
    """Trains a model in place.

    Args:
        seed: of dropout.
        checkpoints: where to save checkpoints and to resume from; None: nowhere.
        reporters: called with every line of the log.
        on_trained: called once when all steps are done, before anything that might fail: evaluation, log, reporters.

    Attributes:
        stopped: whether training ended early, with a checkpoint of its last step.
    """

    def __init__(
        self, options: GradientTrainer, model: Any, torch: Any, runner: StepRunner, ctx: TrainContext, *, seed: int,
        group: ProcessGroup | None = None, checkpoints: Checkpoints | None = None,
        reporters: Sequence[Callable[[dict[str, Any]], None]] = (), on_trained: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.options, self.model, self.torch, self.runner, self.ctx = options.with_bound(), model, torch, runner, ctx
        self.seed, self.group, self.checkpoints = seed, group or ProcessGroup(torch), checkpoints
        o = self.options
        self.optimizers = Optimizers(
            model, torch, kind=o.optimizer, lr=o.lr, adam_lr=o.adam_lr, weight_decay=o.weight_decay, beta2=o.beta2
        )
        self.params = [p for p in model.parameters() if p.requires_grad]
        self.state, self.reporters, self.on_trained, self.stopped = (
            TrainingState(),
            [ctx.log, *reporters],
            on_trained,
            False,
        )
        self.evaluation: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Train until a bound is reached. Returns figures.

        Raises:
            NotANumber: the training has diverged; the model has its weights from before that step.
            FilialError: a checkpoint cannot be written.
            KeyboardInterrupt: Ctrl-C or SIGTERM arrived; there is a checkpoint of the last step.
        """
        resumed_at = self._resume()
        state, chooser = self.state, ThreadChooser(self.torch, self.options.threads)
        clock, start = Clock(state), (state.tokens, state.cpu)
        self.model.train()
        steps = self.runner.plan_steps(state.epoch)
        progress = self.group.broadcast(clock.progress(self.options, len(steps)))
        if progress >= 1:  # the checkpoint was written after the last step
            self.on_trained()
        with defer_signals() as stop_requested:
            while progress < 1:
                line = self._run_step(steps[state.at], progress, chooser)
                if state.at == len(steps):
                    state.epoch, state.at = state.epoch + 1, 0
                    steps = self.runner.plan_steps(state.epoch)
                progress = self.group.broadcast(clock.progress(self.options, len(steps)))
                state.wall, state.cpu = clock.wall, clock.cpu
                if progress >= 1:
                    self.on_trained()
                self._report_progress(progress)
                self._log_step(line, last=progress >= 1)
                self._save_checkpoint(clock, stop=stop_requested(), last=progress >= 1)
        if not self.evaluation:  # training was complete already
            self.evaluation = self.runner.evaluate()
        figures = {
            "steps": state.step, "epochs": round(state.epoch + state.at / len(steps), 3),
            "seconds": round(state.wall, 2), "cpu_seconds": round(state.cpu, 2), "tokens_seen": state.tokens,
            "tokens_per_cpu_second": round((state.tokens - start[0]) / max(state.cpu - start[1], 1e-9), 1),
            "threads": chooser.threads, "loss": state.loss,
        }  # fmt: skip
        return figures | self.evaluation | ({"resumed_at": resumed_at} if resumed_at else {})

    def write_log(self, folder: Path) -> None:
        """Write training.jsonl: loss and learning rate by step."""
        lines = [msgspec.json.encode(line) + b"\n" for line in self.state.log]
        (folder / "training.jsonl").write_bytes(b"".join(lines))

    def _run_step(self, step: Any, progress: float, chooser: ThreadChooser) -> dict[str, Any]:
        """Make one update of the weights. Returns its figures."""
        state, o = self.state, self.options
        share = lr_factor(progress, o.schedule, o.warmup, o.lr_floor)
        tokens = self.runner.count_tokens(step)
        self.torch.manual_seed(seeded_rng(self.seed, "step", state.step, self.group.rank).getrandbits(63))
        with chooser.time_step(tokens):
            total = self.group.all_reduce(self.runner.add_gradients(step))
            self.group.sum_gradients(self.params)
            norm = gather_tensor(self.torch.nn.utils.clip_grad_norm_(self.params, o.clip))
            loss, norm = float(total), float(norm)
            self._check_finite(loss, norm)
            self.optimizers.step(share)
        state.step, state.at, state.tokens = state.step + 1, state.at + 1, state.tokens + tokens
        state.loss = loss if state.step == 1 else LOSS_DECAY * state.loss + (1 - LOSS_DECAY) * loss
        return {
            "step": state.step, "loss": loss, "recent_loss": state.loss, "lr": share * o.lr, "grad_norm": norm,
            "tokens": state.tokens,
        }  # fmt: skip

    def _check_finite(self, loss: float, norm: float) -> None:
        """Raise `NotANumber` if the loss or the norm of the gradient is infinite or not a number."""
        if not (abs(loss) < float("inf") and norm < float("inf")):
            if self.state.step == 0:
                raise NotANumber(
                    f"the loss is {loss} with a gradient of norm {norm} at the first step: the model's weights are "
                    "damaged or too large for this dtype; check what the untrained model answers"
                )
            raise NotANumber(
                f"the loss is {loss} with a gradient of norm {norm} at step {self.state.step + 1}: training has "
                "diverged; set a lower lr, or read the lines of training.jsonl before it"
            )

    def _resume(self) -> int:
        """Load the last checkpoint, if there is one. Returns its step, 0 without one.

        Raises:
            FilialError: processes that train together do not see the same checkpoints.
        """
        found = self.checkpoints.restore(self.model, self.optimizers) if self.checkpoints else None
        for name in self.checkpoints.damaged if self.checkpoints else ():
            self.ctx.note(f"the checkpoint {name} is damaged and is skipped")
        self.state = found or self.state
        step = self.state.step
        if (first := int(self.group.broadcast(step))) != step:
            raise FilialError(
                f"process {self.group.rank + 1} would resume from step {step}, the first one from step {first}: all "
                "processes must see the same folder of checkpoints; share it, or remove it to start again"
            )
        if step:
            self.ctx.note(f"resuming from the checkpoint of step {step:,}")
        return step

    def _log_step(self, line: dict[str, Any], *, last: bool) -> None:
        """Evaluate when it is due, and write one line of training.jsonl when that is due."""
        o, step = self.options, self.state.step
        line |= {"seconds": self.state.wall, "cpu_seconds": self.state.cpu}
        if due := last or (o.eval_every is not None and step % o.eval_every == 0):
            self.evaluation = self.runner.evaluate()
            self.model.train()
            line |= self.evaluation
        if self.group.is_leader and (due or step == 1 or step % o.log_every == 0):
            self.state.log.append(line)
            for report in self.reporters:
                report(line)

    def _save_checkpoint(self, clock: Clock, *, stop: bool, last: bool) -> None:
        """Write a checkpoint when it is due, and before stopping; not after the last step, when the model is saved."""
        due = not last and self.checkpoints is not None and self.checkpoints.is_due(self.state.step)
        wanted = self.group.broadcast(STOP if stop else int(due))
        if wanted and self.checkpoints is not None:
            self.state.wall, self.state.cpu = clock.wall, clock.cpu
            self.checkpoints.save(self.model, self.optimizers, self.state, leads=self.group.is_leader)
        if wanted == STOP:
            self.stopped = self.checkpoints is not None
            self.ctx.note(f"stopped after step {self.state.step:,}; start the same training again to resume from there")
            raise KeyboardInterrupt

    def _report_progress(self, done: float) -> None:
        """Report the share of the training that is done."""
        self.ctx.progress(min(1.0, done), 1.0, f"step {self.state.step}, loss {self.state.loss:.3f}")
