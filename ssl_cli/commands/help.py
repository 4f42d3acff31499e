"""``ssl COMMAND --help``: read from the config directory, so that a new file is listed without being named here."""

import importlib
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

NARROWEST, WIDEST = 60, 100  # columns
FAMILIES = {  # of conf/experiment: a pattern of names, and what they are
    r"(.+)_cifar10": "published settings on CIFAR-10",
    r"(.+)_imagenet": "published settings on ImageNet",
    r"cpu_(.+)": "what learns most per second without a GPU",
    r"adapt_(.+)": "networks of others, adapted to your images without labels",
    r"sweep_(.+)": "sweeps",
}

HELP = {
    "train": """\
the settings people change most
  seed=0                     of initial weights, order of inputs and augmentation
  trainer.epochs=60          passes over the train split; or trainer.max_steps=N
  trainer.batch_size=256     inputs a step
  trainer.device=auto        auto, cpu, cuda or mps
  trainer.max_time=2h        save and stop, resumable, when the time is up
  trainer.dry_run=true       print the plan, train and write nothing
  dataset.root=DIR           where the images, clips or files of text are
  dataset.file=FILE          a table of texts (dataset=texts)
  dataset.labels_file=FILE   a table of their labels (CSV; dataset=folder)
  dataset.labels=all         the labels that may be used: all, 10% or 4/class
  optimizer.lr=0.002         peak learning rate
  method.temperature=0.2     the method's own settings
  hydra.run.dir=DIR          where to write; default outputs/DATE/TIME-METHOD-DATASET
  resume=RUN                 go on with a run that stopped (a directory, or `last`)
  tracker=tensorboard        show the run there, too; tracker=[tensorboard,mlflow]: in both
  init=RUN                   start from the backbone of another run, or of `last` or `best`: fine-tuning
  (all of them, with values: ssl train --cfg job)

examples
  ssl train method=simclr
  ssl train method=simclr dataset=folder dataset.root=DIR
  ssl train method=supervised dataset=folder dataset.root=DIR dataset.labels_file=FILE.csv
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
  dataset.root=DIR           where the images, clips or texts are (with dataset=folder, clips or texts)
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
  dataset.root=DIR           where its files are; without dataset=NAME: where the run's own are now
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
  dataset.root=DIR           where its files are; without dataset=NAME: where the run's own are now
  out=FILE                   FILE.npz, FILE.csv or FILE.parquet; default RUN/embeddings/DATASET.npz
  split=all                  all, train, val or test
  layer=null                 block of the backbone, from 1 at the input; null: its end
  (all of them, with values: ssl embed --cfg job ckpt=RUN)

examples
  ssl embed ckpt=last
  ssl embed ckpt=last dataset=folder dataset.root=DIR out=features.csv
""",
    "pick": """\
the settings people change most
  ckpt=RUN                   a run directory, a checkpoint file, `last` or `best` (see ssl runs --help)
  n=20                       inputs to pick; the first 10 of 20 are the 10
  strategy=typical           typical (for few labels), coverage, uncertain (for many), random
  out=FILE.csv               default RUN/picked/STRATEGY-N.csv; FILE.html shows them
  to=label_studio            tasks with guesses, out=FILE.json, and the interface, FILE.xml
  seed=0                     another choice of the same kind
  dataset.root=DIR           where the run's own files are now
  (all of them, with values: ssl pick --cfg job ckpt=RUN)

Never picked: those of val and test, and those with a label. Fill in the column `label`, then train with
dataset.labels_file=FILE.csv.

examples
  ssl pick ckpt=last n=50
  ssl pick ckpt=last n=50 strategy=uncertain out=FILE.csv
  ssl pick ckpt=last to=label_studio out=FILE.json
""",
    "audit": """\
the settings people change most
  dataset=folder             your own images, or any other data set
  dataset.root=DIR           where they are; without dataset=NAME: where the run's own images are now
  ckpt=RUN                   a run, a checkpoint file, `last` or `best`: its features judge labels and find outliers;
                             without dataset=NAME its own images are looked at
  near=0.9                   how alike near copies are, at least; 1: only equal ones
  few=10                     a class with fewer train images is small
  neighbours=20              that are asked about a label (with ckpt)
  fail_on=leak               exit status 1 if copies or groups lie in several splits; conflict: copies with unlike
                             labels; any: anything
  hydra.run.dir=DIR          where to write; default outputs/DATE/TIME-audit
  (all of them, with values: ssl audit --cfg job)

Writes audit.csv, a row a finding, the worst first, and audit.html, which shows the images. Changes no image.

examples
  ssl audit dataset=folder dataset.root=DIR
  ssl audit dataset=folder dataset.root=DIR ckpt=last
  ssl audit dataset=folder dataset.root=DIR fail_on=leak
""",
    "predict": """\
the settings people change most
  ckpt=RUN                   a run directory, a checkpoint file, `last` or `best` (see ssl runs --help)
  dataset=folder             your own images: every one below dataset.root, whatever the layout; default: the run's own
  dataset=NAME               any other data set: texts, clips, ...
  dataset.root=DIR           where its files are; without dataset=NAME: where the run's own are now
  out=FILE                   FILE.csv, FILE.parquet or FILE.jsonl; default RUN/predicted/DATASET.csv
  against=FILE.csv           score the answers by a table of known classes; folders: by the folders they lie in
  probe=linear               fitted on the run's labels; default: the method's own classifier, if it has one
  min_probability=0.9        leave those whose class is less probable to a person
  split=all                  of the run's own data: all, train, val or test
  root=DIR                   where the run's own files are now, beside dataset=NAME
  (all of them, with values: ssl predict --cfg job ckpt=RUN)

An interrupted prediction goes on where it stopped: type the same command again.

examples
  ssl predict ckpt=last dataset=folder dataset.root=DIR
  ssl predict ckpt=last dataset=folder dataset.root=DIR out=labels.csv min_probability=0.9
  ssl predict ckpt=last split=test
""",
    "export": """\
the settings people change most
  ckpt=RUN                   a run directory, a checkpoint file, `last` or `best` (see ssl runs --help)
  to=onnx                    a directory that works without ssl: safetensors, timm or onnx; without to= one file
                             with the backbone's weights
  head=linear                with a linear probe, fitted on the run's labels; default the method's own classifier
  out=DIR                    default RUN/export/TO; without to= FILE.safetensors
  push=USER/NAME             also upload the directory to the Hugging Face hub, as a private repository
  dataset.root=DIR           where the run's own files are now (for head=linear)
  trusted_modules=[MODULE]   your own modules that the checkpoint may name
  (all of them, with values: ssl export --cfg job ckpt=RUN)

examples
  ssl export ckpt=last
  ssl export ckpt=best out=backbone.safetensors
  ssl export ckpt=last to=onnx head=linear out=DIR
  ssl export ckpt=last to=timm push=USER/NAME
""",
}


