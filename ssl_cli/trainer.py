"""The training loop: one function, read downwards."""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch

from ssl_cli.batch import Batch
from ssl_cli.data.loader import mix
from ssl_cli.distributed import average, averaging, data_parallel, largest, rank, wait_for_first
from ssl_cli.evaluation import evaluate
from ssl_cli.guard import GIVE_UP, Guard
from ssl_cli.profile import Stopwatch
from ssl_cli.progress import Progress
from ssl_cli.rundir import RunDir
from ssl_cli.saver import Saver, restore
from ssl_cli.setup import Experiment
from ssl_cli.signals import StopRequest


@dataclass
class Progressed:
    """How far training has come: what a checkpoint holds beside weights."""

    step: int = 0  # optimizer steps done
    seconds: float = 0.0  # of training and evaluation, all parts of a resumed run together
    best_knn: float = -1.0  # best val kNN accuracy so far; -1: none yet
    last_knn: float = -1.0  # of the latest evaluation
    collapsed: bool = False  # whether the embedding was, at the latest evaluation
    warned: bool = False  # whether that has been said
    step_seconds: float = 0.0  # of a training step, mean of this part of the run
    data_share: float = 0.0  # of it, spent waiting for data
    skipped: int = 0  # steps that were left out because of their numbers
    rollbacks: int = 0  # times that training went back to a checkpoint because of them


SPIKE = "warning: the loss jumped to {1:.4g} at step {0}, far above what it was before"


