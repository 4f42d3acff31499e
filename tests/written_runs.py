"""Runs that are written, not trained: every model and column of them is known."""

import json

import numpy as np
import yaml

from ssl_cli.probes.scores.protocol import key, protocol
from ssl_cli.runs.catalog import read_json
from ssl_cli.system.atomic import write_json

N = 400  # test images
TRUTH = np.repeat(np.arange(10), N // 10)
CONFIG = {
    "seed": 0,
    "method": {"_target_": "ssl_cli.methods.simclr.SimCLR", "temperature": 0.2},
    "backbone": {"_target_": "ssl_cli.backbones.convnet.ConvNet", "norm": "batch"},
    "dataset": {"labels": "all", "label_seed": 0, "val_fraction": 0.1, "root": "somewhere"},
    "trainer": {"epochs": 60, "threads": None},
    "optimizer": {"lr": 0.002},
}


def right(share, draw):
    """Predictions of which a share is right, on images that only ``draw`` chooses."""
    wrong = np.random.default_rng(draw).permutation(N)[: round(N * (1 - share))]
    predicted = TRUTH.copy()
    predicted[wrong] = (TRUTH[wrong] + 1) % 10
    return predicted


def put(
    path,
    method="simclr",
    seed=0,
    score=0.9,
    columns=(("knn", "all"),),
    splits="s",
    settings=None,
    predictions=True,
    config=None,
    old=False,
    **summary,
):
    """Write a run of which every model and column is known: the pixels have 0.8, random weights 0.7, it ``score``."""
    path.mkdir(parents=True)
    composed = {**CONFIG, "seed": seed, **(config or {})}
    (path / "config.yaml").write_text(yaml.safe_dump(composed))
    rows, arrays = [], {"positions": np.arange(N) + 1000, "labels": TRUTH}
    for probe, labels in columns:
        for model, share, draw in (("pixels", 0.8, 0), ("random", 0.7, 10 + seed), (method, score, 20 + seed)):
            few = labels not in ("all", composed["dataset"]["labels"])
            worse = 0.01 if model == method else 0  # with each draw of the labels
            predicted = np.stack([right(share - worse * d, draw + 1000 * d) for d in range(3 if few else 1)])
            means = (predicted == TRUTH).mean(1)
            row = {"model": model, "probe": probe, "labels": labels, "split": "test", "target": None}
            row |= {"metric": "accuracy", "mean": means.mean(), "std": means.std(ddof=1) if few else None}
            row |= {"n": len(means), "settings": {"k": 20, **(settings or {})}}
            row["metrics"] = {"accuracy": {"mean": row["mean"], "std": row["std"]}, "ece": {"mean": 0.1, "std": None}}
            if few:
                row["settings"]["label_seeds"] = [0, 1, 2]
            if old:
                row = {k: row[k] for k in row if k not in ("metrics", "target")}
            else:
                row["protocol"] = protocol(row, splits)
            rows.append(row)
            arrays[key(row)] = predicted.astype(np.int16)
    typed = [f"method={method}", f"seed={seed}"]
    content = {"state": "finished", "method": method, "dataset": "digits", "labels": composed["dataset"]["labels"]}
    content |= {"seed": seed, "splits": splits, "overrides": typed, "seconds": 10.0 + seed, "images_seen": 1000}
    (path / "summary.json").write_text(json.dumps({**content, "collapsed": False, "results": rows, **summary}))
    if predictions and not old:
        np.savez(path / "predictions.npz", **arrays)
    return path


def begun(path, before, after, columns=(("linear", "all"),), config=None, seed=0, **summary):
    """Write a run with a row of before training, of the same draws as its own."""
    put(path, "simclr", seed, after, columns, config=config, **summary)
    content = read_json(path / "summary.json")
    with np.load(path / "predictions.npz") as file:
        arrays = dict(file)
    for row in [row for row in content["results"] if row["model"] == "simclr"]:
        share = before[row["labels"]] if isinstance(before, dict) else before
        predicted = np.stack([right(share, 50 + draw) for draw in range(row["n"])])
        content["results"].insert(-1, {**row, "model": "before", "mean": (predicted == TRUTH).mean()})
        arrays[f"before/{row['probe']}/{row['labels']}"] = predicted.astype(np.int16)
    write_json(path / "summary.json", content)
    np.savez(path / "predictions.npz", **arrays)
    return path, content["results"]


def lines_of(comparison):
    return {line.name: line for line in comparison.lines}


KNN = ("knn", "all", None, "accuracy")
