"""The regression probe: against scikit-learn, on targets that features tell and on those that they do not."""

import numpy as np
import pytest
import torch
from blobs import features

from ssl_cli.errors import UserError
from ssl_cli.probes.regression import Regression
from ssl_cli.probes.scores.metrics import regression
from ssl_cli.probes.solvers.ridge import fit_ridge


@pytest.mark.parametrize("n, d", [(60, 10), (10, 60)])
def test_ridge_is_that_of_scikit_learn(n, d):
    from sklearn.linear_model import Ridge

    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, d, generator=g).double(), torch.randn(n, 2, generator=g).double()
    penalties = torch.tensor([1e-3, 1.0]).double()
    weight, bias = fit_ridge(x, y, penalties)
    for p, penalty in enumerate(penalties.tolist()):
        reference = Ridge(alpha=penalty * n).fit(x, y)
        np.testing.assert_allclose(weight[p].T, reference.coef_, atol=1e-10)
        np.testing.assert_allclose(bias[p], reference.intercept_, atol=1e-10)


def test_regression_metrics_are_those_of_scikit_learn():
    from sklearn import metrics as sk

    g = torch.Generator().manual_seed(0)
    truth, predicted = torch.randn(80, generator=g).double(), torch.randn(2, 80, generator=g).double()
    found = regression(predicted, truth, torch.zeros(2, 80).double())
    for name, reference in (
        ("r2", sk.r2_score),
        ("mae", sk.mean_absolute_error),
        ("rmse", lambda y, p: sk.mean_squared_error(y, p) ** 0.5),
    ):
        assert found[name]["mean"] == pytest.approx(np.mean([reference(truth, p) for p in predicted]), abs=1e-9)
    assert found["mae_of_mean"]["mean"] == pytest.approx(truth.abs().mean().item())


def with_target(split, values):
    split.targets = {"t": values}
    return split


def test_regression_finds_a_linear_target_none_in_noise_and_leaves_unknown_values_out():
    f = features(spread=1.0)
    for split in (f.train, f.val, f.test):
        with_target(split, 3 * split.features[:, 0] - split.features[:, 1] + 5)
    f.test.targets["t"][:7] = float("nan")
    full, tenth = Regression(labels=["all", "10%"], draws=3).run(f)
    assert full.row["metric"] == "r2" and full.row["mean"] > 0.999 and full.row["target"] == "t"
    assert tenth.row["n"] == 3 and tenth.settings["train_images"] == 20
    assert full.predicted.shape == (1, 200) and full.predicted[0].isnan().sum() == 7
    assert full.metrics["rmse_of_mean"]["mean"] > 50 * full.metrics["rmse"]["mean"]
    for split in (f.train, f.val, f.test):
        with_target(
            split, torch.randn(200, generator=torch.Generator().manual_seed(len(split.targets))).roll(split.labels[1])
        )
    f.train.targets["t"] = f.train.targets["t"].flip(0)
    assert Regression().run(f)[0].row["mean"] < 0.2


def test_a_constant_target_is_left_out_and_a_nearly_constant_one_has_finite_scores():
    f = features()
    for split in (f.train, f.val, f.test):
        with_target(split, torch.full((200,), 7.5))
    probe = Regression()
    assert probe.run(f) == [] and probe.notices == ["regression of t: left out, because it is 7.5 in every test image"]
    f.test.targets["t"][0] = 8  # a third of the resamples have no other value
    for periods in ([], ["t:24"]):
        (result,) = Regression(periods=periods).run(f)
        numbers = [x for m in result.metrics.values() for x in (m["mean"], *m["ci"])]
        assert torch.tensor(numbers).isfinite().all()


def test_a_circular_target_is_predicted_across_its_seam():
    f = features()
    for s, split in enumerate((f.train, f.val, f.test)):
        angle = 360 * torch.rand(200, generator=torch.Generator().manual_seed(s))
        split.features = torch.stack([torch.deg2rad(angle).cos(), torch.deg2rad(angle).sin()], 1)
        with_target(split, angle)
    (flat,), (round_,) = Regression().run(f), Regression(periods=["t:360"]).run(f)
    assert round_.row["mean"] > 0.999 and round_.metrics["mae"]["mean"] < 1 < flat.metrics["mae"]["mean"]


@pytest.mark.parametrize("wrong", [{"labels": ["4/class"]}, {"penalties": [0]}, {"periods": ["t:-1"]}])
def test_wrong_settings_of_a_regression(wrong):
    with pytest.raises(UserError):
        Regression(**wrong)


def test_an_unknown_target_names_the_nearest():
    f = features()
    for split in (f.train, f.val, f.test):
        split.targets = {"size": split.features[:, 0]}
    with pytest.raises(UserError, match="did you mean 'size'"):
        Regression(targets=["sise"]).run(f)


def test_without_a_number_other_ways_are_named_whatever_the_input_is():
    f = features()
    f.train.targets.clear()
    told = "no numeric target to predict; .* for numbers of images, .* write probe=linear"
    with pytest.raises(UserError, match=told):
        Regression().run(f)
