"""Every YAML in conf/ composes, builds, documents its keys and refuses what is out of range."""

import copy
import functools
import re

import composition
import experiments
import pytest
from experiments import CONF, composed
from omegaconf import OmegaConf

from ssl_cli.backbones.adapt import KEYS
from ssl_cli.config.build import instantiate
from ssl_cli.config.check import _annotated_limits, _check_limits, check, check_fit
from ssl_cli.config.limits import within
from ssl_cli.config.schema import ANNOTATIONS, SCHEMAS
from ssl_cli.config.stored import check_targets
from ssl_cli.errors import UserError

FILES = sorted(f for f in CONF.glob("*/*.yaml") if not f.stem.startswith("_"))
OPTIONS = [(f.parent.name, f.stem) for f in FILES]  # an option's tests follow each other, and share its config
MUST_BE_SET = {
    "folder": ["dataset.root=somewhere"],
    "clips": ["dataset.root=somewhere"],
    "timm": ["backbone.name=test_resnet"],
    "sentence_encoder": ["backbone.weights=somewhere"],
    "adapt_small": ["dataset.root=somewhere", "backbone.name=test_resnet"],
}


def overrides_for(group, option):
    where = f"{group}@probes.{option}" if group == "probe" else group
    plus = "+" if group == "probe" and option not in ("knn", "linear", "propagate") else ""
    return [f"{plus}{where}={option}", *MUST_BE_SET.get("folder" if option.endswith("imagenet") else option, [])]


@pytest.mark.parametrize("command, typed", [("train", ["method=fixmatch", "trainer.epochs=2"]), ("probe", ["ckpt=x"])])
def test_what_tests_compose_in_little_time_is_what_hydra_composes(command, typed):
    quickly = OmegaConf.to_yaml(composed(command, typed))
    with composition.hydra_alone():
        assert OmegaConf.to_yaml(experiments._composed.__wrapped__(command, tuple(typed))) == quickly


@pytest.mark.parametrize("group, option", OPTIONS, scope="module")
def test_composes_and_passes_its_own_checks(group, option):
    config = composed("train", overrides_for(group, option))
    check(config, config, "train")
    if group in ("method", "pretext", "experiment"):
        needs_other = group == "pretext"
        if not needs_other:
            check_fit(config, [CONF])


def test_what_may_be_null_may_be_so_beside_an_experiment_that_sets_it():
    chosen = composed("train", ["experiment=cpu_small"])
    assert chosen.trainer.progressive
    check(composed("train", ["experiment=cpu_small", "trainer.progressive=null"]), chosen, "train")
    config = composed("train", ["experiment=cpu_small"])
    config.optimizer.lr = None
    with pytest.raises(UserError, match="optimizer.lr=null is not a number"):
        check(config, chosen, "train")


@pytest.mark.parametrize("group, option", OPTIONS, scope="module")
def test_the_defaults_are_plain_documented_and_known_to_be_ours(group, option):
    text = (CONF / group / f"{option}.yaml").read_text()
    assert text.startswith("#"), "the first line says what it is"
    if group == "experiment":  # its keys are documented where they belong
        for word in ("Paper: ", "Command: ", "Cost: ", "Expected: "):
            assert word in text.split("defaults:")[0]
        assert f"experiment={option}" in text
        return
    own = OmegaConf.create(text)
    for key in own:
        if key in ("defaults", "_target_", *ANNOTATIONS):
            continue
        (line,) = re.findall(rf"^{re.escape(str(key))}:.*$", text, re.M)
        block = text[text.index(line) :].split("\n\n")[0]
        assert "#" in block, f"{key} has no comment"
    node = composed("train", overrides_for(group, option))
    node = node.probes[option] if group == "probe" else node.get(group)
    if node is not None and "_target_" in node and group != "launcher":  # where a run was made is not in it
        # As a run keeps it: what a stranger's checkpoint may name, too.
        check_targets(OmegaConf.to_container(node, resolve=True))


@pytest.mark.parametrize("group", ["augment", "backbone", "probe", "schedule"])
def test_builds_without_data(group):
    for file in FILES:
        if file.parent.name == group:
            node = composed("train", overrides_for(group, file.stem))
            node = node.probes[file.stem] if group == "probe" else node[group]
            node = {key: value for key, value in node.items() if group != "backbone" or key not in KEYS}
            if file.stem == "sentence_encoder":  # which is nothing without a file
                continue
            told = {"vocab_size": 9, "max_tokens": 8} if file.stem == "text_small" else {"in_channels": 3}
            told |= {"timm": {"image_size": 64}, "frames": {"image_size": 64, "frames": 4}}.get(file.stem, {})
            run_time = {"backbone": told, "schedule": {"total_steps": 10, "steps_per_epoch": 5}}
            assert instantiate(node, **run_time.get(group, {})) is not None


@pytest.mark.parametrize("group, option", OPTIONS, scope="module")
def test_every_stated_limit_is_kept_by_the_default_and_enforced(group, option):
    config = composed("train", overrides_for(group, option))
    plain = OmegaConf.to_container(config)
    section = f"probes.{option}." if group == "probe" else f"{group}."
    own = []
    for key, limit in _annotated_limits(plain):
        default = OmegaConf.select(config, key)
        assert key.startswith(
            ("dataset", "augment", "backbone", "optimizer", "schedule", "method", "pretext", "probes", "launcher")
        )
        assert default is None or isinstance(default, str) or within(default, limit)
        if key.startswith(section):
            own.append(key)
            *parents, name = key.split(".")
            broken = copy.deepcopy(plain)
            functools.reduce(dict.__getitem__, parents, broken)[name] = -1e9
            with pytest.raises(UserError, match=re.escape(key)):
                _check_limits(broken, SCHEMAS["train"])
    for key in own[:1]:  # one is enough to show that the whole check looks at them
        OmegaConf.update(config, key, -1e9)
        with pytest.raises(UserError, match=re.escape(key)):
            check(config, config, "train")


@pytest.mark.parametrize(
    "limit, inside, outside",
    [("> 0", [1, 0.1], [0, -1]), (">= 1", [1], [0]), ("0 <= x < 1", [0, 0.9], [1, -0.1]), ("< 90", [89], [90])],
)
def test_limits(limit, inside, outside):
    assert all(within(value, limit) for value in inside)
    assert not any(within(value, limit) for value in outside)


def test_a_limit_that_cannot_be_read_is_a_mistake_of_the_yaml():
    with pytest.raises(ValueError, match="is written"):
        within(1, "positive")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "torch.hub.load",
        "builtins.eval",
        "ssl_cli.data.images.files.storage.os.system",
        "ssl_cli.data.dataset.replace",
        "ssl_cli.cli.main",
        "ssl_cli.runs.environment.subprocess.run",
        "ssl_cli.methods.simclr.torch.load",
        "my_package.Foo",
        ["os.system"],
        None,
    ],
)
def test_a_strangers_config_may_only_name_our_plug_ins(target):
    with pytest.raises(UserError, match="trusted_modules"):
        check_targets({"backbone": {"widths": [{"_target_": target}]}})


def test_a_module_that_the_user_trusts_is_allowed():
    check_targets({"method": {"_target_": "my_package.Foo"}}, ["my_package"])
    with pytest.raises(UserError):
        check_targets({"method": {"_target_": "my_package_2.Foo"}}, ["my_package"])
