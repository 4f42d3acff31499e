"""Training on propagated labels: which ones, how many, and none that it must not see."""

import json
import shutil

import pytest
import torch
from experiments import SMALL, composed

from ssl_cli.compare.entries import Entry, identity
from ssl_cli.data.base import split_fingerprint
from ssl_cli.data.pseudo_labels import FILE, find_pseudo_labels
from ssl_cli.errors import UserError
from ssl_cli.probes.measure import own_classifier
from ssl_cli.probes.scores.protocol import protocol
from ssl_cli.setup.plan import what_is_learned_from
from ssl_cli.setup.prepare import prepare
from ssl_cli.setup.propagated import write_labels
from ssl_cli.training.run import budget_record, first_summary, propagated_line

FEW = [*SMALL, "method=supervised", "backbone.widths=[4,4,8]", "dataset.labels=2/class"]
DRAWS = 2


def built(run, *more, kept=None):
    return prepare(composed("train", [*FEW, f"dataset.pseudo_labels={run}", *more]), kept=kept)


@pytest.fixture(scope="module")
def alone():
    return prepare(composed("train", FEW))


@pytest.fixture(scope="module")
def run(alone, tmp_path_factory):
    """A run of which a probe has spread two draws of labels: the second one's are all of the next class."""
    run = tmp_path_factory.mktemp("runs") / "run"
    result = run / "probes/2026-01-01_00-00-00-propagate-digits"
    result.mkdir(parents=True)
    data, train = alone.data, alone.data.splits["train"].sort().values
    other = prepare(composed("train", [*FEW, "dataset.label_seed=1"]))
    labels = torch.stack([data.labels[train], (data.labels[train] + 1) % 10])
    confidence = torch.linspace(0, 1, len(train)).expand(DRAWS, -1).contiguous()
    parts = {"labelled": torch.stack([alone.labelled, other.labelled]), "labels": labels, "confidence": confidence}
    write_labels(result / FILE, {"2/class": parts}, train)
    row = {"model": "simclr", "probe": "propagate", "labels": "2/class", "settings": {"label_seeds": [0, 1]}}
    about = {"method": "simclr", "dataset": "digits", "splits": split_fingerprint(data), "results": [row]}
    (result / "result.json").write_text(json.dumps(about))
    (run / "config.yaml").write_text("name: simclr\n")
    return run


def test_human_labels_and_the_sure_ones_of_other_train_images_are_learned_from(alone, run):
    e = built(run, "dataset.min_confidence=0.75")
    data, train, learned = e.data, e.data.splits["train"].sort().values, e.loader.positions
    more = learned[~torch.isin(learned, e.labelled)]
    assert torch.equal(e.labelled, alone.labelled) and torch.isin(e.labelled, learned).all()
    assert torch.equal(more, e.propagated.positions) and torch.isin(learned, train).all()
    sure = train[torch.linspace(0, 1, len(train)) >= 0.75]
    assert set(more.tolist()) == set(sure.tolist()) - set(e.labelled.tolist())
    assert torch.equal(e.loader.labels[learned], data.labels[learned])
    hidden = torch.ones(len(data.labels), dtype=torch.bool)
    hidden[learned] = False
    assert (e.loader.labels[hidden] == -1).all()  # all of val and test, and what is not sure
    assert e.info == alone.info  # 20 labels, as for any other method of this budget


def test_labels_are_those_of_the_seed(run):
    e = built(run, "dataset.label_seed=1")
    at = e.propagated.positions
    assert torch.equal(e.loader.labels[at], (e.data.labels[at] + 1) % 10)
    assert e.propagated.summary(e.data)["right"] == 0
    assert torch.equal(e.loader.labels[e.labelled], e.data.labels[e.labelled])


def test_neither_val_nor_test_nor_hidden_labels_change_what_is_seen(run, monkeypatch):
    import ssl_cli.setup.prepare as module

    seen, load = built(run).loader.labels, module.load

    def shuffled(*args):
        data = load(*args)
        hidden = torch.cat([data.splits["val"], data.splits["test"]])
        data.labels[hidden] = data.labels[hidden].flip(0)
        return data

    monkeypatch.setattr(module, "load", shuffled)
    monkeypatch.setattr("ssl_cli.setup.propagated.split_fingerprint", lambda data: split_fingerprint(load_digits))
    load_digits = load({**composed("train", FEW).dataset})
    assert torch.equal(built(run).loader.labels, seen)


