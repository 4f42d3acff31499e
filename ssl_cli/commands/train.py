"""``ssl train``: a config becomes a run directory with a trained, measured representation."""

import contextlib
import os
import platform
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ssl_cli import config as cfg
from ssl_cli import launch
from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import RunError, UserError, is_of_disk
from ssl_cli.launch import Job
from ssl_cli.lock import RunLock
from ssl_cli.memory import keep_freed_memory
from ssl_cli.resume import (
    check_resumable,
    longer,
    resume_command,
    resumed_config,
    resumed_state,
    tell_of_changes,
    tell_of_ranks,
)
from ssl_cli.rundir import RunDir, Unwritten, environment
from ssl_cli.runs import checkpoint_file
from ssl_cli.schedule import parse_duration
from ssl_cli.signals import StopRequest, exit_status, parse_time
from ssl_cli.stored import building


def run(config: DictConfig) -> int:
    """Train, evaluate on the test split once, print the table. Returns the exit status."""
    launcher = config.get("launcher")
    run_dir = RunDir.open(config.resume) if config.resume else None
    if run_dir is not None:
        config = resumed_config(run_dir, config)
        if run_dir.summary.get("state") == "finished" and not longer(run_dir, config):
            print(f"{run_dir.path} is finished; nothing to do. To train longer: add trainer.epochs=N")
            return 0
    hydra_config = HydraConfig.get()
    if config.init is not None and run_dir is None:
        config = with_init(config)
    check(config)
    if hydra_config.mode == RunMode.MULTIRUN and launch.adopted():
        raise UserError("the ranks of torchrun or srun do one run together; for a sweep: ssl train -m launcher=NAME")
    chosen = any("run.dir=" in item for item in hydra_config.overrides.hydra)
    target = run_dir.path if run_dir else shown(Path(hydra_config.runtime.output_dir))
    plain = OmegaConf.to_container(config, resolve=True)
    plain["launcher"] = None  # where a run was made is not what it is
    job = Job(
        config=plain,
        target=str(target),
        chosen=chosen and run_dir is None,
        overrides=list(hydra_config.overrides.task),
        resume=run_dir is not None,
        again=hydra_config.mode == RunMode.MULTIRUN,
    )
    return launch.later(job, launcher) if launcher is not None else launch.run(job)


def execute(job: Job, created: Callable[[Path], None] = lambda path: None) -> int:
    """Do a job in this process, alone or as one of several ranks. Returns the exit status.

    Args:
        job: what to do.
        created: gets the directory of a new run.
    """
    config = OmegaConf.create(job.config)
    stop = StopRequest(config.trainer.max_time)
    if config.trainer.keep_memory:
        keep_freed_memory()
    from ssl_cli.distributed import first_alone, rank, world_size
    from ssl_cli.setup import plan, prepare  # torch comes in here

    run_dir = RunDir(Path(job.target)) if job.resume else None
    with contextlib.ExitStack() as held:
        writes = rank() == 0 and not config.trainer.dry_run
        if run_dir is not None and writes:
            held.enter_context(RunLock(run_dir.path))
            run_dir.clean()
        with first_alone():
            resumable = run_dir is not None and any(run_dir.checkpoint_file().parent.glob("*.pt"))
            resumed = resumed_state(run_dir, config, writes) if resumable else None
            with building(run_dir.path / "config.yaml") if run_dir else contextlib.nullcontext():
                experiment = prepare(config, resuming=resumable)
            if resumed:
                check_resumable(resumed, experiment)
        for term, value in plan(experiment, job.target):
            print(f"{term:>17}  {value}")
        if config.trainer.dry_run:
            print("dry run: nothing was trained or written")
            return 0
        if rank() > 0:
            return train_and_measure(experiment, Unwritten(Path(job.target)), resumed, job.overrides, stop)
        if run_dir is None:
            run_dir = RunDir.create(Path(job.target), config, chosen_by_user=job.chosen)
            held.enter_context(RunLock(run_dir.path))
            env = {"device": str(experiment.device), "ranks": world_size(), "launch": launch.recorded_launch()}
            run_dir.write("env.json", {**environment(), **env})
            run_dir.write("labels.json", budget_record(experiment))
        else:
            run_dir.log(f"resumed at step {resumed['progress']['step'] if resumed else 0}")
            tell_of_changes(run_dir, config)
            tell_of_ranks(run_dir, world_size())
        created(run_dir.path)
        return train_and_measure(experiment, run_dir, resumed, job.overrides, stop)


def check(config: DictConfig) -> None:
    """Raise ``UserError`` for what can be seen to be wrong without torch."""
    from ssl_cli.cli import conf_dir

    user_dirs = [Path(s.path.removeprefix("file://")) for s in HydraConfig.get().runtime.config_sources if s.path]
    cfg.check_fit(config, [*user_dirs, conf_dir()])
    parse_budget(str(config.dataset.labels))
    if config.trainer.batch_size % config.trainer.accumulate:
        raise UserError(
            f"trainer.batch_size={config.trainer.batch_size} is not a multiple of "
            f"trainer.accumulate={config.trainer.accumulate}"
        )
    if "warmup" in config.schedule:
        parse_duration(str(config.schedule.warmup), 1, 1)
    if config.trainer.get("max_time") is not None:
        parse_time(config.trainer.max_time)
    root = config.dataset.get("root")
    if root is not None and not Path(str(root)).exists() and not config.dataset.get("download", False):
        raise UserError(f"dataset.root={root} does not exist; write dataset.root=DIR with the directory of the images")


