"""``ssl predict``: an answer for each input, with a probability that can be believed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ssl_cli.config.compose import run_app
from ssl_cli.config.kinds import IMAGE, kind_of
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.predict.table import check_out, columns, write
from ssl_cli.runs.catalog import checkpoint_file, run_of, unused_path
from ssl_cli.system.atomic import write_json

SPLITS = ("all", "train", "val", "test")
SCORE = ".score.json"
LINEAR = "ssl_cli.probes.linear.Linear"  # what names classes where a method has learned none
LIKE_THE_RUN = ("root", "value_range", "max_pixels")  # settings of a folder that can be set; all else is the run's


def main(args: Sequence[str]) -> int:
    """Compose the config and run the command. Returns the exit status."""
    return run_app("predict", args, run)


def run(config: DictConfig) -> int:
    """Write one row an input. Returns 0."""
    typed = list(HydraConfig.get().overrides.task)
    file = checkpoint_file(config.ckpt)
    check(config, typed)

    from ssl_cli.predict.part import Part
    from ssl_cli.predict.run import Tally, answer
    from ssl_cli.predict.score import Score, known_classes, lines
    from ssl_cli.setup.restore import open_model

    rebuilt, device = open_model(file, config)
    noun = rebuilt.info.noun
    predictor, key = predictor_of(file, rebuilt, device, config)
    source = source_of(file, rebuilt, device, config, typed)
    out = Path(config.out) if config.out is not None else default_out(file, source.name, str(config.split))
    least, targets, score = config.min_probability, list(predictor.targets), None
    if config.against is not None:
        if not predictor.classes:
            raise UserError(f"against={config.against} scores classes, and {file} has learned none; leave it out")
        known = known_classes(config.against, source.names(), source.root, noun, source.by_content)
        score = Score(known, predictor.classes)
    with Part(
        out, {"predictor": key, **source.identity(), "columns": columns(bool(predictor.classes), targets)}
    ) as part:
        if part.done:
            print(f"going on after {part.done:,} of {source.count:,} {noun}s: {part.file}")
        try:
            answer(source, rebuilt.method.measured, rebuilt.info, device, predictor, part)
        except KeyboardInterrupt:
            print(f"stopped after {part.done:,} of {source.count:,} {noun}s; the same command goes on: {part.file}")
            raise
        tally, header = Tally(noun), columns(bool(predictor.classes), targets, least is not None)
        rows = tally.counted(
            score.counted(part.rows(), least) if score else part.rows(), bool(predictor.classes), least
        )
        try:
            write(out, header, rows)
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror}; the answers are in {part.file}") from error
        part.remove()
    print(f"{source.count:,} {noun}s of {source.name}, by {_what(predictor)} of {file}")
    for line in tally.lines(predictor, least):
        print(line)
    print(f"predictions: {out}")
    if score and (found := score.result()) is None:
        print(f"not scored: no {noun} that {config.against} has a class of could be read")
    elif score:
        for line in lines(found, config.against, least, noun):
            print(line)
        write_json(score_file(out), {"against": config.against, **found})
        print(f"score: {score_file(out)}")
    return 0


def check(config: DictConfig, typed: Sequence[str]) -> None:
    """Raise ``UserError`` for what is wrong before anything heavy is imported."""
    if config.split not in SPLITS:
        raise UserError(f"split={config.split} is not one of {', '.join(SPLITS)}{did_you_mean(config.split, SPLITS)}")
    if config.out is not None:
        check_out(Path(config.out))
        if config.against is not None and (scored := score_file(Path(config.out))).exists():
            raise UserError(f"{scored} exists; nothing was overwritten: write another out=FILE.csv")
    if config.against not in (None, "folders") and not Path(config.against).expanduser().is_file():
        raise UserError(
            f"against={config.against} is not a file; write against=FILE.csv, with a column of files (or texts) and "
            "one of labels, or against=folders"
        )
    keys = {item.lstrip("+~").split("=")[0] for item in typed}
    if is_folder(config.dataset):
        ignored = sorted(k for k in keys if k.startswith("dataset.") and k.split(".")[1] not in LIKE_THE_RUN)
        if ignored or config.split != "all":
            raise UserError(
                f"{', '.join(ignored) or 'split'} cannot be set: ssl predict takes every image below dataset.root, "
                "stored as the run's images were; leave it out"
            )
    if fitted := sorted(keys & {"probe.labels", "probe.draws"}):
        raise UserError(
            f"{fitted[0]} cannot be set: the probe is fitted on the labels that the run may use; leave it out"
        )


def as_in_the_table(node: dict[str, Any], name: str, run: DictConfig, typed: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of a probe as the run's own table has them, but for those that were typed."""
    measured = (run.get("probes") or {}).get(name)
    if measured is None or measured.get("_target_") != node["_target_"]:
        return node
    keys = {item.lstrip("+~").split("=")[0] for item in typed}
    kept = {key: value for key, value in node.items() if f"probe.{key}" in keys}
    return {**node, **OmegaConf.to_container(measured, resolve=True), **kept}