def test_a_run_goes_on_with_what_it_kept_whatever_becomes_of_the_file(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    before = built(copy)
    kept = json.loads(json.dumps(budget_record(before)))["propagated"]
    shutil.rmtree(copy)
    after = built(copy, kept={"propagated": kept})
    for step in (0, 30):
        one, other = before.loader.batch(step), after.loader.batch(step)
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
    changes = {"positions": kept["positions"][1:], "labels": [10] * len(kept["labels"])}
    test = {"positions": [int(before.data.splits["test"][0]), *kept["positions"][1:]]}
    for change in (*({key: value} for key, value in changes.items()), test, {"positions": "x"}):
        with pytest.raises(UserError, match="do not fit the train split"):
            built(copy, kept={"propagated": {**kept, **change}})


def test_the_plan_and_the_results_tell_human_labels_from_propagated_ones(alone, run):
    e = built(run)
    count = len(e.propagated.positions)
    said = what_is_learned_from(e)
    assert said.startswith(f"20 labelled images and {count:,} with propagated labels of a confidence of 0.8 or more")
    assert what_is_learned_from(alone) == "20 labelled images"
    row, other = ({"model": "supervised", **own_classifier(x).row} for x in (e, alone))
    assert row["labels"] == "2/class" and row["settings"]["train_images"] == 20
    assert row["chosen"] == {"propagated_labels": [count], "min_confidence": [0.8]} and other["chosen"] == {}
    assert protocol(row, e.info.splits) == protocol(other, e.info.splits)  # one column: the same human labels

    class Run:
        summary = {}

    labels = first_summary(e, Run, [])["pseudo_labels"]
    assert labels["images"] == count and labels["right"] == 1 and first_summary(alone, Run, [])["pseudo_labels"] is None
    assert f"20 human labels and {count} propagated ones" in propagated_line(labels, 20)


def test_semi_supervised_methods_begin_each_batch_with_them(run):
    e = built(run, "method=fixmatch")
    assert torch.isin(e.loader.labelled, torch.cat([e.labelled, e.propagated.positions])).all()
    assert len(e.loader.labelled) == 20 + len(e.propagated.positions)


def test_runs_that_begin_alike_are_of_one_kind(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "another_seed")
    file = f"probes/2026-01-01_00-00-00-propagate-digits/{FILE}"
    config = [{"dataset.pseudo_labels": str(where / file)} for where in (run, copy)]
    one, other = (identity(Entry(tmp_path, "", "supervised", "", [], c)) for c in config)
    assert one == other
    (copy / "config.yaml").write_text("trainer: {epochs: 7}\n")
    assert one != identity(Entry(tmp_path, "", "supervised", "", [], config[1]))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["method=simclr"], "simclr learns from no label; leave dataset.pseudo_labels out, or write"),
        (["dataset.split_seed=1"], "has labels of digits with other images, human labels or splits than this digits"),
        (["dataset.labels=4/class"], "has only labels spread from 2/class .seeds 0, 1.; to spread those of dataset"),
        (["dataset.label_seed=2"], "dataset.label_seed=2: ssl probe ckpt=.*probe=propagate"),
    ],
)
def test_what_does_not_fit_is_refused(run, more, expected):
    with pytest.raises(UserError, match=expected):
        built(run, *more)


def test_a_file_that_is_damaged_or_of_other_labels_is_refused(run, tmp_path):
    file = next(shutil.copytree(run, tmp_path / "run").glob(f"probes/*/{FILE}"))
    content = file.read_bytes()
    for spoiled in (content[:-200], b"", b"PK" + bytes(50)):
        file.write_bytes(spoiled)
        with pytest.raises(UserError, match="cannot be read .*make it anew: probe=propagate"):
            built(tmp_path / "run")
    positions = torch.arange(5)
    parts = {"labelled": positions[None], "labels": positions[None], "confidence": torch.ones(1, 5)}
    write_labels(file, {"2/class": parts}, positions)
    with pytest.raises(UserError, match="spread from other labelled images"):
        built(tmp_path / "run")


def test_it_is_found_by_run_result_or_file_and_the_newest_counts(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (old,) = copy.glob("probes/*")
    new = shutil.copytree(old, old.with_name("2026-01-02_00-00-00-propagate-digits"))
    for reference, where in ((copy, new), (old, old), (old / FILE, old), (new / FILE, new)):
        found = find_pseudo_labels(str(reference), "2/class", 1)
        assert (found.file, found.budget, found.draw) == (where / FILE, "2/class", 1)
    shutil.rmtree(copy / "probes")
    with pytest.raises(UserError, match="has no propagated labels"):
        find_pseudo_labels(str(copy), "2/class", 0)
