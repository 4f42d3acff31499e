"""The training loop, read downwards: a step, then what falls due after it."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.backbones.adapt import keep_statistics
from ssl_cli.batch import Batch, accumulation_parts
from ssl_cli.data.loader import mix
from ssl_cli.distributed.collectives import averaging, data_parallel, max_over_ranks
from ssl_cli.distributed.group import rank, wait_for_first
from ssl_cli.optim.groups import follow_schedule, scheduled_lr
from ssl_cli.runs.directory import RunDir
from ssl_cli.setup.prepare import Experiment
from ssl_cli.system.signals import StopRequest
from ssl_cli.system.terminal import Progress, clock
from ssl_cli.system.transfer import striped
from ssl_cli.training.compiled import compiled
from ssl_cli.training.guard import GIVE_UP, Guard
from ssl_cli.training.metrics import Metrics, SinceLastRow, files
from ssl_cli.training.monitor import evaluate, monitor_knn
from ssl_cli.training.saver import Saver, restore
from ssl_cli.training.state import Due, TrainingState
from ssl_cli.training.stopwatch import Stopwatch, processor_seconds
from ssl_cli.training.worth import fell, starts_trained

SPIKE = "warning: the loss jumped to {1:.4g} at step {0}, far above what it was before"
PARTS = ("data", "augment", "forward", "backward", "optimizer")  # of a step, on the stopwatch


@dataclass
class Training:
    """What the functions below share."""

    e: Experiment
    run: RunDir
    state: TrainingState
    model: nn.Module  # the method as it is called: on several ranks, what averages its gradients
    compiled: AbstractContextManager  # that a step runs in: there its parts may be compiled
    generator: torch.Generator  # of the pretext, on the CPU: the same draws on every device
    metrics: Metrics
    saver: Saver
    guard: Guard
    watch: Stopwatch
    progress: Progress
    since: SinceLastRow
    first_step: int  # of this part of the run
    started: float  # when this part would have started, had it also done all before it


def fit(
    e: Experiment, run: RunDir, resumed: dict[str, Any] | None, stop: StopRequest, metrics: Metrics | None = None
) -> TrainingState:
    """Train until the last step, or until a stop is asked for; write metrics and checkpoints to ``run``.

    All randomness of a step is drawn from (seed, step), so a resumed run does bit for bit what an unbroken one does. Of
    several ranks each runs this function, on its rows of each batch, and all stop at the same step; rank 0 writes.

    Args:
        e: the experiment.
        run: where metrics and checkpoints go.
        resumed: content of the checkpoint to go on from, or None.
        stop: asked once a step; when set, the step's state is saved before returning.
        metrics: where numbers and pictures go, and stay open; None: to ``metrics.jsonl`` alone.

    Returns:
        How far it came.

    Raises:
        RunError: the loss or the gradient is not finite any more, or a checkpoint cannot be written.
    """
    t = begin(e, run, resumed, metrics)
    with t.saver, t.guard.explaining(t.state, t.saver.last_good), t.progress:
        if resumed is None and (not e.total_steps or starts_trained(e.config)):
            look_at_start(t)
        while t.state.step < e.total_steps:
            t.state.processor_seconds += processor_seconds(train_step, t)
            due = due_after_step(t, stop)
            if due.row:  # reading a value waits for the device: only every few steps, and before weights are saved
                write_row(t, due)
            if due.evaluation and rank() == 0:
                evaluate_now(t, due)
            if due.save and rank() == 0:
                save_now(t, due)
            if due.evaluation or due.save:
                wait_for_first()
            if due.last:
                break
    conclude(t)
    return t.state


def begin(
    e: Experiment, run: RunDir, resumed: dict[str, Any] | None = None, metrics: Metrics | None = None
) -> Training:
    """Bring all parts to where training starts, or goes on; the arguments are those of `fit`."""
    trainer, state, metrics = e.config.trainer, TrainingState(), metrics or Metrics(files(run))
    if resumed is not None:
        restore(e, resumed)
        state = TrainingState(**resumed["progress"])
    metrics.drop_after(state.step)
    trace = run.path / "plots" / "trace.json" if trainer.profile else None
    context, said = compiled(e.method, e.pretext, trainer.compile, e.device, e.total_steps)
    t = Training(
        e=e,
        run=run,
        state=state,
        model=data_parallel(e.method, trainer.synchronise_norms),
        compiled=context,
        generator=torch.Generator(),
        metrics=metrics,
        saver=Saver(e, run),
        guard=Guard(e.method, trainer.on_nan == "skip", trainer.clip_grad, e.device, trainer.clip_by == "tensor"),
        watch=Stopwatch(e.device, trainer.profile, trace),
        progress=Progress(e.total_steps, state.step, log=run.log),
        since=SinceLastRow(state.step),
        first_step=state.step,
        started=time.perf_counter() - state.seconds,
    )
    if said:
        t.progress.warn(said)
    e.method.train()
    if trainer.freeze_backbone:
        e.method.backbone.eval()  # the statistics of its norms, too
    keep_statistics(e.method)
    return t


def look_at_start(t: Training) -> None:
    """Evaluate weights as they were given: they are the best so far, and where nothing is trained also the last."""
    if rank() == 0:
        if t.e.total_steps:
            knn = monitor_knn(t.e)
            t.metrics.write({"step": 0, "epoch": 0.0, "val_knn": knn})
        else:
            knn, _ = evaluate(t.e, t.run, t.state, t.metrics, finished=True)
        if knn is not None:
            t.state.start_knn = t.state.best_knn = t.state.last_knn = knn
        t.state.seconds = time.perf_counter() - t.started
        t.saver.save_as_given(t.state)
    wait_for_first()


def train_step(t: Training) -> None:
    """Take one optimizer step, or leave it out where its numbers are bad and that is wanted."""
    e, method, step = t.e, t.e.method, t.state.step
    if step % e.steps_per_epoch == 0:
        method.start_epoch(step // e.steps_per_epoch)
    if step % e.steps_per_epoch == 0 or step == t.first_step:
        e.loader.weights = method.sampling_weights()
    e.pretext.view_size = e.view_sizes(step)
    follow_schedule(e.optimizer, e.schedule(step), step / e.total_steps)
    torch.manual_seed(mix(e.config.seed, 1, step))  # dropout and whatever else a method draws
    t.generator.manual_seed(mix(e.config.seed, 2, step) + rank())  # other changes on each rank
    with t.watch.part("data"):
        batch = e.loader.batch(step)
    t.guard.before_step()
    with t.compiled:
        loss, outputs = gradients(t, batch)
    with t.watch.part("optimizer"):
        t.state.step += 1
        if t.guard.accepts(loss):
            e.optimizer.step()
            method.after_step(t.state.step / e.total_steps)
            t.since.add(outputs)
        else:
            t.progress.warn(t.guard.left_out(t.state, t.saver.last_good))
        e.optimizer.zero_grad(set_to_none=True)
    t.watch.step()


def gradients(t: Training, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a batch forward and backward, part by part; return the sum of the parts' losses, and the mean outputs."""
    e, count = t.e, t.e.config.trainer.accumulate
    loss, mean = 0.0, {}
    for number, part in enumerate(accumulation_parts(batch, count), 1):
        with t.watch.part("augment"):
            task = e.pretext(part, t.generator)
            if e.config.trainer.channels_last:
                task.views = [striped(view) for view in task.views]
        bf16 = torch.autocast(e.device.type, torch.bfloat16, enabled=e.precision == torch.bfloat16)
        with t.watch.part("forward"), bf16, averaging(t.model, number == count):
            outputs = t.model(task)
        with t.watch.part("backward"):
            (outputs["loss"] / count).backward()
        loss = loss + outputs["loss"].detach()
        for key, value in outputs.items():
            mean[key] = mean.get(key, 0) + value.detach() / count
    return loss, mean


