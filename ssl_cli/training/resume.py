"""Resume a run: with its own config, from its newest sound checkpoint, on the same data."""

from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ssl_cli.config.chosen import moved_along, moved_root
from ssl_cli.config.elsewhere import resumed_trackers
from ssl_cli.config.overrides import difference, flat, listed
from ssl_cli.config.schema import RESUMABLE
from ssl_cli.config.stored import stored_config
from ssl_cli.errors import UserError
from ssl_cli.runs.directory import RunDir

FREE = (*RESUMABLE, "resume", "trusted_modules")  # what the checkpoint need not agree with
BESIDE = ("launcher", "tracker")  # groups that change nothing of what is learned


def resumed_config(run_dir: RunDir, config: DictConfig) -> DictConfig:
    """Return the run's own config with what was typed beside ``resume=``.

    Raises:
        UserError: something typed would make the result neither this run nor another; names each such setting.
    """
    saved = run_dir.config
    own = flat(OmegaConf.to_container(saved))
    typed = flat(OmegaConf.to_container(config, resolve=True))
    refused: list[str] = []
    keys = [item.lstrip("+~").split("=")[0].split("@")[-1] for item in HydraConfig.get().overrides.task]
    for key in keys:
        if key in ("resume", "trusted_modules") or key.split(".")[0] in BESIDE:
            continue
        if key in RESUMABLE:
            OmegaConf.update(saved, key, typed.get(key), force_add=True)
            continue
        names = [key] if key in own or key in typed else [k for k in {**own, **typed} if k.startswith(f"{key}.")]
        if f"{key}._target_" in own and own[f"{key}._target_"] == typed.get(f"{key}._target_"):
            names = []  # the group as it was; what the run has set in it stays
        elif not names:  # an experiment, say: whatever it changes
            names = [*own, *typed]
        names = [name for name in dict.fromkeys(names) if not is_free(name)]
        refused += difference(*({name: side.get(name) for name in names} for side in (own, typed)))
    if "dataset.root" not in keys:
        saved.dataset = moved_root(OmegaConf.to_container(saved.dataset), run_dir.env)
    elif own.get("dataset.root") is not None:
        saved.dataset = moved_along(OmegaConf.to_container(saved.dataset), own["dataset.root"])
    if refused:
        raise UserError(
            f"resume={run_dir.path} goes on with what the run was, and the result would be neither: "
            f"{listed(dict.fromkeys(refused))}; leave that out, or start a new run without resume "
            f"(what may change: {', '.join(RESUMABLE)})"
        )
    trackers = (OmegaConf.to_container(node.tracker) if node.get("tracker") else None for node in (saved, config))
    OmegaConf.update(saved, "tracker", resumed_trackers(*trackers, keys), merge=False, force_add=True)
    OmegaConf.update(saved, "trusted_modules", list(config.trusted_modules), force_add=True)  # this user's
    return stored_config(OmegaConf.to_container(saved), run_dir.path / "config.yaml", config.trusted_modules)


def is_free(name: str) -> bool:
    """Return whether a setting, by its dotted name, need not agree with the checkpoint."""
    return name in FREE or name.split(".")[0] in BESIDE


def longer(run_dir: RunDir, config: DictConfig) -> bool:
    """Return whether the user asks for another length of training than the run had."""
    length = ("trainer.epochs", "trainer.max_steps")
    return any(OmegaConf.select(run_dir.config, key) != OmegaConf.select(config, key) for key in length)


def resumed_state(run_dir: RunDir, config: DictConfig, writes: bool = True) -> dict:
    """Load the checkpoint to resume from, and check that it belongs to this run.

    Args:
        run_dir: of the run.
        config: of the run, with what was typed beside ``resume=``.
        writes: whether this process may change the run: then a damaged ``last.pt`` is put aside.

    Raises:
        UserError: no checkpoint is sound, or it was trained with another config.
    """
    from ssl_cli.runs import checkpoint

    file, state, problems = checkpoint.newest_sound(run_dir.checkpoint_file().parent)
    if file != run_dir.checkpoint_file():
        for line in (*problems, f"going on from {file} instead, step {state['progress']['step']}"):
            if writes:
                run_dir.log(line)
            print(line)
        # Else the next save would put it in the place of the sound one.
        if run_dir.checkpoint_file().is_file() and writes:
            run_dir.checkpoint_file().rename(run_dir.checkpoint_file().with_suffix(".damaged"))
    saved = stored_config(state["config"], file, config.get("trusted_modules", []))  # with what older runs do not name
    then, now = (flat(OmegaConf.to_container(node, resolve=True)) for node in (saved, config))
    names = [name for name in {**then, **now} if not is_free(name)]
    names.sort(key=lambda name: name.split(".")[0] not in ("method", "backbone"))  # most telling first
    if differing := difference(*({name: side.get(name) for name in names} for side in (then, now))):
        raise UserError(
            f"{run_dir.path / 'config.yaml'} is not what {file.name} was trained with, and the result would be "
            f"neither: {listed(differing)}; write the old values back, or start a new run"
        )
    return state


def check_resumable(state: dict, experiment: Any) -> None:
    """Raise ``UserError`` if a checkpoint was trained on other data, or longer, than the experiment is to be."""
    config = experiment.config
    for key, (before, now) in experiment.info.differing(state["data"]).items():
        if not (key == "name" and config.dataset.get("root") is not None):
            raise UserError(
                f"the data changed since the run started: {key} was {before}, is {now}; bring the same "
                f"{experiment.data.noun}s back, or start a new run"
            )
    if state["progress"]["step"] > experiment.total_steps:
        raise UserError(
            f"the run has done {state['progress']['step']} steps, more than the {experiment.total_steps} asked for; "
            "write a larger trainer.epochs"
        )


def tell_of_changes(run_dir: RunDir, config: DictConfig) -> None:
    """Print the settings that a resumed run changes, and write them to its config."""
    before, now = flat(OmegaConf.to_container(run_dir.config)), flat(OmegaConf.to_container(config))
    for line in difference({key: before.get(key) for key in now}, now):
        run_dir.log(f"changed: {line}")
        print(f"changed: {line}")
    run_dir.write_config(config)


def tell_of_ranks(run_dir: RunDir, ranks: int) -> None:
    """Print what may differ when a run resumes with another number of ranks."""
    if (before := run_dir.env.get("ranks", 1)) == ranks:
        return
    line = (
        f"{ranks} ranks go on where {before} were: the same batches, but changed by other random "
        "draws, and sums are rounded in another order, so the weights will not be those of an unbroken run"
    )
    run_dir.log(line)
    print(line)
    run_dir.write("env.json", {**run_dir.env, "ranks": ranks})