def with_init(config: DictConfig) -> DictConfig:
    """Return the config with what ``init=RUN`` brings; what cannot be one is refused before torch is imported."""
    config = config.copy()
    config.init = str(checkpoint_file(str(config.init), "init"))
    hydra_config = HydraConfig.get()
    typed = list(hydra_config.overrides.task)
    chosen = {item.lstrip("+~").split("=")[0].split("@")[0] for item in typed}
    if hydra_config.runtime.choices.get("experiment"):
        chosen |= {"dataset", "backbone", "augment"}

    from ssl_cli.initial import initialised

    return initialised(config, typed, chosen)


def train_and_measure(
    experiment: Any, run_dir: RunDir, resumed: dict | None, overrides: list[str], stop: StopRequest
) -> int:
    """Fit, then let rank 0 score the test split; ``summary.json`` tells at any time which state the run is in."""
    from ssl_cli import distributed
    from ssl_cli.device import quick_products
    from ssl_cli.measure import measure
    from ssl_cli.memory import peak_memory
    from ssl_cli.progress import say
    from ssl_cli.trainer import fit

    config = experiment.config
    images = config.trainer.batch_size

    def tell(line: str) -> None:
        run_dir.log(line)
        say(line)

    summary: dict[str, Any] = {
        "state": "running",
        "pid": os.getpid(),  # `ssl runs` asks whether it still lives
        "host": platform.node(),
        "method": config.name,
        "dataset": experiment.data.name,
        "labels": str(config.dataset.labels),
        "seed": config.seed,
        "splits": experiment.info.splits,
        "overrides": run_dir.summary.get("overrides", []) + overrides,
        "results": [],
    }

    def interrupted(why: str) -> None:
        with contextlib.suppress(OSError):
            run_dir.write("summary.json", {**summary, "state": "interrupted"})
        print(f"stopped {why}. To go on:\n  {resume_command(run_dir, config)}")

    try:
        run_dir.write("summary.json", summary)
        run_dir.path = Path(distributed.wait_for_first(str(run_dir.path)))
        with stop, quick_products(experiment.device):
            done = fit(experiment, run_dir, resumed, stop)
        rank = distributed.rank()
        distributed.leave()
        summary |= {
            "seconds": round(done.seconds, 3),
            "images_per_second": round(done.step * images / max(done.seconds, 1e-9), 1),
            "steps": done.step,
            "images_seen": done.step * images,
            "seconds_per_step": round(done.step_seconds, 5),
            "data_wait_share": round(done.data_share, 4),
            "peak_memory_mb": round(peak_memory() / 2**20, 1),
            "epochs": round(done.step / experiment.steps_per_epoch, 4),
            "best_val_knn": done.best_knn if done.best_knn >= 0 else None,
            "collapsed": done.collapsed,
        }
        if stop.requested or done.step < experiment.total_steps:
            interrupted(f"at step {done.step} of {experiment.total_steps} by {stop.reason}; saved")
            return stop.status
        if rank > 0:
            return 0
        with stop.at_once():
            measured = measure(experiment, tell)
        measured.write_predictions(run_dir.path / "predictions.npz")
        summary["results"] = measured.rows
        run_dir.write("summary.json", {**summary, "state": "finished"})
    except KeyboardInterrupt as error:
        interrupted(f"at once by {str(error) or 'SIGINT'}")
        return exit_status(error)
    except BaseException as error:
        if isinstance(error, OSError) and not run_dir.path.is_dir():
            error = RunError(f"{run_dir.path} is gone: it was removed or moved away during the run")
        elif isinstance(error, OSError) and is_of_disk(error):
            later = f"what was saved is whole; when there is room, go on with: {resume_command(run_dir, config)}"
            error = RunError(f"cannot write to {run_dir.path}: {error.strerror}; {later}")
        message = str(error) if isinstance(error, (RunError, UserError)) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            run_dir.write("summary.json", {**summary, "state": "failed", "error": message})
            run_dir.log(f"failed: {message}")
        raise error
    conclude(experiment, run_dir, summary["results"], done.seconds)
    if done.collapsed:
        print("the embedding has collapsed: see the warning above")
    return 0


def conclude(experiment: Any, run_dir: RunDir, results: list[dict], seconds: float) -> None:
    """Print what was learned, where it is, and what to type next."""
    from rich.console import Console

    from ssl_cli.measure import backbone_name
    from ssl_cli.progress import clock
    from ssl_cli.report.table import print_table

    if results:
        print_table(results, Console(), backbone_name(experiment.config))
        images = len(experiment.data.splits["test"])
        print(f"scored once, on {images:,} test images; ± is the deviation over draws of the labels")
    elif experiment.info.classes:
        print("No test image has a label (dataset.test_fraction, or the folder test/), so nothing was measured.")
    else:
        print("The images have no labels, so nothing was measured: no kNN, no linear probe.")
    print(f"trained in {clock(seconds)}; run: {run_dir.path}")
    own = "" if results else " dataset=folder dataset.root=LABELLED_DIR"
    print(f"next: ssl probe ckpt={shlex.quote(str(run_dir.path))} probe=linear{own}")
    print(f"look: ssl report {shlex.quote(str(run_dir.path))}")


def budget_record(experiment: Any) -> dict[str, Any]:
    """Return which train images' labels were known, so that every method compared can see the same."""
    from ssl_cli.data.labels import fingerprint

    node, labelled = experiment.config.dataset, experiment.labelled
    return {
        "labels": str(node.labels),
        "label_seed": node.label_seed,
        "fingerprint": fingerprint(labelled),
        "positions": labelled.tolist(),
    }


def shown(path: Path) -> Path:
    """Return the path relative to the working directory where it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