def due_after_step(t: Training, stop: StopRequest) -> Due:
    """Return what falls due now; a stop that any rank was asked for counts for all."""
    e, trainer, step = t.e, t.e.config.trainer, t.state.step
    epoch, finished = step / e.steps_per_epoch, step == e.total_steps
    last = finished or bool(max_over_ranks(stop.requested))

    def every(epochs: int | None) -> bool:
        return step % e.steps_per_epoch == 0 and bool(epochs) and round(epoch) % epochs == 0

    keep = every(trainer.keep_every)
    return Due(
        epoch=epoch,
        finished=finished,
        last=last,
        row=step % trainer.log_every == 0 or every(1) or last,
        evaluation=every(trainer.eval_every) or finished,
        save=every(trainer.save_every) or keep or last,
        keep=keep,
    )


def write_row(t: Training, due: Due) -> None:
    """Write the means since the last row, after a look at whether they are numbers at all."""
    since, step = t.since, t.state.step
    if bad := t.guard.finding(step):
        t.progress.warn(roll_back(bad, t))
        since.forget()
    now, since.lr = time.perf_counter(), scheduled_lr(t.e.optimizer)
    since.rate = (step - since.step) * t.e.config.trainer.batch_size / (now - since.time)
    if means := since.means():
        since.loss = means["loss"]
        row = {"step": step, "epoch": round(due.epoch, 4), **means, "lr": since.lr}
        row |= {"images_per_second": round(since.rate, 1), "seconds": round(now - t.started, 3)}
        t.metrics.write(row)
        if t.guard.spike(since.loss):
            t.progress.warn(SPIKE.format(step, since.loss))
    for line in t.metrics.complaints():
        t.progress.warn(line)
    since.restart(step)
    show(t)


