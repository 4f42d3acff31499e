"""Do a job in this process: train, measure on the test split once, print the table."""

import contextlib
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ssl_cli.config.stored import blaming_config
from ssl_cli.config.words import command
from ssl_cli.errors import RunError, UserError, is_of_disk
from ssl_cli.runs.catalog import read_json
from ssl_cli.runs.directory import ReadOnlyRunDir, RunDir, resume_command
from ssl_cli.runs.environment import environment
from ssl_cli.runs.job import Job
from ssl_cli.runs.lock import RunLock
from ssl_cli.system.memory import keep_freed_memory
from ssl_cli.system.signals import StopRequest, exit_status
from ssl_cli.training.resume import check_resumable, resumed_state, tell_of_changes, tell_of_ranks


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
    from ssl_cli.backbones.foreign.origin import Origin
    from ssl_cli.distributed.group import first_alone, rank, world_size
    from ssl_cli.setup.own_inputs import check_same_files, files_by_split, kept_splits
    from ssl_cli.setup.plan import plan
    from ssl_cli.setup.prepare import prepare  # torch comes in here

    run_dir = RunDir(Path(job.target)) if job.resume else None
    with contextlib.ExitStack() as held:
        writes = rank() == 0 and not config.trainer.dry_run
        if run_dir is not None and writes:
            held.enter_context(RunLock(run_dir.path))
            run_dir.clean()
        with first_alone():
            resumable = run_dir is not None and any(run_dir.checkpoint_file().parent.glob("*.pt"))
            resumed = resumed_state(run_dir, config, writes) if resumable else None
            with blaming_config(run_dir.path / "config.yaml") if run_dir else contextlib.nullcontext():
                labels = read_json(run_dir.path / "labels.json") if resumable else None
                experiment = prepare(config, resuming=resumable, kept=labels)
            if resumed:
                check_resumable(resumed, experiment)
                experiment.method.backbone.origin = Origin.from_dict(resumed.get("weights"))
                if experiment.data.files:
                    kept, test_root = kept_splits(run_dir.path), config.dataset.get("test_root")
                    check_same_files(experiment.data, config.dataset.root, kept, test_root)
        for term, value in plan(experiment, job.target):
            print(f"{term:>17}  {value}")
        if config.trainer.dry_run:
            print("dry run: nothing was trained or written")
            return 0
        if rank() > 0:
            return train_and_measure(experiment, ReadOnlyRunDir(Path(job.target)), resumed, job, stop)
        if run_dir is None:
            run_dir = RunDir.create(Path(job.target), config, chosen_by_user=job.chosen)
            held.enter_context(RunLock(run_dir.path))
            env = {"device": str(experiment.device), "ranks": world_size(), "launch": job.launched}
            run_dir.write("env.json", {**environment(), **env})
            run_dir.write("labels.json", budget_record(experiment))
            for name, content in experiment.data.kept().items():
                run_dir.write(name, content)
        else:
            run_dir.log(f"resumed at step {resumed['progress']['step'] if resumed else 0}")
            tell_of_changes(run_dir, config)
            tell_of_ranks(run_dir, world_size())
        if experiment.data.files and kept_splits(run_dir.path) is None:
            places = config.dataset.root, config.dataset.get("test_root")
            run_dir.write("splits.json", files_by_split(experiment.data, *places))
        created(run_dir.path)
        return train_and_measure(experiment, run_dir, resumed, job, stop)


def train_and_measure(experiment: Any, run_dir: RunDir, resumed: dict | None, job: Job, stop: StopRequest) -> int:
    """Fit, then let rank 0 score the test split; ``summary.json`` tells at any time which state the run is in."""
    from ssl_cli.system.terminal import say
    from ssl_cli.training.metrics import Metrics, files
    from ssl_cli.training.trackers.chosen import start

    def tell(line: str) -> None:
        run_dir.log(line)
        say(line)

    writers, trackers, step = files(run_dir), [], resumed["progress"]["step"] if resumed else 0
    if writers:
        sweep = Path(job.target).parent if job.again else None
        trackers = start(run_dir, job.config, sweep, step, writers[0].rows(step), tell)
    with Metrics([*writers, *trackers]) as metrics:
        return fit_and_score(experiment, run_dir, resumed, job, stop, metrics, tell)


