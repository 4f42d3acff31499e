import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssl_cli.errors import UserError
from ssl_cli.probes.base import Features, Split
from ssl_cli.probes.linear import Linear
from ssl_cli.probes.solvers import logistic
from ssl_cli.probes.solvers import rows as rows_of
from ssl_cli.probes.solvers.logistic import CHUNK_BYTES, fit_logistic


def blobs(n, classes=5, dim=12, seed=0, spread=0.8):
    """Overlapping classes whose features have very different scales and offsets."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    x = torch.eye(dim)[labels] + spread * torch.randn(n, dim, generator=g)
    return Split(x * torch.logspace(-2, 2, dim) + 3.0, labels)


def rows(probe, features):
    return [result.row for result in probe.run(features)]


def features(spread=0.8, n=400):
    return Features(*(blobs(n, seed=s, spread=spread) for s in range(3)), classes=5)


def standardised(split):
    return (split.features - split.features.mean(0)) / split.features.std(0, correction=0)


def objective(x, y, weight, bias, penalty):
    return (F.cross_entropy(x @ weight + bias, y) + penalty / 2 * weight.square().sum()).item()


@pytest.mark.parametrize("penalty", [1e-3, 1e-1])
def test_fit_agrees_with_scikit_learn(penalty):
    from sklearn.linear_model import LogisticRegression

    train, test = blobs(600), blobs(2000, seed=1)
    x, y, x_test = standardised(train), train.labels, standardised(test)
    reference = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-8, max_iter=5000).fit(x.numpy(), y.numpy())
    w_ref, b_ref = (torch.from_numpy(a.astype(np.float32)) for a in (reference.coef_.T, reference.intercept_))
    weight, bias = fit_logistic(x[None], y[None], 5, torch.tensor([penalty]))
    weight, bias = weight[0, 0], bias[0, 0]
    assert objective(x, y, weight, bias, penalty) == pytest.approx(objective(x, y, w_ref, b_ref, penalty), abs=1e-4)
    accuracy = ((x_test @ weight + bias).argmax(1) == test.labels).float().mean().item()
    assert accuracy == pytest.approx(reference.score(x_test.numpy(), test.labels.numpy()), abs=1e-3)


@pytest.mark.parametrize(("images", "spread"), [(400, 0.8), (400, 0.1), (15, 0.5)])  # the latter two are separable
def test_fit_is_no_worse_than_scikit_learns(images, spread):
    from sklearn.linear_model import LogisticRegression

    train, penalties = blobs(images, dim=20, spread=spread), torch.tensor([1e-6, 1e-4, 1e-2, 1.0])
    x, y = standardised(train), train.labels
    weights, biases = fit_logistic(x[None], y[None], 5, penalties)
    for penalty, weight, bias in zip(penalties.tolist(), weights[0].double(), biases[0].double(), strict=True):
        found = {}
        for tol in (1e-4, 1e-9):  # as it comes, and the optimum
            model = LogisticRegression(C=1 / (penalty * len(y)), tol=tol, max_iter=20_000).fit(x.double().numpy(), y)
            w, b = torch.from_numpy(model.coef_.T), torch.from_numpy(model.intercept_)
            found[tol] = objective(x.double(), y, w, b, penalty)
        ours = objective(x.double(), y, weight, bias, penalty)
        assert found[1e-9] * (1 - 1e-6) <= ours <= min(found[1e-9] * 1.005, found[1e-4] * 1.001)


def test_fit_beyond_what_is_decomposed(monkeypatch):
    train = blobs(300)
    args = (standardised(train).double()[None], train.labels[None], 5, torch.tensor([1e-4, 1e-2]), 500, 1e-8)
    expected = fit_logistic(*args)
    monkeypatch.setattr("ssl_cli.probes.solvers.logistic.EIGEN_LIMIT", 5)
    torch.testing.assert_close(fit_logistic(*args)[0], expected[0], atol=1e-5, rtol=1e-5)


def sparse(n, dim=60):
    """Counts of words: of each row few are not zero."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    often = 0.02 + 0.1 * (torch.arange(dim) % 3 == labels[:, None])
    return torch.rand(n, dim, generator=g).double() * (torch.rand(n, dim, generator=g) < often), labels


