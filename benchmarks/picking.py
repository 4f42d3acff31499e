"""What picked labels are worth: `python -m benchmarks.picking RUN`, of a run on images that all have a label.

For each seed and number of labels the strategies pick from the train split as if no image of it had a label, and get
the labels of these images alone; then probes are fitted on them, with settings chosen on val, and scored on test.
"""

import argparse
import json
import statistics
from pathlib import Path

import torch
from omegaconf import OmegaConf

from ssl_cli.pick.strategies import Pool, pick
from ssl_cli.probes.frozen.cache import FeatureCache
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.propagate import Propagate
from ssl_cli.probes.runner import run_probes
from ssl_cli.setup.restore import open_checkpoint


def main() -> None:
    """Measure, and print a row a strategy and probe: mean and deviation over seeds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.picking", description=__doc__)
    parser.add_argument("run", type=Path, help="the run; its data set's labels are all known")
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 20, 40], help="numbers of picked labels")
    parser.add_argument("--seeds", type=int, default=8, help="of the picking")
    parser.add_argument("--strategies", nargs="+", default=["typical", "coverage", "random"])
    parser.add_argument("--out", type=Path, help="every accuracy, as JSON")
    options = parser.parse_args()
    found = accuracies(options.run, options.labels, options.seeds, options.strategies)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    for name, of in found.items():
        cells = [f"{100 * statistics.mean(a):.1f} ± {100 * statistics.stdev(a):.1f}" for a in of.values()]
        print(f"| {name} | {' | '.join(cells)} |")


def accuracies(run: Path, labels: list[int], seeds: int, strategies: list[str]) -> dict[str, dict[int, list[float]]]:
    """Return for each "STRATEGY, PROBE" and number of labels the accuracies on test, one a seed."""
    settings = {"dataset": None, "trainer": {"device": "auto", "threads": None}, "trusted_modules": []}
    t = open_checkpoint(run / "checkpoints/last.pt", OmegaConf.create(settings))
    cache = FeatureCache(run / "features")
    network = FrozenModel(t.method.measured, t.data.inputs, t.info, t.device, cache)
    everything = torch.empty(len(t.data.labels), t.method.measured.dim)
    for at in t.data.splits.values():
        everything[at] = network(at)
    train, found = t.data.splits["train"], {}
    for seed in range(seeds):
        for strategy in strategies:
            pool = Pool.of(train, train[:0], seed, len(train))
            most = pick(strategy, pool, max(labels), seed, len(t.info.classes), everything.__getitem__, None)
            for count in labels:
                at = most[:count].sort().values
                probes = {"linear": Linear(labels=["all"]), "propagate": Propagate(labels=["all"])}
                measured = run_probes(
                    {"model": everything.__getitem__}, t.data, at, probes, print, budget=f"{count}", label_seed=seed
                )
                for row in measured.rows:
                    of = found.setdefault(f"{strategy}, {row['probe']}", {})
                    of.setdefault(count, []).append(row["mean"])
            print(f"seed {seed}, {strategy}", flush=True)
    return found


if __name__ == "__main__":
    main()