def fit_and_score(
    experiment: Any,
    run_dir: RunDir,
    resumed: dict | None,
    job: Job,
    stop: StopRequest,
    metrics: Any,
    tell: Callable[[str], None],
) -> int:
    """Do what `train_and_measure` says; tell the metrics how it ends."""
    from ssl_cli.backbones.adapt import merge
    from ssl_cli.distributed import group
    from ssl_cli.probes.measure import measure
    from ssl_cli.system.device import quick_products
    from ssl_cli.training.loop import fit

    summary = first_summary(experiment, run_dir, job.overrides)
    try:
        run_dir.write("summary.json", summary)
        run_dir.path = Path(group.wait_for_first(str(run_dir.path)))
        if job.enters:
            os.chdir(run_dir.path)
        with stop, quick_products(experiment.device):
            state = fit(experiment, run_dir, resumed, stop, metrics)
        rank = group.rank()
        group.leave()
        summary |= how_it_went(experiment, state)
        if stop.requested or state.step < experiment.total_steps:
            why, metrics.state = (
                f"at step {state.step} of {experiment.total_steps} by {stop.reason}; saved",
                "interrupted",
            )
            interrupted(experiment, run_dir, summary, why)
            return stop.status
        if rank > 0:
            return 0
        merge(experiment.method)
        with stop.at_once():
            measurement = measure(experiment, tell, run_dir.path)
        measurement.write_predictions(run_dir.path / "predictions.npz")
        summary["results"] = measurement.rows
        speed = measurement.images_per_second
        summary["backbone"]["images_per_second"] = speed and round(speed, 1)
        metrics.results(state.step, measurement.rows)
        run_dir.write("summary.json", {**summary, "state": "finished"})
        metrics.state = "finished"
    except KeyboardInterrupt as error:
        metrics.state = "interrupted"
        interrupted(experiment, run_dir, summary, f"at once by {str(error) or 'SIGINT'}")
        return exit_status(error)
    except BaseException as error:
        error = failed(experiment, run_dir, summary, error)
        raise error
    conclude(experiment, run_dir, summary["results"], state.seconds)
    if state.collapsed:
        print("the embedding has collapsed: see the warning above")
    return 0


def first_summary(experiment: Any, run_dir: RunDir, overrides: list[str]) -> dict[str, Any]:
    """Return ``summary.json`` as it is when training begins."""
    config, more = experiment.config, experiment.propagated
    return {
        "state": "running",
        "pid": os.getpid(),  # `ssl runs` asks whether it still lives
        "host": platform.node(),
        "method": config.name,
        "dataset": experiment.data.name,
        "labels": str(config.dataset.labels),
        "seed": config.seed,
        "splits": experiment.info.splits,
        "backbone": about_backbone(experiment),
        "pseudo_labels": more and more.summary(experiment.data),
        "overrides": run_dir.summary.get("overrides", []) + overrides,
        "results": [],
    }


def about_backbone(experiment: Any) -> dict[str, Any]:
    """Return what ``summary.json`` says of the network that is kept, and of the weights that it started from."""
    from ssl_cli.probes.measure import backbone_name

    measured, origin = experiment.method.measured, experiment.method.backbone.origin
    return {
        "name": backbone_name(experiment.config),
        "parameters": sum(p.numel() for p in measured.parameters()),
        "input": experiment.info.shape,
        "images_per_second": None,  # known when the features were computed
        "weights": origin.to_dict() if origin is not None else None,
    }


