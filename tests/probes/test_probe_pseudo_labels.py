"""The evaluation's look at pseudo-labels, against guesses that are known; and how mixed batches are cut into parts."""

import json
import math

import pytest
import torch
from experiments import composed, train

from ssl_cli.batch import Batch
from ssl_cli.setup.prepare import prepare
from ssl_cli.training.loop import accumulation_parts
from ssl_cli.training.monitor import monitor_pseudo_labels

NARROW = "backbone.widths=[8,16,32]"
FEW = ["method=fixmatch", "dataset.labels=4/class", "trainer.batch_size=64", NARROW]


@pytest.fixture(scope="module")
def experiment():
    return prepare(composed("train", FEW))


def seen(e, classes, passed):
    e.method.pseudo_labels = lambda features: (classes, passed)
    return monitor_pseudo_labels(e)


def test_passed_right_and_entropy(experiment):
    e = experiment
    train_ = e.data.splits["train"]
    hidden = train_[~torch.isin(train_, e.labelled)]
    truth = e.data.labels[hidden]
    assert len(hidden) == len(train_) - 40
    every = torch.ones(len(hidden), dtype=torch.bool)
    report = seen(e, truth.clone(), every)
    assert report["pseudo_right"] == 1 and report["pseudo_passed"] == 1 and report["pseudo_entropy"] > 0.99
    guesses = truth.clone()
    guesses[:100] = (guesses[:100] + 1) % 10
    some = torch.zeros_like(every)
    some[:400] = True
    report = seen(e, guesses, some)
    assert report["pseudo_right"] == pytest.approx(0.75) and report["pseudo_passed"] == pytest.approx(400 / len(hidden))
    report = seen(e, torch.full_like(truth, 3), ~every)
    assert report["pseudo_passed"] == 0 and report["pseudo_entropy"] == 0 and "pseudo_right" not in report


def test_half_of_two_classes_is_ln_2_of_ln_10(experiment):
    count = len(experiment.data.splits["train"]) - 40
    classes = torch.arange(count) % 2
    report = seen(experiment, classes, torch.ones(count, dtype=torch.bool))
    assert report["pseudo_entropy"] == pytest.approx(math.log(2) / math.log(10), abs=1e-3)


def test_it_is_in_the_metrics_and_only_where_something_is_guessed(tmp_path):
    _, run = train(tmp_path / "run", [*FEW, "trainer.max_steps=2"])
    assert '"pseudo_passed"' in (run.path / "metrics.jsonl").read_text()
    _, other = train(tmp_path / "other", ["method=simclr", "trainer.max_steps=2", NARROW])
    assert "pseudo" not in (other.path / "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(row["mask_rate"]) for row in rows if "mask_rate" in row)


def test_each_part_of_a_mixed_batch_begins_with_its_labelled_images():
    labels = torch.cat([torch.arange(8), torch.full((56,), -1)])
    parts = accumulation_parts(Batch(torch.zeros(64, 1, 2, 2, dtype=torch.uint8), labels, torch.arange(64)), 4)
    for part in parts:
        assert (part.labels[:2] >= 0).all() and (part.labels[2:] == -1).all() and len(part.labels) == 16
    assert torch.cat([part.indices for part in parts]).sort().values.tolist() == list(range(64))
