"""``ssl pick``: the inputs to label next, as a list, as tasks of a labelling tool, and on a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ssl_cli.commands.predict import predictor_of
from ssl_cli.config.compose import run_app
from ssl_cli.config.kinds import IMAGE
from ssl_cli.config.words import command
from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.pick.label_studio import interface, tasks
from ssl_cli.pick.table import ENDINGS, Picked, as_csv, check_out, written
from ssl_cli.runs.catalog import checkpoint_file, run_of, unused_path

STRATEGIES = ("typical", "coverage", "uncertain", "random")


def main(args: Sequence[str]) -> int:
    """Compose the config and run the command. Returns the exit status."""
    return run_app("pick", args, run)


def run(config: DictConfig) -> int:
    """Write a list of inputs to label, and a page of them. Returns 0."""
    file = checkpoint_file(config.ckpt)
    check(config)

    from ssl_cli.pick.run import to_label
    from ssl_cli.pick.strategies import Pool
    from ssl_cli.setup.restore import open_model, with_data

    rebuilt, device = open_model(file, config)
    trained = with_data(file, rebuilt, device, config, list(HydraConfig.get().overrides.task))
    if trained.note:
        print(trained.note)
    noun = trained.data.noun
    if config.to == "label_studio" and trained.data.kind != IMAGE:
        raise UserError(f"to=label_studio is for images; this run was trained on {noun}s: write to=csv")
    if config.to == "label_studio" and not trained.data.files:
        raise UserError(f"Label Studio shows files, and the {noun}s of {trained.data.name} are in none; write to=csv")
    pool, predictor = Pool.of(trained.data.splits["train"], trained.labelled, config.seed, config.images), None
    pool.check(config.n, noun)
    if len(rebuilt.info.classes) > 1 and rebuilt.info.labelled:
        predictor, _ = predictor_of(file, rebuilt, device, config, trained if config.dataset is None else None)
    found = to_label(trained, pool, config.strategy, config.n, config.seed, predictor)
    out = Path(config.out) if config.out is not None else default_out(file, config)
    write(out, config, trained, predictor, pool, *found)
    return 0


def check(config: DictConfig) -> None:
    """Raise ``UserError`` for what is wrong before anything heavy is imported."""
    for key, known in (("strategy", STRATEGIES), ("to", tuple(ENDINGS))):
        if config[key] not in known:
            raise UserError(f"{key}={config[key]} is not one of {', '.join(known)}{did_you_mean(config[key], known)}")
    if config.dataset is not None:
        parse_budget(str(config.dataset.labels))
    if config.out is not None:
        check_out(Path(config.out), config.to)


def default_out(checkpoint: Path, config: DictConfig) -> Path:
    """Return a file that is not there yet, nor what is written beside it, in the run that the checkpoint is of."""
    beside = [file.suffix for file in written(Path("x"), config.to)[1:]]
    return unused_path(checkpoint, "picked", f"{config.strategy}-{config.n}{ENDINGS[config.to]}", beside)


def write(
    out: Path, config: DictConfig, trained: Any, predictor: Any, pool: Any, at: Any, picked: Sequence[Picked]
) -> None:
    """Write the list, its page and what a labelling tool needs, and print where they are."""
    from ssl_cli.report.pick_page import pick_page, seen_by_people
    from ssl_cli.system.atomic import replace

    by = None if predictor is None else "its own classifier" if predictor.name == "classifier" else predictor.name
    listed = as_csv(picked) if config.to == "csv" else tasks(picked, config.prefix, trained.config.name)
    noun = trained.data.noun
    facts = {
        "run": trained.file,
        "strategy": config.strategy,
        "picked from": f"{len(pool.free):,} {noun}s without a label",
        "with a label": f"{len(pool.known):,}",
        "seed": config.seed,
        "guesses by": by,
    }
    images = seen_by_people(trained.data, at.tolist())
    classes = trained.data.classes or trained.info.classes
    contents = [listed, pick_page(trained.data.name, facts, picked, images, noun).encode(), interface(classes)]
    files = written(out, config.to)
    check_out(out, config.to)  # once more: computing took its time
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for file, content in zip(files, contents, strict=False):
            replace(file, content)
    except OSError as error:
        raise UserError(f"cannot write {error.filename or out}: {error.strerror}; write out=FILE elsewhere") from error
    print(f"{len(picked):,} of {len(pool.free):,} {noun}s without a label in train of {trained.data.name}")
    for what, file in zip((f"{noun}s to label", "look", "interface"), files, strict=False):
        print(f"{what}: {file}")
    if trained.data.files and "labels_file" in trained.node and config.dataset is None and config.to == "csv":
        run = run_of(trained.file) or trained.file
        then = command("ssl", "train", "method=frozen", init=run, **{"dataset.labels_file": out})
        print(f"fill in the column label, then: {then}")
