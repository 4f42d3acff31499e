r"""Make docs/results.md: its words, around what `ssl compare outputs/results --sort --to md` says.

python benchmarks/results.py outputs/results > docs/results.md

The sweeps are those that the page names.
"""

import json
import sys
from pathlib import Path

from ssl_cli.report.compare import compare
from ssl_cli.report.formats import to_markdown

PAGE = """\
# Results on the digits

Every method that can do without a label budget, with its shipped defaults on `dataset=digits` (1,258 train, 180 val,
359 test images), three seeds each. Made by

```sh
ssl train -m 'method=glob(*, exclude=[pseudo_label,mean_teacher,fixmatch,flexmatch,predict])' seed=0,1,2 \\
    trainer.threads=1 hydra.sweep.dir=outputs/results/methods
ssl train -m method=predict pretext=rotation,jigsaw,relative_patch,inpainting,exemplar seed=0,1,2 \\
    trainer.threads=1 hydra.sweep.dir=outputs/results/pretexts
python benchmarks/results.py outputs/results > docs/results.md
```

on {cpus} CPU cores ({platform}), Python {python}, torch {torch}. Seconds are of training on one thread with other work
beside it: compare them roughly.

These are ten classes of 8x8-pixel digits and one minute of training: the order of the methods here is not a property
of the methods. Several methods' settings for so small a net were chosen on this very data set (by kNN on `val`), so
read the table as a check of what each method learns that neither the pixels nor the architecture has. Compare each to
the random weights of its own backbone: `mae` brings a transformer, `cpc`, `ebm` and `jem` nets without BatchNorm.
Predicting pixels or patches and modelling densities learn slowly: `mae` learns nothing in 60 epochs here (with
`trainer.epochs=180` it reached 84.5 with 10 labels per class, one run). Semi-supervised methods need a label budget:
they are compared in [label_efficiency.md](label_efficiency.md).

{table}"""


def main(directories: list[Path]) -> None:
    """Print the page for the finished runs below the directories."""
    comparison = compare(directories, sort=True)
    first_run = next(run for line in comparison.lines for run in line.runs)
    env = json.loads((Path(first_run) / "env.json").read_text(encoding="utf-8"))
    facts = {"cpus": env["cpus"], "platform": env["platform"].split("-")[0], "python": env["python"]}
    table = to_markdown(comparison).rstrip() + "\n"
    print(PAGE.format(**facts, torch=env["packages"]["torch"], table=table), end="")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:] or ["outputs/results"]])