def how_it_went(experiment: Any, state: Any) -> dict[str, Any]:
    """Return what ``summary.json`` says of the training itself."""
    from ssl_cli.system.memory import peak_memory

    seen = state.step * experiment.config.trainer.batch_size
    return {
        "seconds": round(state.seconds, 3),
        "processor_seconds": round(state.processor_seconds, 3),
        "images_per_second": round(seen / max(state.seconds, 1e-9), 1),
        "steps": state.step,
        "images_seen": seen,
        "seconds_per_step": round(state.step_seconds, 5),
        "data_wait_share": round(state.data_share, 4),
        "peak_memory_mb": round(peak_memory() / 2**20, 1),
        "epochs": round(state.step / experiment.steps_per_epoch, 4),
        "best_val_knn": state.best_knn if state.best_knn >= 0 else None,
        "collapsed": state.collapsed,
    }


def interrupted(experiment: Any, run_dir: RunDir, summary: dict[str, Any], why: str) -> None:
    """Record that the run was stopped, and print what goes on with it."""
    with contextlib.suppress(OSError):
        run_dir.write("summary.json", {**summary, "state": "interrupted"})
    print(f"stopped {why}. To go on:\n  {resume_command(run_dir, experiment.config)}")


def failed(experiment: Any, run_dir: RunDir, summary: dict[str, Any], error: BaseException) -> BaseException:
    """Record a failure as far as the disk lets it, and return the error to raise: one that the user can act on."""
    if isinstance(error, OSError) and not run_dir.path.is_dir():
        error = RunError(f"{run_dir.path} is gone: it was removed or moved away during the run")
    elif isinstance(error, OSError) and is_of_disk(error):
        then = f"what was saved is whole; when there is room, go on with: {resume_command(run_dir, experiment.config)}"
        error = RunError(f"cannot write to {run_dir.path}: {error.strerror}; {then}")
    message = str(error) if isinstance(error, (RunError, UserError)) else f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        run_dir.write("summary.json", {**summary, "state": "failed", "error": message})
        run_dir.log(f"failed: {message}")
    return error


def conclude(experiment: Any, run_dir: RunDir, results: list[dict], seconds: float) -> None:
    """Print what was learned, where it is, and what to type next."""
    from rich.console import Console

    from ssl_cli.compare.table import print_table
    from ssl_cli.compare.verdict import verdict
    from ssl_cli.probes.measure import backbone_name
    from ssl_cli.system.terminal import clock

    noun = experiment.data.noun
    if results:
        print_table(results, Console(), backbone_name(experiment.config), noun)
        count = len(experiment.data.splits["test"])
        if experiment.propagated is not None:
            print(propagated_line(experiment.propagated.summary(experiment.data), len(experiment.labelled)))
        print(f"scored once, on {count:,} test {noun}s; ± is the deviation over draws of the labels")
    elif experiment.info.classes:
        print(f"No test {noun} has a label ({experiment.data.how_to_test}), so nothing was measured.")
    else:
        print(f"The {noun}s have no labels, so nothing was measured: no kNN, no linear probe.")
    done = f"trained in {clock(seconds)}" if experiment.total_steps else "nothing was trained"
    print(f"{done}; run: {run_dir.path}")
    own = {} if results else experiment.data.labelled_like_it
    print(f"next: {command('ssl', 'probe', ckpt=run_dir.path, probe='linear', **own)}")
    print(f"look: {command('ssl', 'report', run_dir.path)}")
    if sentence := verdict(run_dir.path, results):
        print(sentence)


def propagated_line(labels: dict[str, Any], human: int) -> str:
    """Return one line that says with which labels a model was trained."""
    right = "" if labels["right"] is None else f", of which {100 * labels['right']:.1f} % are right"
    return (
        f"trained on {human:,} human labels and {labels['images']:,} propagated ones of a confidence of "
        f"{labels['min_confidence']:g} or more{right}"
    )


def budget_record(experiment: Any) -> dict[str, Any]:
    """Return which train inputs' labels were known, so that every method compared can see the same."""
    from ssl_cli.data.labels import fingerprint

    node, labelled = experiment.config.dataset, experiment.labelled
    return {
        "labels": str(node.labels),
        "label_seed": node.label_seed,
        "fingerprint": fingerprint(labelled),
        "positions": labelled.tolist(),
    } | ({} if experiment.propagated is None else {"propagated": experiment.propagated.record()})
