"""The training loop: one function, read downwards."""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ssl_cli import checkpoint
from ssl_cli.batch import Batch
from ssl_cli.data.loader import mix
from ssl_cli.distributed import average, averaging, data_parallel, largest, rank, wait_for_first
from ssl_cli.errors import RunError
from ssl_cli.probes.monitor import monitor_collapse, monitor_knn, monitor_pictures, monitor_pseudo_labels
from ssl_cli.profile import Stopwatch
from ssl_cli.progress import Progress
from ssl_cli.report.pictures import save_grid
from ssl_cli.rundir import RunDir
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


COLLAPSE = (
    "warning: the embedding has collapsed at step {step} (deviation {embedding_std:.2f}, healthy about 1; effective "
    "rank {embedding_rank:.1f}): different images look alike to the method, and the representation will be poor"
)


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
        RunError: the loss is not finite any more.
    """
    trainer, method, optimizer = e.config.trainer, e.method, e.optimizer
    done = Progressed()
    if resumed is not None:
        method.load_state_dict(resumed["model"])
        optimizer.load_state_dict(resumed["optimizer"])
        done = Progressed(**resumed["progress"])
    run.drop_metrics_after(done.step)

    def save(name: str) -> None:
        if not all(p.isfinite().all() for p in method.parameters()):
            raise RunError(diverged(math.nan, done.step, run, "weights"))
        if name == "last":
            checkpoint.keep_previous(run.checkpoint_file("last"), run.checkpoint_file("previous"))
        state = {"model": method.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(done)}
        checkpoint.save(run.checkpoint_file(name), {**describe(e), "env": run.env, **state})

    generator = torch.Generator()  # on the CPU: the same draws on every device
    began = time.perf_counter()
    started = began - done.seconds
    watch = Stopwatch(e.device, trainer.profile, run.path / "plots" / "trace.json" if trainer.profile else None)
    sums: dict[str, torch.Tensor] = {}
    first_step = done.step
    logged_step, logged_at, rate, loss = done.step, time.perf_counter(), 0.0, math.nan
    model = data_parallel(method, trainer.synchronise_norms)  # forward passes go through it
    method.train()
    if trainer.freeze_backbone:
        method.backbone.eval()  # the statistics of its norms, too
    with Progress(e.total_steps, e.steps_per_epoch, done.step, run.log) as progress:
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
                for key, value in outputs.items():
                    sums[key] = sums.get(key, 0) + value.detach() / trainer.accumulate
            with watch.part("optimizer"):
                if trainer.clip_grad:
                    torch.nn.utils.clip_grad_norm_(method.parameters(), trainer.clip_grad)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                done.step += 1
                method.after_step(done.step / e.total_steps)
            watch.step()

            finished = done.step == e.total_steps
            last = finished or bool(largest(stop.requested))
            epoch_ends = done.step % e.steps_per_epoch == 0
            epoch = done.step / e.steps_per_epoch
            # Reading a value waits for the device: only every few steps, and before weights are saved.
            if done.step % trainer.log_every == 0 or epoch_ends or last:
                now, steps = time.perf_counter(), done.step - logged_step
                means = average({key: value / steps for key, value in sums.items()})
                loss, rate = means["loss"], steps * trainer.batch_size / (now - logged_at)
                if not math.isfinite(loss):
                    raise RunError(diverged(loss, done.step, run))
                row = {
                    "step": done.step,
                    "epoch": round(epoch, 4),
                    **means,
                    "lr": max(group["lr"] for group in optimizer.param_groups),
                }
                run.log_metrics({**row, "images_per_second": round(rate, 1), "seconds": round(now - started, 3)})
                sums, logged_step, logged_at = {}, done.step, now
                progress.update(done.step, loss, row["lr"], rate, done.last_knn)
            evaluates = epoch_ends and round(epoch) % trainer.eval_every == 0 or finished
            saves = epoch_ends and round(epoch) % trainer.save_every == 0 or last
            if evaluates and rank() == 0:
                evaluating = time.perf_counter()
                knn = monitor_knn(method, e.data, e.labelled, e.info, e.device)
                report = monitor_collapse(method, e.data, e.pretext.augment, e.info, e.device)
                report |= monitor_pseudo_labels(method, e.data, e.labelled, e.info, e.device)
                run.log_metrics({"step": done.step, "epoch": round(epoch, 4), "val_knn": knn, **report})
                for name, images in monitor_pictures(method, e.data, e.pretext, e.device).items():
                    save_grid(run.path / "plots" / f"{name}.png", images)
                was_collapsed, done.collapsed = done.collapsed, report.get("collapsed", False)
                # Once can be the first steps of a healthy run; twice in a row, or at the end, is not.
                if done.collapsed and not done.warned and (was_collapsed or finished):
                    progress.warn(COLLAPSE.format(step=done.step, **report))
                    done.warned = True
                if knn is not None:
                    done.last_knn = knn
                    progress.update(done.step, loss, row["lr"], rate, knn)
                    if knn > done.best_knn:
                        done.best_knn, done.seconds = knn, time.perf_counter() - started
                        save("best")
                logged_at = time.perf_counter()  # evaluation is not training speed
                watch.add("evaluation", logged_at - evaluating)
            if saves and rank() == 0:
                done.seconds = time.perf_counter() - started
                with watch.part("checkpoint"):
                    save("last")
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


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into equal parts that are worked through one after another.

    Each part takes every ``parts``-th image, so that each begins with its share of the labelled ones.
    """
    if parts == 1:
        return [batch]
    return [Batch(batch.images[i::parts], batch.labels[i::parts], batch.indices[i::parts]) for i in range(parts)]


def describe(e: Experiment) -> dict[str, Any]:
    """Return what rebuilds the model from a checkpoint alone: config, data, facts about the data."""
    from omegaconf import OmegaConf

    return {"config": OmegaConf.to_container(e.config, resolve=True), "data": e.info.to_dict()}


def diverged(value: float, step: int, run: RunDir, what: str = "loss") -> str:
    """Say what to do about a loss or weights that are not numbers."""
    kept = run.checkpoint_file("last")
    saved = f"the last good checkpoint is {kept}" if kept.exists() else "no checkpoint had been written yet"
    return (
        f"the {what} became {value} by step {step}; {saved}; likely causes: optimizer.lr too high, schedule.warmup too "
        "short; try a third of the learning rate, trainer.clip_grad=1 or trainer.precision=fp32"
    )
