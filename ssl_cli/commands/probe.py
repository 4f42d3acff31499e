"""``ssl probe``: measure a trained run or checkpoint; the backbone stays frozen, and that is proved."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ssl_cli.config.compose import run_app
from ssl_cli.config.kinds import check_kinds, check_second
from ssl_cli.config.paths import composed_from
from ssl_cli.config.words import command
from ssl_cli.data.budget import parse_budget
from ssl_cli.data.pseudo_labels import FILE, KEY
from ssl_cli.errors import RunError, UserError
from ssl_cli.runs.catalog import checkpoint_file, run_of
from ssl_cli.runs.directory import RunDir
from ssl_cli.system.atomic import write_json


def main(args: Sequence[str]) -> int:
    """Compose the config and run the command. Returns the exit status."""
    return run_app("probe", args, run)


def run(config: DictConfig) -> int:
    """Probe, print the table, write ``result.json``. Returns the exit status."""
    enters = bool(HydraConfig.get().job.chdir)  # the directory of the result is then the working directory of the probe
    file = checkpoint_file(config.ckpt)
    file = file.absolute() if enters else file
    if config.dataset is not None:
        parse_budget(str(config.dataset.labels))

    from rich.console import Console

    from ssl_cli.compare.table import print_table
    from ssl_cli.compare.verdict import verdict
    from ssl_cli.config.build import instantiate
    from ssl_cli.probes.measure import probe_trained
    from ssl_cli.setup.restore import open_model, with_data

    given = any("run.dir=" in item or "MULTIRUN" in item for item in HydraConfig.get().overrides.hydra)
    chosen = Path(HydraConfig.get().runtime.output_dir) if given else None
    if chosen:
        RunDir.check_free(chosen)
    probe = instantiate(config.probe)  # what is wrong with its settings should not wait for the data
    rebuilt, device = open_model(file, config)
    choices, kind = HydraConfig.get().runtime.choices, rebuilt.info.kind
    check_kinds({"probe": config.probe}, kind, "this run was trained on", composed_from(), choices)
    check_second({"probe": config.probe}, kind)
    trained = with_data(file, rebuilt, device, config, list(HydraConfig.get().overrides.task))
    if trained.note:
        print(trained.note)
    name = f"{HydraConfig.get().runtime.choices.probe}-{trained.data.name}"
    directory = chosen
    if enters:
        directory = (chosen or result_dir(file, name)).absolute()
        os.chdir(directory)
    keep = config.keep_features, config.keep_baselines
    measured, result = probe_trained(trained, probe, print, config.layer, *keep)
    if not result["results"]:
        if enters and not chosen:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise UserError("nothing could be measured, see the lines above; nothing was written")
    failure = None
    try:
        directory = directory or result_dir(file, name)
        OmegaConf.save(config, directory / "config.yaml", resolve=True)
        measured.write_predictions(directory / "predictions.npz")
        measured.write_pseudo_labels(directory / FILE)
        write_json(directory / "result.json", result)
    except (OSError, UserError) as error:  # what was measured is shown all the same
        failure = error
    print_table(result["results"], Console(), result["backbone"], trained.data.noun)
    sha = result["frozen"]["before"][:12]
    print(f"test split of {result['dataset']}; the backbone stayed frozen (sha256 {sha} before and after)")
    if failure is not None:
        why = f"cannot write {failure.filename}: {failure.strerror}" if isinstance(failure, OSError) else failure
        raise RunError(f"the result above is not kept: {why}; to keep it in another place, write hydra.run.dir=DIR")
    print(f"result: {directory / 'result.json'}")
    if sentence := verdict(directory, result["results"]):
        print(sentence)
    if measured.spread:
        print(f"labels of all train {trained.data.noun}s: {directory / FILE}")
        if config.dataset is None and (source := run_of(file)) is not None:
            budgets = list(measured.spread)
            print(f"to learn from them, too: {training_command(source, directory, str(trained.node.labels), budgets)}")
    return 0


def training_command(run: Path, result: Path, own: str, budgets: Sequence[str]) -> str:
    """Return what to type to train on human labels and those that a probe of the run has spread from them.

    Args:
        run: the run, with whose own inputs it was probed.
        result: the probe's directory.
        own: the run's label budget.
        budgets: that labels were spread from: the run's own, or others that were drawn with seeds from 0.
    """
    drawn = {} if own in budgets else {"dataset.labels": budgets[0], "dataset.label_seed": 0}
    return command("ssl", "train", "method=supervised", init=run, **drawn, **{KEY: result})


def result_dir(file: Path, name: str) -> Path:
    """Make a new directory for one result: in the run's ``probes/``, or below ``outputs/`` for a lone file."""
    run = file.parent.parent
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    in_run = file.parent.name == "checkpoints" and (run / "config.yaml").is_file()
    base = run / "probes" / f"{stamp}-{name}" if in_run else Path("outputs") / stamp[:10] / f"{stamp[11:]}-probe-{name}"
    for attempt in range(1, 1000):
        directory = base if attempt == 1 else base.with_name(f"{base.name}-{attempt}")
        try:
            directory.mkdir(parents=True)
            return directory
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"cannot make {directory}: {error.strerror}") from error
    raise UserError(f"{base} and 998 names after it are in use")
