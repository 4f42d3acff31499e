"""A checkpoint given to any other backbone or method: refused by the first key that differs, never loaded in part.

The figure: pytest -n 0 -m slow tests/survival/test_refused.py -s
"""

import itertools

import pytest
import torch
from experiments import CONF, composed
from omegaconf import OmegaConf
from torch import nn

from ssl_cli.errors import UserError
from ssl_cli.runs import checkpoint
from ssl_cli.runs.directory import RunDir
from ssl_cli.setup.initial import initialised
from ssl_cli.setup.parts import build_method
from ssl_cli.setup.prepare import prepare
from ssl_cli.training.resume import resumed_state

SETTINGS = ["dataset=shapes", "dataset.num_images=1000", "dataset.storage_size=32", "dataset.labels=4/class"]
CHOICES = {
    group: [f"{group}={file.stem}" for file in sorted((CONF / group).glob("[!_]*.yaml"))]
    for group in ("method", "backbone")
}


@pytest.fixture(scope="module")
def info():
    return prepare(composed("train", [*SETTINGS, "trainer.threads=1", "trainer.batch_size=16"])).info


def chosen(choice: str):
    """Return the config of a method, on the backbone that it comes with, or of SimCLR on a backbone."""
    return composed("train", [*SETTINGS, choice])


@pytest.fixture(scope="module", params=CHOICES)
def runs(request, info, tmp_path_factory):
    """One run of each choice of a group, saved before its first step; and the model of each."""
    root, models = tmp_path_factory.mktemp(request.param), {}
    for choice in CHOICES[request.param]:
        config = chosen(choice)
        model = build_method(config, info)
        models[choice] = model
        run = RunDir.create(root / choice, config, chosen_by_user=True)
        told = {"config": OmegaConf.to_container(config, resolve=True), "data": info.to_dict()}
        progress = {"step": 0}
        checkpoint.save(run.checkpoint_file(), {**told, "model": model.state_dict(), "progress": progress})
    return root, models


def shapes(model) -> dict:
    return {key: value.shape for key, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)),
            r"1.weight is of shape \[4, 3\] in the checkpoint and of shape",
        ),
        (nn.Sequential(nn.Linear(2, 3)), "1.weight is missing in the checkpoint"),
        (
            nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(1, 1)),
            "2.weight is of shape .* missing in the model",
        ),
    ],
)
def test_what_fits_in_part_is_not_loaded_in_part(other, said):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = model[0].weight.clone()
    with pytest.raises(UserError, match=f"RUN does not fit this model: {said}"):
        checkpoint.load_weights(model, other.state_dict(), "RUN")
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_loaded(value):
    model, other = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
    before = model[0].weight.clone()
    other[1].running_var[0] = value  # a statistic: it mends itself in training
    checkpoint.load_weights(model, other.state_dict(), "RUN")
    other[0].bias.data[1] = value
    model[0].weight.data.copy_(before)
    with pytest.raises(UserError, match="RUN cannot be used: 0.bias has values that are NaN or infinite"):
        checkpoint.load_weights(model, other.state_dict(), "RUN")
    assert torch.equal(model[0].weight, before)


@pytest.mark.slow
def test_weights_are_loaded_whole_or_not_at_all(runs):
    _, models = runs
    refused = same = 0
    for there, here in itertools.permutations(models, 2):
        weights, model = models[there].state_dict(), models[here]
        before = {key: value.clone() for key, value in model.state_dict().items()}
        if shapes(models[there]) == shapes(model):  # the same network, trained for another purpose
            same += 1
            continue
        first = next(k for k in (*before, *weights) if shapes(models[there]).get(k) != shapes(model).get(k))
        with pytest.raises(UserError, match="nothing was loaded") as error:
            checkpoint.load_weights(model, weights, there)
        assert f": {first} is " in str(error.value) and there in str(error.value)
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), (there, here)
        refused += 1
    print(f"{refused} pairs refused, {same} are of the same network")
    assert refused > same


@pytest.mark.slow
def test_a_run_does_not_go_on_from_anothers_checkpoint(runs, tmp_path):
    root, models = runs
    for there, here in itertools.permutations(models, 2):
        run = tmp_path / f"{there} in {here}"
        run.mkdir()
        (run / "checkpoints").symlink_to(root / there / "checkpoints")
        with pytest.raises(UserError, match="is not what last.pt was trained with") as error:
            resumed_state(RunDir(run), RunDir(root / here).config)
        assert f" {here.split('=')[0]}." in str(error.value), (there, here, str(error.value))


@pytest.mark.slow
@pytest.mark.parametrize("runs", ["backbone"], indirect=True)
def test_a_backbone_is_not_put_into_another(runs):
    root, models = runs
    for there, here in itertools.permutations(models, 2):
        config = RunDir(root / here).config
        config.init = str(root / there / "checkpoints/last.pt")
        with pytest.raises(UserError, match=r"another backbone than the one chosen: \w+ is .* there, .* here"):
            initialised(config, [here], ["backbone"])