@pytest.mark.parametrize("chunk", [CHUNK_BYTES, 1000])
def test_sparse_rows_give_the_same_fit(monkeypatch, chunk):
    monkeypatch.setattr("ssl_cli.probes.solvers.logistic.CHUNK_BYTES", chunk)
    x, y = sparse(150)
    mean, std = x.mean(0), 0.1 + x.std(0)
    args = (y[None], 3, torch.tensor([1e-3, 1e-1]), 500, 1e-8)
    expected = fit_logistic((x[None] - mean) / std, *args)
    monkeypatch.setattr("ssl_cli.probes.solvers.rows.WIDE", 50)
    monkeypatch.setattr("ssl_cli.probes.solvers.rows.MANY", 100)
    monkeypatch.setattr("ssl_cli.probes.solvers.rows.SPARSE", 0.2)
    found = rows_of.standardised(x[None].clone(), mean, std)
    assert isinstance(found, rows_of.SparseRows)
    for classes in (256, 2):  # beyond so many, one penalty after the other
        monkeypatch.setattr("ssl_cli.probes.solvers.logistic.MANY", classes)
        weight, bias = fit_logistic(found, *args)
        torch.testing.assert_close(weight, expected[0], atol=1e-5, rtol=1e-4)
        centred = [b - b.mean(2, keepdim=True) for b in (bias, expected[1])]  # a constant more is the same model
        torch.testing.assert_close(*centred, atol=1e-5, rtol=1e-4)


