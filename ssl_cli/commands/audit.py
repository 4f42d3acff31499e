"""``ssl audit``: what is wrong with the data, as a table and on a page, before it costs a week."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ssl_cli.audit.finding import FAIL_ON, Finding, as_csv, counts, fails
from ssl_cli.config.compose import run_app
from ssl_cli.config.kinds import IMAGE, kind_of
from ssl_cli.data.budget import parse_budget
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.runs.catalog import checkpoint_file, run_of, unused_path
from ssl_cli.runs.directory import RunDir

TABLE, PAGE = "audit.csv", "audit.html"


def main(args: Sequence[str]) -> int:
    """Compose the config and run the command. Returns the exit status."""
    return run_app("audit", args, run)


def run(config: DictConfig) -> int:
    """Write ``audit.csv`` and ``audit.html``. Returns 0, or 1 where something is found that ``fail_on`` names."""
    file = None if config.ckpt is None else checkpoint_file(config.ckpt)
    directory = Path(HydraConfig.get().runtime.output_dir)
    check(config, directory)

    from ssl_cli.audit.images import Images
    from ssl_cli.audit.run import audit
    from ssl_cli.data.images.files.decode import pixels_allowed

    data, node, features, own = opened(file, config, list(HydraConfig.get().overrides.task))
    images = Images.of(data, node.get("root"))
    with pixels_allowed(node.get("max_pixels")):
        findings = audit(images, config.few, config.near, features, config.neighbours)
    write(directory, config, data, findings)
    if own:
        keep(file, findings)
    return int(fails(findings, config.fail_on))


def check(config: DictConfig, directory: Path) -> None:
    """Raise ``UserError`` for what is wrong before anything heavy is imported."""
    if config.fail_on is not None and config.fail_on not in FAIL_ON:
        near = did_you_mean(config.fail_on, FAIL_ON)
        raise UserError(f"fail_on={config.fail_on} is not one of {', '.join(FAIL_ON)}{near}")
    if config.dataset is not None:
        parse_budget(str(config.dataset.labels))
        if (kind := kind_of(config.dataset)) != IMAGE:
            raise UserError(
                f"ssl audit is for {IMAGE}s, and this data set has {kind}s; write dataset=folder or another"
            )
    elif config.ckpt is None:
        raise UserError(
            "no images are named; write dataset=folder dataset.root=DIR, another dataset=NAME, or ckpt=RUN for a "
            "run's own"
        )
    if any("run.dir=" in item for item in HydraConfig.get().overrides.hydra):
        RunDir.check_free(directory)


def opened(file: Path | None, config: DictConfig, typed: Sequence[str]) -> tuple[Any, Any, Any, bool]:
    """Return the images, the settings of their data set, what gives their features, and whether they are a run's own.

    Without a checkpoint nothing gives features: None.
    """
    from ssl_cli.data.base import split_fingerprint
    from ssl_cli.data.dataset import load, load_fitting
    from ssl_cli.data.kinds import check_image
    from ssl_cli.probes.frozen.cache import FeatureCache
    from ssl_cli.probes.frozen.subject import FrozenModel
    from ssl_cli.probes.progress import measuring
    from ssl_cli.setup.restore import open_model, with_data
    from ssl_cli.system.device import set_threads

    node = None if config.dataset is None else OmegaConf.to_container(config.dataset, resolve=True)
    if node is not None and "group_column" in node:
        node["audited"] = True  # what training leaves out is looked at, too
    if file is None:
        set_threads(config.trainer.threads)
        data = load(node)
        print(f"{data.name}: {data.note}" if data.note else data.name)
        return data, node, None, False
    rebuilt, device = open_model(file, config)
    check_image(rebuilt.info, "ssl audit")
    if node is None:
        trained = with_data(file, rebuilt, device, config, typed)
        data, node, note = trained.data, trained.node, trained.note
    else:
        data, note = load_fitting(node, rebuilt.info, typed)
    if note:
        print(note)
    run, info = run_of(file), rebuilt.info
    cache = FeatureCache(run / "features") if run else None
    network = FrozenModel(rebuilt.method.measured, data.inputs, info, device, cache)

    def features(at: Any) -> Any:
        with measuring("computing features"):
            return network(at)

    own = run is not None and (config.dataset is None or split_fingerprint(data) == info.splits)
    return data, node, features, own


def write(directory: Path, config: DictConfig, data: Any, findings: Sequence[Finding]) -> None:
    """Write the table and the page, and print what was found."""
    from ssl_cli.report.audit_page import audit_page
    from ssl_cli.system.atomic import replace
    from ssl_cli.system.terminal import shown

    sizes = {name: f"{len(at):,}" for name, at in data.splits.items() if len(at)}
    facts = {
        **sizes,
        "broken files left out": data.skipped or None,
        "likeness of near copies": config.near,
        "features of": config.ckpt,
    }
    page = audit_page(data.name, facts, findings, data.images)
    for file in (directory / TABLE, directory / PAGE):
        if file.exists():
            raise UserError(f"{file} exists; nothing was overwritten: write another hydra.run.dir=DIR")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in ((TABLE, as_csv(findings)), (PAGE, page.encode())):
            replace(directory / name, content)
    except OSError as error:
        raise UserError(f"cannot write {directory}: {error.strerror}; write hydra.run.dir=DIR elsewhere") from error
    total = sum(map(len, data.splits.values()))
    print(f"{total:,} images of {data.name}: {', '.join(f'{count} {name}' for name, count in sizes.items())}")
    if data.skipped:
        print(f"  {data.skipped:,} broken files were left out")
    for what, (number, images) in counts(findings).items():
        print(f"  {what}: {number:,} ({images:,} images)" if number != images else f"  {what}: {number:,}")
    if not findings:
        print("  nothing was found")
    print(f"findings: {shown(directory / TABLE)}")
    print(f"look: {shown(directory / PAGE)}")


def keep(file: Path, findings: Sequence[Finding]) -> None:
    """Write the table into the run, too, for ``ssl report``; where that is impossible, say so."""
    from ssl_cli.system.atomic import replace

    place = unused_path(file, "audited", TABLE)
    try:
        place.parent.mkdir(exist_ok=True)
        replace(place, as_csv(findings))
        print(f"for ssl report: {place}")
    except OSError as error:
        print(f"note: `ssl report` will not show this: cannot write {place}: {error.strerror}")
