"""The training loop: step after step until a bound is reached, with checkpoints, looks at held-out records and a log.

What a step computes is the trainer's business (`Work`); the loop is the same for causal and encoder-decoder models.
Chance depends on (seed, step, process) alone, never on what was drawn before, so a training that is taken up from a
checkpoint draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from filial import FilialError, TrainContext, seeded
from filial_plugins.trainers.clock import Clock, Place
from filial_plugins.trainers.devices.pace import Pace
from filial_plugins.trainers.devices.sharding import whole
from filial_plugins.trainers.devices.stopping import patient
from filial_plugins.trainers.devices.team import Team
from filial_plugins.trainers.optimizers import Optimizers, rate
from filial_plugins.trainers.options import Tuning
from filial_plugins.trainers.results.checkpoints import Checkpoints

MEMORY = 0.95  # of the average loss, per step
STOP = 2  # a checkpoint and no further step


class Work(Protocol):
    """What a trainer brings to the loop. A step is a list of rows, each by its index, or of lists of such."""

    def steps(self, epoch: int) -> Sequence[Any]:
        """The steps of an epoch, at least one; a function of seed and epoch alone."""

    def tokens(self, step: Any) -> int:
        """Tokens of a step."""

    def gradients(self, step: Any) -> Any:
        """Add the gradient of this process's share of a step's loss, the mean over all trained tokens of the step.

        Returns that share of the loss, a tensor without gradient; the shares of all processes add up to the loss.
        """

    def look(self) -> dict[str, Any]:
        """Figures about held-out records (``heldout_loss``, ``stop_rate``, ...); every process calls it."""


class NotANumber(Exception):
    """The loss or its gradient is infinite or no number."""


class Loop:
    """Trains a model in place.

    Args:
        seed: of dropout.
        checkpoints: where to save and to go on from, if anywhere.
        reports: told every line of the log.
        done: called once all steps are done, before anything else that might fail: looks, log, reports.

    Attributes:
        stopped: whether it ended early, with a checkpoint of where it was.
    """

    def __init__(
        self, options: Tuning, model: Any, torch: Any, work: Work, ctx: TrainContext, *, seed: int,
        team: Team | None = None, checkpoints: Checkpoints | None = None,
        reports: Sequence[Callable[[dict[str, Any]], None]] = (), done: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.options, self.model, self.torch, self.work, self.ctx = options.bounded(), model, torch, work, ctx
        self.seed, self.team, self.checkpoints = seed, team or Team(torch), checkpoints
        o = self.options
        self.optimizers = Optimizers(
            model, torch, kind=o.optimizer, lr=o.lr, adam_lr=o.adam_lr, weight_decay=o.weight_decay, beta2=o.beta2
        )
        self.params = [p for p in model.parameters() if p.requires_grad]
        self.place, self.reports, self.done, self.stopped = Place(), [ctx.log, *reports], done, False
        self.looked: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Train until a bound is reached. Returns figures.

        Raises:
            NotANumber: the training has diverged; the model has its weights from before that step.
            FilialError: a checkpoint cannot be written.
            KeyboardInterrupt: Ctrl-C or SIGTERM came; there is a checkpoint of the last step.
        """
        came_back = self._resume()
        place, pace = self.place, Pace(self.torch, self.options.threads)
        clock, began = Clock(place), (place.tokens, place.cpu)
        self.model.train()
        steps = self.work.steps(place.epoch)
        progress = self.team.agreed(clock.progress(self.options, len(steps)))
        if progress >= 1:  # the checkpoint is of the last step
            self.done()
        with patient() as stopping:
            while progress < 1:
                line = self._advance(steps[place.at], progress, pace)
                if place.at == len(steps):
                    place.epoch, place.at = place.epoch + 1, 0
                    steps = self.work.steps(place.epoch)
                progress = self.team.agreed(clock.progress(self.options, len(steps)))
                place.wall, place.cpu = clock.wall, clock.cpu
                if progress >= 1:
                    self.done()
                self._tell(progress)
                self._note(line, last=progress >= 1)
                self._keep(clock, stop=stopping(), last=progress >= 1)
        if not self.looked:  # nothing was left to do but this
            self.looked = self.work.look()
        figures = {
            "steps": place.step, "epochs": round(place.epoch + place.at / len(steps), 3),
            "seconds": round(place.wall, 2), "cpu_seconds": round(place.cpu, 2), "tokens_seen": place.tokens,
            "tokens_per_cpu_second": round((place.tokens - began[0]) / max(place.cpu - began[1], 1e-9), 1),
            "threads": pace.threads, "loss": place.loss,
        }  # fmt: skip
        return figures | self.looked | ({"resumed_at": came_back} if came_back else {})

    def write_log(self, folder: Path) -> None:
        """training.jsonl: how loss and learning rate went."""
        lines = [msgspec.json.encode(line) + b"\n" for line in self.place.log]
        (folder / "training.jsonl").write_bytes(b"".join(lines))

    def _advance(self, step: Any, progress: float, pace: Pace) -> dict[str, Any]:
        """One update. Returns its figures."""
        place, o = self.place, self.options
        share = rate(progress, o.schedule, o.warmup, o.lr_floor)
        tokens = self.work.tokens(step)
        self.torch.manual_seed(seeded(self.seed, "step", place.step, self.team.rank).getrandbits(63))
        with pace.step(tokens):
            total = self.team.summed(self.work.gradients(step))
            self.team.sum_gradients(self.params)
            norm = whole(self.torch.nn.utils.clip_grad_norm_(self.params, o.clip))
            loss, norm = float(total), float(norm)
            self._check(loss, norm)
            self.optimizers.step(share)
        place.step, place.at, place.tokens = place.step + 1, place.at + 1, place.tokens + tokens
        place.loss = loss if place.step == 1 else MEMORY * place.loss + (1 - MEMORY) * loss
        return {
            "step": place.step, "loss": loss, "recent_loss": place.loss, "lr": share * o.lr, "grad_norm": norm,
            "tokens": place.tokens,
        }  # fmt: skip

    def _check(self, loss: float, norm: float) -> None:
        if not (abs(loss) < float("inf") and norm < float("inf")):
            if self.place.step == 0:
                raise NotANumber(
                    f"the loss is {loss} with a gradient of norm {norm} at the first step already: the model's weights "
                    "are damaged or too large for this dtype; look at what the untrained model answers"
                )
            raise NotANumber(
                f"the loss is {loss} with a gradient of norm {norm} at step {self.place.step + 1}: training has "
                "diverged; lower lr, or look at the rows of training.jsonl before it"
            )

    def _resume(self) -> int:
        """Take up the last checkpoint, if there is one. Returns its step.

        Raises:
            FilialError: processes that train together do not see the same checkpoints.
        """
        found = self.checkpoints.restore(self.model, self.optimizers) if self.checkpoints else None
        for name in self.checkpoints.damaged if self.checkpoints else ():
            self.ctx.note(f"the checkpoint {name} is damaged and is passed over")
        self.place = found or self.place
        step = self.place.step
        if (first := int(self.team.agreed(step))) != step:
            raise FilialError(
                f"process {self.team.rank + 1} would go on from step {step}, the first one from step {first}: they "
                "must all see the same folder of checkpoints; share it, or remove it to begin anew"
            )
        if step:
            self.ctx.note(f"going on from the checkpoint of step {step:,}")
        return step

    def _note(self, line: dict[str, Any], *, last: bool) -> None:
        """One line of training.jsonl when it is time, with a look at held-out records when it is time for one."""
        o, step = self.options, self.place.step
        line |= {"seconds": self.place.wall, "cpu_seconds": self.place.cpu}
        if looking := last or (o.eval_every is not None and step % o.eval_every == 0):
            self.looked = self.work.look()
            self.model.train()
            line |= self.looked
        if self.team.leads and (looking or step == 1 or step % o.log_every == 0):
            self.place.log.append(line)
            for report in self.reports:
                report(line)

    def _keep(self, clock: Clock, *, stop: bool, last: bool) -> None:
        """Write a checkpoint when it is time, and before stopping; after the last step the model itself is saved."""
        due = not last and self.checkpoints is not None and self.checkpoints.due(self.place.step)
        wish = self.team.agreed(STOP if stop else int(due))
        if wish and self.checkpoints is not None:
            self.place.wall, self.place.cpu = clock.wall, clock.cpu
            self.checkpoints.save(self.model, self.optimizers, self.place, leads=self.team.leads)
        if wish == STOP:
            self.stopped = self.checkpoints is not None
            self.ctx.note(f"stopped after step {self.place.step:,}; the same training goes on from there")
            raise KeyboardInterrupt

    def _tell(self, done: float) -> None:
        self.ctx.progress(min(1.0, done), 1.0, f"step {self.place.step}, loss {self.place.loss:.3f}")
