"""``ssl train``: a config becomes a run directory with a trained, measured representation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ssl_cli.backbones.foreign.named import check_named
from ssl_cli.compare.sweep import show_sweep
from ssl_cli.config.build import instantiate
from ssl_cli.config.check import check_fit
from ssl_cli.config.chosen import moved_root
from ssl_cli.config.compose import run_app
from ssl_cli.config.elsewhere import PLACES, is_address
from ssl_cli.config.jobs import Done, searches, sweep_command
from ssl_cli.config.kinds import check_kinds, check_second, kind_of
from ssl_cli.config.paths import composed_from
from ssl_cli.data.budget import parse_budget
from ssl_cli.data.pseudo_labels import find_pseudo_labels
from ssl_cli.errors import UserError
from ssl_cli.launch import place, start
from ssl_cli.optim.schedule import parse_duration
from ssl_cli.probes.scores.protocol import BASELINES
from ssl_cli.runs.catalog import checkpoint_file
from ssl_cli.runs.directory import RunDir, record_failure
from ssl_cli.runs.job import Job
from ssl_cli.system.signals import parse_time
from ssl_cli.system.terminal import shown
from ssl_cli.training.resume import longer, resumed_config
from ssl_cli.training.trackers.chosen import chosen as trackers

PATHS = {  # of a data set, that must be there
    "root": "DIR with the directory of the files",
    "test_root": "DIR with the directory of the test files",
    "labels_file": "FILE.csv with the table of labels",
    "file": "FILE.csv with the texts",
    "tokenizer": "FILE, a tokenizer.json",
}


@dataclass
class Deferred:
    """Jobs that are kept for a launcher: a sweep's jobs are composed and checked before the first one starts."""

    jobs: list[Job] = field(default_factory=list)
    launcher: Any = None  # its settings

    def launch(self) -> int:
        """Let the launcher do the jobs. Returns the exit status: of the first that failed, or 0."""
        if not self.jobs:
            return 0
        statuses = instantiate(self.launcher).launch(self.jobs)
        if self.jobs[0].again:
            directory = Path(self.jobs[0].target).parent
            show_sweep(directory)
            if any(status >= 124 for status in statuses):
                print(f"to go on with the sweep: {sweep_command(directory)}")
        return abs(next((status for status in statuses if status), 0))


def main(args: Sequence[str]) -> int:
    """Compose a config, or each of a sweep, and train. Returns the exit status."""
    deferred = Deferred()

    def compose() -> int:
        status = run_app("train", args, partial(run, deferred), record_failure)
        launched = deferred.launch()  # also where some could not be composed
        return status or launched

    return start.compose_once(compose)


def run(deferred: Deferred, config: DictConfig) -> int | Done:
    """Train, evaluate on the test split once, print the table. Returns how that ended."""
    launcher = config.get("launcher")
    run_dir = RunDir.open(config.resume) if config.resume else None
    if run_dir is not None:
        config = resumed_config(run_dir, config)
        if run_dir.summary.get("state") == "finished" and not longer(run_dir, config):
            more = "" if run_dir.summary.get("steps") == 0 else " To train longer: add trainer.epochs=N"
            print(f"{run_dir.path} is finished; nothing to do.{more}")
            return 0
    hydra_config = HydraConfig.get()
    if config.init is not None and run_dir is None:
        config = with_init(config)
    if config.dataset.get("pseudo_labels") is not None and run_dir is None:
        config = with_pseudo_labels(config)
    if run_dir is None:
        config = with_suggestions(config, typed_and_chosen()[0])
    check(config)
    if run_dir is None and config.name in BASELINES:
        raise UserError(f"name={config.name} is what results call one of the baselines; write another name")
    if run_dir is None and config.backbone.get("weights") is not None:
        config = with_weights(config)
    places = (*PATHS, "cache_dir")
    config = with_absolute_paths(config, places if run_dir else (*places, "targets"))
    if hydra_config.mode == RunMode.MULTIRUN and place.adopted():
        raise UserError("the ranks of torchrun or srun do one run together; for a sweep: ssl train -m launcher=NAME")
    chosen = any("run.dir=" in item for item in hydra_config.overrides.hydra)
    target = run_dir.path if run_dir else shown(Path(hydra_config.runtime.output_dir))
    enters = bool(hydra_config.job.chdir)
    plain = OmegaConf.to_container(config, resolve=True)
    plain["launcher"] = None  # where a run was made is not what it is
    job = Job(
        config=plain,
        target=str(target.absolute() if enters else target),
        chosen=chosen and run_dir is None,
        overrides=list(hydra_config.overrides.task),
        resume=run_dir is not None,
        again=hydra_config.mode == RunMode.MULTIRUN,
        enters=enters,
    )
    if launcher is None:
        status = start.run(job)
        return Done(status, val_accuracy(job) if status == 0 and searches() else None)
    deferred.jobs.append(job)
    deferred.launcher = launcher
    return 0