def fit(e: Experiment, run: RunDir, resumed: dict[str, Any] | None, stop: StopRequest) -> Progressed:
    """Train until the last step, or until a stop is asked for; write metrics and checkpoints to ``run``.

    All randomness of a step is drawn from (seed, step), so a resumed run does bit for bit what an unbroken one does. Of
    several ranks each runs this function, on its rows of each batch, and all stop at the same step; rank 0 writes.

    Args:
        e: the experiment.
        run: where metrics and checkpoints go.
        resumed: content of the checkpoint to go on from, or None.
        stop: asked once a step; when set, the step's state is saved before returning.

    Returns:
        How far it came.

    Raises:
        RunError: the loss or the gradient is not finite any more, or a checkpoint cannot be written.
    """
    trainer, method, optimizer = e.config.trainer, e.method, e.optimizer
    done = Progressed()
    if resumed is not None:
        restore(e, resumed)
        done = Progressed(**resumed["progress"])
    run.drop_metrics_after(done.step)

    generator = torch.Generator()  # on the CPU: the same draws on every device
    began = time.perf_counter()
    started = began - done.seconds
    watch = Stopwatch(e.device, trainer.profile, run.path / "plots" / "trace.json" if trainer.profile else None)
    guard = Guard(method, trainer.on_nan == "skip", trainer.clip_grad, e.device)
    sums: dict[str, torch.Tensor] = {}
    first_step, summed = done.step, 0
    logged_step, logged_at, rate, loss = done.step, time.perf_counter(), 0.0, math.nan
    model = data_parallel(method, trainer.synchronise_norms)  # forward passes go through it
    method.train()
    if trainer.freeze_backbone:
        method.backbone.eval()  # the statistics of its norms, too
    shown = Progress(e.total_steps, e.steps_per_epoch, done.step, run.log)
    with Saver(e, run) as saver, guard.explaining(done, saver.last_good), shown as progress:
        while done.step < e.total_steps:
            if done.step % e.steps_per_epoch == 0:
                method.start_epoch(done.step // e.steps_per_epoch)
            if done.step % e.steps_per_epoch == 0 or done.step == first_step:
                e.loader.weights = method.sampling_weights()
            lr = e.schedule(done.step)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * lr
            torch.manual_seed(mix(e.config.seed, 1, done.step))  # dropout and whatever else a method draws
            generator.manual_seed(mix(e.config.seed, 2, done.step) + rank())  # other changes on each rank
            with watch.part("data"):
                batch = e.loader.batch(done.step)
            guard.before_step()
            before, step_loss = sums.copy(), 0.0
            for number, part in enumerate(split(batch, trainer.accumulate), 1):
                with watch.part("augment"):
                    task = e.pretext(part, generator)
                    if trainer.channels_last:
                        task.views = [view.contiguous(memory_format=torch.channels_last) for view in task.views]
                bf16 = torch.autocast(e.device.type, torch.bfloat16, enabled=e.precision == torch.bfloat16)
                with watch.part("forward"), bf16, averaging(model, number == trainer.accumulate):
                    outputs = model(task)
                with watch.part("backward"):
                    (outputs["loss"] / trainer.accumulate).backward()
                step_loss = step_loss + outputs["loss"].detach()
                for key, value in outputs.items():
                    sums[key] = sums.get(key, 0) + value.detach() / trainer.accumulate
            with watch.part("optimizer"):
                done.step += 1
                if guard.accepts(step_loss):
                    optimizer.step()
                    method.after_step(done.step / e.total_steps)
                    summed += 1
                else:
                    progress.warn(guard.left_out(done, saver.last_good))
                    sums = before
                optimizer.zero_grad(set_to_none=True)
            watch.step()

            finished = done.step == e.total_steps
            last = finished or bool(largest(stop.requested))
            epoch_ends = done.step % e.steps_per_epoch == 0
            epoch = done.step / e.steps_per_epoch
            # Reading a value waits for the device: only every few steps, and before weights are saved.
            if done.step % trainer.log_every == 0 or epoch_ends or last:
                if bad := guard.finding(done.step):
                    progress.warn(go_back(bad, done, trainer.on_nan, guard, saver, run))
                    sums, summed = {}, 0
                now, lr = time.perf_counter(), max(group["lr"] for group in optimizer.param_groups)
                rate = (done.step - logged_step) * trainer.batch_size / (now - logged_at)
                if summed:
                    means = average({key: value / summed for key, value in sums.items()})
                    loss = means["loss"]
                    row = {"step": done.step, "epoch": round(epoch, 4), **means, "lr": lr}
                    run.log_metrics({**row, "images_per_second": round(rate, 1), "seconds": round(now - started, 3)})
                    if guard.spike(loss):
                        progress.warn(SPIKE.format(done.step, loss))
                sums, summed, logged_step, logged_at = {}, 0, done.step, now
                progress.update(done.step, loss, lr, rate, done.last_knn)
            evaluates = epoch_ends and round(epoch) % trainer.eval_every == 0 or finished
            keeps = epoch_ends and bool(trainer.keep_every) and round(epoch) % trainer.keep_every == 0
            saves = epoch_ends and round(epoch) % trainer.save_every == 0 or keeps or last
            if evaluates and rank() == 0:
                evaluating = time.perf_counter()
                knn, warning = evaluate(e, run, done, finished)
                if warning:
                    progress.warn(f"warning: {warning}")
                if knn is not None:
                    done.last_knn = knn
                    progress.update(done.step, loss, lr, rate, knn)
                    if knn > done.best_knn:
                        done.best_knn, done.seconds = knn, time.perf_counter() - started
                        saver.save("best", done)
                logged_at = time.perf_counter()  # evaluation is not training speed
                watch.add("evaluation", logged_at - evaluating)
            if saves and rank() == 0:
                done.seconds = time.perf_counter() - started
                with watch.part("checkpoint"):
                    saver.save("last", done, round(epoch) if keeps else None)
            if evaluates or saves:
                wait_for_first()
            if last:
                break
    watch.stop()
    trained = sum(watch.seconds.get(name, 0.0) for name in ("data", "augment", "forward", "backward", "optimizer"))
    done.step_seconds = trained / max(1, done.step - first_step)
    done.data_share = watch.seconds.get("data", 0.0) / max(trained, 1e-9)
    if trainer.profile:
        for line in watch.table(time.perf_counter() - began, done.step - first_step):
            progress.warn(line)
    return done


def go_back(bad: tuple[int, str], done: Progressed, policy: str, guard: Guard, saver: Saver, run: RunDir) -> str:
    """After a bad number give the weights of the last checkpoint back, and say so; the batches since are passed over.

    Raises:
        RunError: that is not wanted, was done too often, or cannot be.
    """
    step, what = bad
    if policy != "rollback" or done.rollbacks == GIVE_UP:
        raise guard.error(step, what, saver.last_good())
    done.rollbacks += 1
    back = saver.roll_back()
    run.drop_metrics_after(back)
    return f"{what} at step {step}: back to the weights of step {back}, past the batches up to step {done.step}"


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into equal parts that are worked through one after another.

    Each part takes every ``parts``-th image, so that each begins with its share of the labelled ones.
    """
    if parts == 1:
        return [batch]
    return [Batch(batch.images[i::parts], batch.labels[i::parts], batch.indices[i::parts]) for i in range(parts)]
