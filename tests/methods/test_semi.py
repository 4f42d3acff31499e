"""Pseudo-labels, Mean Teacher, FixMatch and FlexMatch: closed forms, what gets no gradient, what is remembered."""

import pytest
import torch
from experiments import composed
from torch.nn import functional as F

from ssl_cli.batch import Task
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.flexmatch import class_thresholds
from ssl_cli.methods.mean_teacher import consistency, sigmoid_ramp
from ssl_cli.methods.shared.semi import guess, masked_cross_entropy, ramp
from ssl_cli.setup.parts import build_method, labelled_per_batch

INFO = ImageInfo("noise", 1, 16, tuple("0123456789"), 64, 64, 8, (0.5,), (0.25,))
METHODS = ["pseudo_label", "mean_teacher", "fixmatch", "flexmatch"]


def built(name, *overrides, info=INFO):
    return build_method(composed("train", [f"method={name}", "method.mu=3", *overrides]), info)


def task(seed=0, rows=16):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (rows,), generator=g)
    labels[rows // 4 :] = -1
    views = [torch.randn(rows, 1, 16, 16, generator=g) for _ in range(2)]
    return Task(views, None, labels, torch.arange(rows))


def test_the_weight_ramps_as_lee_has_it():
    t = torch.tensor([0, 99, 100, 350, 599, 600, 1000], dtype=torch.float64) / 1000
    alpha = 3 * ramp(t, 0.1, 0.6)
    torch.testing.assert_close(alpha, torch.tensor([0, 0, 0, 1.5, 2.994, 3, 3], dtype=torch.float64))
    assert ramp(torch.tensor(0.0), 0, 0) == 0 and ramp(torch.tensor(0.5), 0.5, 0.5) == 0


def test_guesses_pass_from_the_threshold_on_and_the_mean_is_over_all_rows():
    top = torch.tensor([0.96, 0.95, 0.94, 0.5], dtype=torch.float64)
    logits = torch.stack([top, (1 - top)], dim=1).log()
    classes, confidence = guess(logits)
    assert classes.tolist() == [0, 0, 0, 0]
    assert (confidence >= 0.95 - 1e-12).tolist() == [True, True, False, False]
    # Probabilities of the target class 0.7, 0.6, 0.2, 0.3: cross-entropies 0.357, 0.511, 1.609, 1.204.
    p = torch.tensor([0.7, 0.6, 0.2, 0.3], dtype=torch.float64)
    student = torch.stack([p, 1 - p], dim=1).log()
    loss = masked_cross_entropy(student, torch.zeros(4, dtype=torch.long), torch.tensor([1, 1, 0, 0]))
    torch.testing.assert_close(loss.item(), 0.216875, atol=1e-6, rtol=0)


def test_consistency_is_a_mean_over_images_and_classes():
    value = consistency(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    torch.testing.assert_close(value.item(), 0.145006, atol=1e-6, rtol=0)
    ramped = sigmoid_ramp(torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    torch.testing.assert_close(ramped, torch.tensor([0.006738, 0.060055, 0.286505, 0.731616, 1.0]), atol=1e-6, rtol=0)


def test_thresholds_of_flexmatch():
    counts = torch.tensor([5.0, 2, 0, 1], dtype=torch.float64)
    found = class_thresholds(counts, torch.tensor(12.0, dtype=torch.float64), 0.95)
    torch.testing.assert_close(
        found, 0.95 * torch.tensor([0.263158, 0.090909, 0, 0.043478]).double(), atol=1e-5, rtol=0
    )
    learned = class_thresholds(counts, torch.tensor(0.0, dtype=torch.float64), 0.95)
    torch.testing.assert_close(learned, torch.tensor([0.95, 0.2375, 0, 0.105556]).double(), atol=1e-6, rtol=0)
    assert class_thresholds(torch.zeros(3), torch.tensor(0.0), 0.95).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", METHODS)
def test_labels_are_needed_and_images_without_them_too(name):
    none = ImageInfo("flat", 1, 16, (), 64, 64, 0, (0.5,), (0.25,))
    with pytest.raises(UserError, match=f"method={name} needs labels"):
        built(name, info=none)
    all_ = ImageInfo("full", 1, 16, ("a", "b"), 64, 64, 64, (0.5,), (0.25,))
    with pytest.raises(UserError, match="leaves no image of full unlabelled.*method=supervised"):
        built(name, info=all_)


def test_a_batch_that_does_not_divide_is_refused():
    assert labelled_per_batch(256, 1, 7) == 32 and labelled_per_batch(256, 2, 7) == 32
    with pytest.raises(UserError, match="trainer.batch_size=256"):
        labelled_per_batch(255, 1, 7)
    with pytest.raises(UserError, match="each of 3 parts.*trainer.batch_size=264"):
        labelled_per_batch(256, 3, 7)


@pytest.mark.parametrize("name", METHODS)
def test_hidden_labels_do_not_matter_and_known_ones_do(name):
    method = built(name).eval()
    if "progress" in dict(method.named_buffers()):
        method.progress.fill_(1.0)
    batch = task()
    plain = method(batch)["loss"]
    batch.labels[4:] = 3
    assert torch.equal(method(batch)["loss"], plain)
    batch.labels[0] = (batch.labels[0] + 1) % 10
    assert not torch.equal(method(batch)["loss"], plain)


def test_at_threshold_one_nothing_is_learned_from_guesses():
    method = built("fixmatch", "method.threshold=1.0").eval()
    outputs = method(task())
    assert outputs["mask_rate"] == 0 and outputs["unsupervised_loss"] == 0
    assert outputs["loss"] == outputs["supervised_loss"]


def test_fixmatch_is_the_formula():
    method = built("fixmatch", "method.threshold=0.11").eval().double()
    batch = task()
    weak, strong = (method.network(view.double()) for view in batch.views)
    q = weak[4:].softmax(1)
    rows = F.cross_entropy(strong[4:], q.argmax(1), reduction="none")
    expected = F.cross_entropy(weak[:4], batch.labels[:4]) + (rows * (q.max(1).values >= 0.11)).sum() / 12
    batch.views = [view.double() for view in batch.views]
    torch.testing.assert_close(method(batch)["loss"], expected)


def test_the_guess_gets_no_gradient():
    method = built("fixmatch", "method.threshold=0.0").double()
    batch = task()
    weak, strong = (view.double().requires_grad_() for view in batch.views)
    method.eval()(Task([weak, strong], None, batch.labels, batch.indices))["loss"].backward()
    assert weak.grad[:4].abs().sum() > 0 and weak.grad[4:].abs().sum() == 0
    assert strong.grad[4:].abs().sum() > 0 and strong.grad[:4] is not None and strong.grad[:4].abs().sum() == 0


def test_teacher_and_average_follow_as_a_mean_of_all_at_first():
    method = built("mean_teacher", "method.momentum=0.9")
    weight = method.classifier.bias
    with torch.no_grad():
        for step, value in enumerate([1.0, 3.0, 5.0, 7.0]):
            weight.fill_(value)
            method.after_step(step / 4)
            # min(1 - 1/(t + 1), 0.9) = 0, 1/2, 2/3, 3/4: the mean of all so far.
            torch.testing.assert_close(method.teacher.module[1].bias, torch.full((10,), (1 + value) / 2))
        for _ in range(20):
            method.after_step(1.0)
        before = method.teacher.module[1].bias.clone()
        weight.fill_(17.0)
        method.after_step(1.0)
        torch.testing.assert_close(method.teacher.module[1].bias, 0.9 * before + 0.1 * 17)
    assert method.measured is method.teacher.module[0] and not any(p.requires_grad for p in method.teacher.parameters())


def test_teacher_of_other_views_disagrees_after_steps():
    method = built("mean_teacher", "method.momentum=0.9")
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.5)
    for step in range(3):
        outputs = method(task(step))
        outputs["loss"].backward()
        optimizer.step()
        method.after_step(step / 3)
    assert outputs["unsupervised_loss"] > 0
    assert not torch.equal(method.teacher.module[1].weight, method.classifier.weight)


def test_rounds_begin_anew_with_a_fixed_teacher():
    method = built("pseudo_label", "method.rounds=2", "method.restart=true", "method.threshold=0.0")
    initial = {k: v.clone() for k, v in method.network.state_dict().items()}
    assert method(task())["loss"] == method(task())["supervised_loss"]  # the first round: human labels alone
    with torch.no_grad():
        method.classifier.bias.add_(torch.arange(10.0))
    method.after_step(0.4)
    trained = {k: v.clone() for k, v in method.network.state_dict().items()}
    method.after_step(0.5)
    for key, value in method.network.state_dict().items():
        assert torch.equal(value, initial[key])
    for key, value in method.teacher.state_dict().items():
        assert torch.equal(value, trained[key])
    outputs = method(task())
    assert outputs["loss"] > outputs["supervised_loss"]
    method.after_step(0.6)
    assert torch.equal(method.teacher[1].bias, trained["1.bias"])
    goes_on = built("pseudo_label", "method.rounds=2")
    with torch.no_grad():
        goes_on.classifier.bias.add_(1.0)
    goes_on.after_step(0.5)
    assert torch.equal(goes_on.teacher[1].bias, goes_on.classifier.bias)
    with pytest.raises(UserError, match="ramp_start=0.9"):
        built("pseudo_label", "method.ramp_start=0.9")


def test_flexmatch_remembers_sure_guesses():
    method = built("flexmatch", "method.threshold=0.5")
    with torch.no_grad():
        method.classifier.bias[3] = 50.0
    assert (method.thresholds() == 0).all()
    method(task())
    assert (method.sure[4:16] == 3).all() and (method.sure[:4] == -1).all() and (method.sure[16:] == -1).all()
    # 12 of 64 are sure: beta = 12 / 52.
    torch.testing.assert_close(method.thresholds()[3].item(), 0.5 * (12 / 52) / (2 - 12 / 52))
    method.eval()
    before = method.sure.clone()
    method(task(1))
    assert torch.equal(method.sure, before)


@pytest.mark.parametrize("name", METHODS)
def test_guesses_for_the_evaluation(name):
    method = built(name).eval()
    features = torch.randn(32, method.measured.dim)
    classes, passed = method.pseudo_labels(features)
    assert torch.equal(classes, method.predict(features).argmax(1)) and passed.dtype == torch.bool
