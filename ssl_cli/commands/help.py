"""``ssl COMMAND --help``: read from the config directory, so that a new file is listed without being named here."""

import importlib
from pathlib import Path

HELP = {
    "train": """\
the settings people change most
  seed=0                     of initial weights, order of images and augmentation
  trainer.epochs=60          passes over the train split; or trainer.max_steps=N
  trainer.batch_size=256     images a step
  trainer.device=auto        auto, cpu, cuda or mps
  trainer.max_time=2h        save and stop, resumable, when the time is up
  trainer.dry_run=true       print the plan, train and write nothing
  dataset.root=DIR           where the images are
  dataset.labels=all         the labels that may be used: all, 10% or 4/class
  optimizer.lr=0.002         peak learning rate
  method.temperature=0.2     the method's own settings
  hydra.run.dir=DIR          where to write; default outputs/DATE/TIME-METHOD-DATASET
  resume=RUN                 go on with a run that stopped (a directory, or `last`)
  init=RUN                   start from the backbone of another run, or of `last` or `best`: fine-tuning
  (all of them, with values: ssl train --cfg job)

examples
  ssl train method=simclr
  ssl train method=simclr dataset=folder dataset.root=DIR
  ssl train method=supervised dataset.labels=10%
  ssl train method=fixmatch dataset.labels=4/class
  ssl train method=supervised init=last dataset.labels=10%   fine-tune the latest run
  ssl train method=simclr dataset=cifar10 backbone=resnet18 trainer.epochs=200
  ssl train -m method=simclr,supervised seed=1,2,3          a sweep: six runs and a table
  ssl train experiment=sweep_temperature                     a sweep that is ready: see conf/experiment/sweep_*.yaml
  ssl train resume=last
""",
    "views": """\
the settings people change most
  dataset.root=DIR           where the images are (with dataset=folder)
  images=8                   how many are drawn
  augment.jitter.hue=0.2     any key of the recipe
  hydra.run.dir=DIR          where to write; default outputs/DATE/TIME-views-PRETEXT-DATASET
  (all of them, with values: ssl views --cfg job)

examples
  ssl views
  ssl views dataset=folder dataset.root=DIR augment=byol
  ssl views pretext=jigsaw
""",
    "probe": """\
the settings people change most
  ckpt=RUN                   a run directory, a checkpoint file, `last` or `best` (see ssl runs --help)
  probe=linear               the downstream task
  dataset=NAME               another data set than the run's own
  dataset.root=DIR           where its images are (beside dataset=NAME)
  dataset.labels=all         the labels that may be used (beside dataset=NAME)
  probe.labels=[1/class,all] label budgets
  probe.draws=10             draws of few labels
  layer=N                    a block of the backbone instead of its end
  probe.k=200                neighbours (probe=knn)
  trainer.device=auto        auto, cpu, cuda or mps
  trainer.threads=null       CPU threads
  trusted_modules=[MODULE]   your own modules that the checkpoint may name
  (all of them, with values: ssl probe --cfg job ckpt=RUN)

examples
  ssl probe ckpt=last probe=knn
  ssl probe ckpt=outputs/DATE/RUN probe=linear
  ssl probe ckpt=outputs/DATE/RUN/checkpoints/best.pt probe=linear
  ssl probe ckpt=last probe=linear dataset=folder dataset.root=DIR
""",
    "embed": """\
the settings people change most
  ckpt=RUN                   a run directory, a checkpoint file, `last` or `best` (see ssl runs --help)
  dataset=NAME               another data set than the run's own
  dataset.root=DIR           where its images are (beside dataset=NAME)
  out=FILE                   FILE.npz, FILE.csv or FILE.parquet; default RUN/embeddings/DATASET.npz
  split=all                  all, train, val or test
  layer=null                 block of the backbone, from 1 at the input; null: its end
  (all of them, with values: ssl embed --cfg job ckpt=RUN)

examples
  ssl embed ckpt=last
  ssl embed ckpt=last dataset=folder dataset.root=DIR out=features.csv
""",
    "export": """\
the settings people change most
  ckpt=RUN                   a run directory, a checkpoint file, `last` or `best` (see ssl runs --help)
  out=FILE                   FILE.safetensors; default RUN/export/backbone.safetensors
  trusted_modules=[MODULE]   your own modules that the checkpoint may name
  (all of them, with values: ssl export --cfg job ckpt=RUN)

examples
  ssl export ckpt=last
  ssl export ckpt=best out=backbone.safetensors
""",
}


def command_help(command: str, purpose: str, conf: Path) -> str:
    """Return the help text of one command."""
    if not (conf / f"{command}.yaml").is_file():
        return f"ssl {command}: {purpose}\n\n{importlib.import_module(f'ssl_cli.commands.{command}').HELP.strip()}\n"
    used = _groups(conf / f"{command}.yaml")
    usage = f"usage: ssl {command}{' [GROUP=OPTION]' * bool(used)} [KEY=VALUE] [FLAGS]"
    lines = [f"ssl {command}: {purpose}", "", usage]
    lines += ["", "groups and their options (* is the default; a data set or a method may bring another)"] * bool(used)
    for group, default in used.items():
        options = sorted(file.stem for file in (conf / group).glob("*.yaml") if not file.stem.startswith("_"))
        if options:
            lines.append(f"  {group:<11}{', '.join(f'{name}*' if name == default else name for name in options)}")
    flags = """\
flags
  -m, --multirun             a sweep over comma-separated values, each job in its own directory
  --cfg job                  print the composed config and stop
  --config-dir DIR           also find configs in DIR: your own methods, data sets, experiments
  --shell-completion         see `ssl --help`
"""
    return "\n".join([*lines, "", HELP[command], flags])


def _groups(file: Path) -> dict[str, str]:
    """Return the groups of a primary config and the option that each has by default."""
    groups: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").split("defaults:")[1].splitlines()[1:]:
        if not line.startswith("  - "):
            break
        group, _, option = line[4:].split("#")[0].partition(":")
        if option and not group.startswith("override"):
            groups.setdefault(group.split("@")[0].strip(), option.strip())
    return groups