def is_folder(node: Any) -> bool:
    """Return whether a data set is a folder of the user's own images: these are streamed."""
    return isinstance(node, DictConfig) and "layout" in node and "root" in node and kind_of(node) == IMAGE


def default_out(checkpoint: Path, name: str, split: str) -> Path:
    """Return a file that is not there yet, in the run that the checkpoint is of."""
    parts = [name, *([split] if split != "all" else [])]
    name = "-".join("".join(c if c.isalnum() or c in "._" else "_" for c in part).lstrip(".") for part in parts)
    return unused_path(checkpoint, "predicted", f"{name or 'images'}.csv", (SCORE,))


def score_file(out: Path) -> Path:
    """Return the file beside a table that has its score."""
    return out.with_suffix(SCORE)


def predictor_of(file: Path, rebuilt: Any, device: Any, config: DictConfig, trained: Any = None) -> tuple[Any, str]:
    """Return what answers, and its name: as kept in the run, or fitted on the run's own inputs and then kept there.

    Args:
        file: the checkpoint.
        rebuilt: its model.
        device: where that is.
        config: of the command.
        trained: the model with the run's own inputs; None: they are read if they are needed.
    """
    from ssl_cli.predict import keep
    from ssl_cli.predict.fit import fit
    from ssl_cli.predict.predictor import OwnClassifier
    from ssl_cli.setup.restore import with_data

    classifier, nodes = OwnClassifier(rebuilt.method, device), fitted_probes(rebuilt.config, config.probe)
    only_numbers = all(map(is_regression, nodes.values()))
    own = only_numbers and classifier.exists
    if rebuilt.info.classes and only_numbers and not own:
        nodes["linear"] = as_in_the_table({"_target_": LINEAR}, "linear", rebuilt.config) | {"labels": ["all"]}
    name, run_dir = keep.name_of(rebuilt, nodes, own), run_of(file)
    kept = run_dir and run_dir / "heads" / f"{name}.npz"
    if kept and (found := keep.read(kept, classifier)) is not None:
        print(f"fitted before: {kept}")
        return found, name
    from ssl_cli.config.build import instantiate

    probes = {name: instantiate(node) for name, node in nodes.items()}
    if trained is None:
        trained = with_data(file, rebuilt, device, OmegaConf.merge(config, {"dataset": None}))
        if trained.note:
            print(trained.note)
    predictor = fit(trained, probes, own, print)
    if kept:
        try:
            keep.write(kept, predictor)
            print(f"fitted on the labels of the run, and kept: {kept}")
        except OSError as error:
            print(f"note: what was fitted is not kept: cannot write {kept}: {error.strerror}")
    return predictor, name


def fitted_probes(run: DictConfig, chosen: DictConfig | None) -> dict[str, dict[str, Any]]:
    """Return the settings of the probes to fit: the one that was chosen, and the regressions that the run learned.

    All are fitted once, at the run's own label budget.
    """
    nodes: Mapping[str, Any] = OmegaConf.to_container(run.probes, resolve=True) if run.get("probes") else {}
    nodes = {name: node for name, node in nodes.items() if is_regression(node)}
    if chosen is not None:
        node = OmegaConf.to_container(chosen, resolve=True)
        hydra = HydraConfig.get() if HydraConfig.initialized() else None
        name = str((hydra and hydra.runtime.choices.get("probe")) or "probe")
        node = as_in_the_table(node, name, run, hydra.overrides.task if hydra else ())
        nodes = {**({} if is_regression(node) else nodes), name: node}
    return {name: {**node, **({"labels": ["all"]} if "labels" in node else {})} for name, node in nodes.items() if node}


def is_regression(node: Any) -> bool:
    """Return whether a probe predicts numbers."""
    return isinstance(node, Mapping) and str(node.get("_target_", "")).endswith(".Regression")


def source_of(file: Path, rebuilt: Any, device: Any, config: DictConfig, typed: Sequence[str]) -> Any:
    """Return the inputs that are asked about."""
    from ssl_cli.data.dataset import check_kind, load_fitting
    from ssl_cli.predict.source import Files, Stored
    from ssl_cli.setup.restore import with_data

    if config.dataset is None:
        trained = with_data(file, rebuilt, device, config)
        return Stored(trained.data, str(config.split), trained.node.get("root"))
    node = OmegaConf.to_container(config.dataset, resolve=True)
    if not is_folder(config.dataset):
        data, note = load_fitting(node, rebuilt.info, typed)
        print(note)
        return Stored(data, str(config.split), node.get("root"))
    check_kind(node, rebuilt.info)
    own = rebuilt.config.dataset
    reading = min(own.get("reading", 1) if is_folder(own) else node["reading"], 2)  # the third rules are of classes
    ranges = node["value_range"] if node["value_range"] is not None else rebuilt.info.value_range or {}
    ranges = ranges if isinstance(ranges, Mapping) else {"all": ranges}
    return Files(str(node["root"]), rebuilt.info, reading, ranges, node["max_pixels"])


def _what(predictor: Any) -> str:
    return "its own classifier" if predictor.name == "classifier" else f"the {predictor.name} probe"