def evaluate_now(t: Training, due: Due) -> None:
    """Look at the method on inputs of val; save it as the best where it is."""
    began = time.perf_counter()
    knn, warning = evaluate(t.e, t.run, t.state, t.metrics, due.finished)
    if warning:
        t.progress.warn(f"warning: {warning}")
    if knn is not None:
        t.state.last_knn = knn
        show(t)
        if knn > t.state.best_knn:
            t.state.best_knn, t.state.seconds = knn, time.perf_counter() - t.started
            t.saver.save("best", t.state)
    t.since.time = time.perf_counter()  # evaluation is not training speed
    t.watch.add("evaluation", t.since.time - began)


def save_now(t: Training, due: Due) -> None:
    """Save the state as the last one, and where it is wanted as that of its epoch."""
    t.state.seconds = time.perf_counter() - t.started
    with t.watch.part("checkpoint"):
        t.saver.save("last", t.state, round(due.epoch) if due.keep else None)


def conclude(t: Training) -> None:
    """Close what is open, and note where the time went."""
    t.watch.stop()
    if t.state.step == t.e.total_steps:
        val = t.e.data.splits["val"]
        if line := fell(t.state.start_knn, t.state.last_knn, int((t.e.data.labels[val] >= 0).sum())):
            t.progress.warn(line)
    steps = t.state.step - t.first_step
    trained = sum(t.watch.seconds.get(name, 0.0) for name in PARTS)
    t.state.step_seconds = trained / max(1, steps)
    t.state.data_share = t.watch.seconds.get("data", 0.0) / max(trained, 1e-9)
    if t.e.config.trainer.profile:
        for line in t.watch.table(time.perf_counter() - t.progress.started, steps):
            t.progress.warn(line)


def show(t: Training) -> None:
    """Show epoch, loss, learning rate, inputs per second, time left and the latest kNN accuracy on val."""
    e, state, since = t.e, t.state, t.since
    unit = {"image": "img"}.get(e.data.noun, f"{e.data.noun}s")
    line = (
        f"epoch {state.step / e.steps_per_epoch:.4g}/{e.total_steps / e.steps_per_epoch:g}  loss {since.loss:.3f}  "
        f"lr {since.lr:.2e}  {since.rate:,.0f} {unit}/s  {clock(t.progress.left(state.step))} left"
    )
    t.progress.show(state.step, line + (f"  val kNN {100 * state.last_knn:.1f}" if state.last_knn >= 0 else ""))


def roll_back(bad: tuple[int, str], t: Training) -> str:
    """After a bad number give the weights of the last checkpoint back, and say so; the batches since are passed over.

    Raises:
        RunError: that is not wanted, was done too often, or cannot be.
    """
    step, what = bad
    if t.e.config.trainer.on_nan != "rollback" or t.state.rollbacks == GIVE_UP:
        raise t.guard.error(step, what, t.saver.last_good())
    t.state.rollbacks += 1
    back = t.saver.roll_back()
    t.metrics.drop_after(back)
    return f"{what} at step {step}: back to the weights of step {back}, past the batches up to step {t.state.step}"