def test_fit_is_a_stationary_point_by_autograd():
    train = blobs(200)
    x, y = standardised(train).double(), train.labels
    weight, bias = fit_logistic(x[None], y[None], 5, torch.tensor([0.01]), max_iter=500, tol=1e-8)
    weight, bias = weight[0, 0].requires_grad_(), bias[0, 0].requires_grad_()
    (F.cross_entropy(x @ weight + bias, y) + 0.005 * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-7
    assert bias.grad.abs().max() < 1e-7


def test_the_intercept_is_not_penalised():
    y = torch.tensor([0] * 6 + [1] * 3 + [2])
    weight, bias = fit_logistic(torch.randn(1, 10, 4), y[None], 3, torch.tensor([1e4]), tol=1e-6)
    assert weight.abs().max() < 1e-3
    torch.testing.assert_close(bias[0, 0].softmax(0), torch.tensor([0.6, 0.3, 0.1]), atol=1e-3, rtol=0)


def test_problems_solved_together_equal_problems_solved_alone():
    splits = [blobs(60, seed=s) for s in range(3)]
    x, y = torch.stack([standardised(s).double() for s in splits]), torch.stack([s.labels for s in splits])
    penalties = torch.tensor([1e-3, 1e-1, 10.0])
    weight, bias = fit_logistic(x, y, 5, penalties, 500, 1e-8)
    for g in range(3):
        for p in range(3):
            w, b = fit_logistic(x[g : g + 1], y[g : g + 1], 5, penalties[p : p + 1], 500, 1e-8)
            torch.testing.assert_close(weight[g, p], w[0, 0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(bias[g, p] - bias[g, p].mean(), b[0, 0] - b[0, 0].mean(), atol=1e-4, rtol=1e-4)


def test_fit_does_not_depend_on_the_chunk(monkeypatch):
    train = blobs(100)
    args = (standardised(train).double()[None], train.labels[None], 5, torch.tensor([0.01, 0.1]), 200, 1e-8)
    whole, _ = fit_logistic(*args)
    assert CHUNK_BYTES > 100 * 10 * 8
    monkeypatch.setattr("ssl_cli.probes.solvers.logistic.CHUNK_BYTES", 7 * 10 * 8)
    chunked, _ = fit_logistic(*args)
    torch.testing.assert_close(chunked, whole, atol=1e-6, rtol=1e-6)


def test_probe_solves_separable_classes():
    found = rows(Linear(draws=3), features(spread=0.02))
    assert [row["labels"] for row in found] == ["all", "10/class", "1/class"]
    assert found[0]["mean"] == found[1]["mean"] == 1.0
    assert [row["n"] for row in found] == [1, 3, 3]
    assert found[0]["std"] is None and found[1]["std"] is not None


def test_random_labels_are_at_chance():
    f = features()
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    f.train.labels, f.val.labels = f.train.labels[order], f.val.labels[order]
    (row,) = rows(Linear(labels=["all"]), f)
    assert 0.1 < row["mean"] < 0.3


def test_more_labels_help_and_fewer_spread():
    all_labels, ten, one = rows(Linear(draws=5), features())
    assert all_labels["mean"] > ten["mean"] > one["mean"] > 0.2
    assert one["std"] > 0
    assert one["settings"]["train_images"] == 5 and ten["settings"]["train_images"] == 50


def test_scale_and_offset_of_the_features_do_not_matter():
    f = features()
    (expected,) = rows(Linear(labels=["all"]), f)
    for split in (f.train, f.val, f.test):
        split.features = split.features * 50 - 7
    (row,) = rows(Linear(labels=["all"]), f)
    assert row["mean"] == pytest.approx(expected["mean"], abs=0.005)


def test_a_constant_feature_is_harmless():
    f = features()
    (expected,) = rows(Linear(labels=["all"]), f)
    for i, split in enumerate((f.train, f.val, f.test)):
        split.features = torch.cat([split.features, torch.full((400, 1), float(i))], 1)
    (row,) = rows(Linear(labels=["all"]), f)
    assert row["mean"] == pytest.approx(expected["mean"], abs=1e-6)


def test_the_test_split_has_no_part_in_the_choice():
    f = features()
    (row,) = rows(Linear(labels=["all"]), f)
    f.test = Split(f.test.features, (f.test.labels + 1) % 5)
    (other,) = rows(Linear(labels=["all"]), f)
    assert other["chosen"] == row["chosen"]
    assert other["mean"] < 0.2


def test_the_choice_follows_the_validation_split():
    f = features()
    # One penalty underfits to the most frequent class, so any sensible choice is the other.
    (row,) = rows(Linear(labels=["all"], penalties=[1e3, 1e-2]), f)
    assert row["chosen"] == {"penalty": [1e-2]}


def test_same_draws_same_result():
    assert rows(Linear(draws=2), features()) == rows(Linear(draws=2), features())


def test_a_budget_beyond_the_labels_is_left_out_with_a_notice():
    probe = Linear(labels=["1/class", "500/class"], draws=2)
    (row,) = rows(probe, features())
    assert row["labels"] == "1/class"
    (notice,) = probe.notices
    assert "500/class" in notice
    probe.labels = ["all"]
    rows(probe, features())
    assert probe.notices == []


def test_without_validation_labels_a_single_penalty_is_needed():
    f = features()
    f.val = Split(f.val.features[:0], f.val.labels[:0])
    probe = Linear()
    assert rows(probe, f) == []
    assert "which has no label" in probe.notices[0]
    (row,) = rows(Linear(labels=["all"], penalties=[0.01]), f)
    assert row["mean"] > 0.5


@pytest.mark.parametrize("wrong", [{"labels": ["ten"]}, {"penalties": [0.0, 1.0]}, {"penalties": []}])
def test_wrong_settings(wrong):
    with pytest.raises(UserError):
        Linear(**wrong)


def test_every_row_is_plain_data():
    found = rows(Linear(draws=2), features())
    assert json.loads(json.dumps(found)) == found


def test_of_many_classes_the_path_of_penalties_ends_as_low_with_fewer_evaluations(monkeypatch):
    train, penalties = blobs(120, classes=40, dim=60, spread=0.3), torch.tensor([1e-5, 1e-3, 1e-1, 10.0])
    x, y = standardised(train), train.labels
    evaluated, objective_of = [0], logistic._objective

    def counted(theta, *rest):
        evaluated[0] += theta.shape[1]
        return objective_of(theta, *rest)

    monkeypatch.setattr(logistic, "_objective", counted)
    together = fit_logistic(x[None], y[None], 40, penalties)
    at_once = evaluated[0]
    monkeypatch.setattr(logistic, "MANY", 39)
    path = fit_logistic(x.expand(2, -1, -1), y.expand(2, -1), 40, penalties)
    assert (evaluated[0] - at_once) / 2 < 0.8 * at_once
    assert torch.equal(path[0][0], path[0][1])  # the draws do not depend on each other
    for p, penalty in enumerate(penalties.tolist()):
        low, high = (objective(x, y, w[0, p], b[0, p], penalty) for w, b in (path, together))
        assert low < 1.001 * high


def test_of_many_classes_fewer_draws_are_made_and_fewer_evaluations_allowed_and_it_is_said(monkeypatch):
    monkeypatch.setattr("ssl_cli.probes.linear.MANY", 3)
    monkeypatch.setattr("ssl_cli.probes.linear.WORK", 4000)
    probe = Linear(labels=["all", "1/class"], draws=5)
    whole, few = probe.run(features(n=50))
    assert (whole.settings["max_iter"], few.settings["max_iter"]) == (4000 // (50 * 5), 4000 // (5 * 5))
    assert (whole.n, few.n) == (1, 3) and len(few.settings["label_seeds"]) == 3
    assert probe.notices == ["linear probe: 3 draws, not 5, because there are 5 classes"]


def test_of_many_classes_and_images_fewer_penalties_are_tried_and_that_is_said(monkeypatch):
    monkeypatch.setattr("ssl_cli.probes.linear.MANY", 4)
    every = Linear(labels=["all"], max_iter=5)
    assert every.run(features())[0].settings["penalties"] == every.penalties and not every.notices
    monkeypatch.setattr("ssl_cli.probes.linear.PATH_WORK", 3 * 12 * 400 * 5)
    probe = Linear(labels=["all"], max_iter=5)
    (result,) = probe.run(features())
    assert result.settings["penalties"] == [1e-5, 1e-3, 1e-1] and result.chosen["penalty"][0] in (1e-5, 1e-3, 1e-1)
    assert "3 penalties (1e-05, 0.001, 0.1), not 8, because there are 5 classes" in probe.notices[0]
    monkeypatch.setattr("ssl_cli.probes.linear.PATH_WORK", 1)
    assert Linear(labels=["all"], max_iter=5).run(features())[0].settings["penalties"] == [1e-4, 1e-2]