def val_accuracy(job: Job) -> float | None:
    """Return what a search over settings looks at: the run's best kNN accuracy on val, in [0, 1]; never on test.

    None where there is none, for want of labels.

    Raises:
        UserError: the directory is that of another run, so that this one has got another name.
    """
    run = RunDir(Path(job.target))
    if run.summary and OmegaConf.to_container(run.config) != job.config:
        raise UserError(f"{run.path} holds another run, so the search cannot see this one; write hydra.sweep.dir=NEW")
    return run.summary.get("best_val_knn")


def check(config: DictConfig) -> None:
    """Raise ``UserError`` for what can be seen to be wrong without torch."""
    conf_dirs, choices = composed_from(), HydraConfig.get().runtime.choices if config.resume is None else {}
    has = f"dataset={choices['dataset']} has" if choices and config.init is None else "its data set has"
    parts = {key: config[key] for key in ("method", "pretext", "backbone", "augment", "probes")}
    check_kinds(parts, kind := kind_of(config.dataset), has, conf_dirs, choices)
    check_second({f"probes.{name}": node for name, node in config.probes.items()}, kind)
    check_fit(config, conf_dirs)
    parse_budget(str(config.dataset.labels))
    if config.trainer.batch_size % config.trainer.accumulate:
        raise UserError(
            f"trainer.batch_size={config.trainer.batch_size} is not a multiple of "
            f"trainer.accumulate={config.trainer.accumulate}"
        )
    check_named(config.backbone)
    for duration in (config.schedule.get("warmup", 0), *config.schedule.get("milestones", [])):
        parse_duration(str(duration), 1, 1)
    if config.trainer.get("max_time") is not None:
        parse_time(config.trainer.max_time)
    trackers(OmegaConf.to_container(config, resolve=True))
    for key, what in PATHS.items():
        path = config.dataset.get(key)
        if path is not None and not Path(str(path)).expanduser().exists() and not config.dataset.get("download", False):
            raise UserError(f"dataset.{key}={path} does not exist; write dataset.{key}={what}")


def with_absolute_paths(config: DictConfig, keys: Sequence[str]) -> DictConfig:
    """Return the config with paths that hold from any directory, for a run may be used from another.

    Args:
        config: the composed config.
        keys: of the data set. Of trackers, all places.
    """
    config = config.copy()
    places = [(config.dataset, key) for key in keys]
    places += [(node, key) for node in (config.get("tracker") or {}).values() for key in PLACES]
    for node, key in places:
        if isinstance(path := node.get(key), str) and not is_address(path):
            node[key] = str(Path(path).expanduser().absolute())
    return config


def with_pseudo_labels(config: DictConfig) -> DictConfig:
    """Return the config with the file that ``dataset.pseudo_labels=RUN`` means; what cannot be one is refused early."""
    config, node = config.copy(), config.dataset
    parse_budget(str(node.labels))
    found = find_pseudo_labels(str(node.pseudo_labels), str(node.labels), node.label_seed)
    config.dataset.pseudo_labels = str(found.file.absolute())
    return config


def typed_and_chosen() -> tuple[list[str], set[str]]:
    """Return the overrides of the command line, and the groups that they, or an experiment, choose."""
    typed = list(HydraConfig.get().overrides.task)
    chosen = {item.lstrip("+~").split("=")[0].split("@")[0] for item in typed}
    if HydraConfig.get().runtime.choices.get("experiment"):
        chosen |= {"dataset", "backbone", "augment"}
    return typed, chosen


def with_suggestions(config: DictConfig, typed: Sequence[str]) -> DictConfig:
    """Return the config with what its data set suggests of the trainer (``_trainer_``), where nobody has set it."""
    suggested = config.dataset.get("_trainer_") or {}
    if not suggested or HydraConfig.get().runtime.choices.get("experiment"):
        return config
    config, keys = config.copy(), {item.lstrip("+~").split("=")[0] for item in typed}
    for key, value in suggested.items():
        if f"trainer.{key}" not in keys:
            config.trainer[key] = value
    return config


def with_weights(config: DictConfig) -> DictConfig:
    """Return the config with what belongs to the weights that its backbone starts from."""
    from ssl_cli.setup.weights import with_belongings

    return with_belongings(config, typed_and_chosen()[0], bool(HydraConfig.get().runtime.choices.get("experiment")))


def with_init(config: DictConfig) -> DictConfig:
    """Return the config with what ``init=RUN`` brings; what cannot be one is refused before torch is imported."""
    config = config.copy()
    config.init = str(checkpoint_file(str(config.init), "init"))
    typed, chosen = typed_and_chosen()

    from ssl_cli.setup.initial import initialised

    config = initialised(config, typed, chosen)
    if "dataset" not in chosen:
        env = RunDir(Path(config.init).parent.parent).env
        config.dataset = moved_root(OmegaConf.to_container(config.dataset, resolve=True), env)
    return config