def command_help(command: str, purpose: str, conf: Path) -> str:
    """Return the help text of one command, as wide as the terminal (60 to 100 columns)."""
    return wrapped(_help(command, purpose, conf), min(WIDEST, max(NARROWEST, shutil.get_terminal_size().columns)))


def _help(command: str, purpose: str, conf: Path) -> str:
    if not (conf / f"{command}.yaml").is_file():
        return f"ssl {command}: {purpose}\n\n{importlib.import_module(f'ssl_cli.commands.{command}').HELP.strip()}\n"
    groups = _groups(conf / f"{command}.yaml")
    options = {group: sorted(f.stem for f in (conf / group).glob("*.yaml") if f.stem[0] != "_") for group in groups}
    lines = [f"ssl {command}: {purpose}", ""]
    lines += [f"usage: ssl {command}{' [GROUP=OPTION]' * bool(groups)} [KEY=VALUE] [FLAGS]", ""]
    experiments = options.pop("experiment", [])
    if options:
        lines.append("groups and their options (* is the default; a data set or a method may bring another)")
    for group, names in options.items():
        lines.append(f"  {group:<11}{', '.join(f'{name}*' if name == groups[group] else name for name in names)}")
    if experiments:
        lines += ["", "experiments: several settings at once, for example experiment=simclr_cifar10"]
        lines += [f"  {names:<15}{what}" for names, what in families(experiments)]
    flags = """\
flags
  -m, --multirun             a sweep over comma-separated values, each job in its own directory
  --cfg job                  print the composed config and stop
  --config-dir DIR           also find configs in DIR: your own methods, data sets, experiments
  --shell-completion         see `ssl --help`
"""
    return "\n".join([*lines, *[""] * bool(options), HELP[command], flags])


def families(experiments: list[str]) -> list[tuple[str, str]]:
    """Return how the experiments of each family are named, and which there are: most names differ in one word only."""
    left, found = list(experiments), []
    for pattern, what in FAMILIES.items():
        words = {name: match[1] for name in left if (match := re.fullmatch(pattern, name))}
        if words:
            found.append((pattern.replace("(.+)", "NAME"), f"{what}; NAME is one of {', '.join(words.values())}"))
        left = [name for name in left if name not in words]
    return found + [("others", ", ".join(left))] * bool(left)


def wrapped(text: str, width: int) -> str:
    """Return a text with no line longer than ``width``; what continues a line stands below its last column."""
    return "".join(f"{line}\n" for entry in _entries(*text.splitlines()) for line in _lines(entry, width))


def _entries(entry: str, *lines: str) -> Iterator[str]:
    """Join what was one paragraph, or one entry of a list, before somebody wrapped it."""
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line and entry and (indent > 2 or indent == 0 and entry[0] != " "):
            entry += " " + line.strip()
        else:
            yield entry
            entry = line
    yield entry


def _lines(entry: str, width: int) -> list[str]:
    if len(entry) <= width:
        return [entry]
    indent = len(entry) - len(entry.lstrip())
    if column := re.match(r" *(\S+ )*\S+ {2,}(?=\S)", entry):  # a name and what it means
        if column.end() > width // 2:
            return [entry[: column.end()].rstrip(), *_lines(" " * 6 + entry[column.end() :], width)]
        indent = column.end()
    elif entry.startswith(("usage: ", "  ssl ")):
        indent += 4
    return textwrap.wrap(entry, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


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
