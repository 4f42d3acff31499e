"""Each setting of the program is declared once, with all that is known of it."""

import subprocess
import sys

import pytest
from experiments import CONF
from omegaconf import OmegaConf

from ssl_cli.config.jobs import slug
from ssl_cli.config.limits import within
from ssl_cli.config.schema import CHOICES, HOUSEKEEPING, RESUMABLE, SCHEMAS, TrainerConfig

TRAINER = OmegaConf.load(CONF / "trainer/default.yaml")


def test_the_trainers_settings_are_those_of_its_yaml_and_its_defaults_keep_what_is_declared():
    assert set(TrainerConfig.__dataclass_fields__) == set(TRAINER)
    for name, field in TrainerConfig.__dataclass_fields__.items():
        if TRAINER[name] is not None and "limit" in field.metadata:
            assert within(TRAINER[name], field.metadata["limit"]), name
        if field.metadata["choices"]:
            assert TRAINER[name] in field.metadata["choices"] == CHOICES[name]


@pytest.mark.parametrize("command", SCHEMAS)
def test_a_command_has_the_settings_of_its_yaml(command):
    own = {str(key) for key in OmegaConf.load(CONF / f"{command}.yaml")} - {"defaults", "hydra"}
    assert own <= set(SCHEMAS[command].__dataclass_fields__)


def test_what_changes_the_weights_can_neither_change_on_resume_nor_go_unnamed():
    learned_from = {
        f"trainer.{name}" for name in ("batch_size", "accumulate", "clip_grad", "clip_by", "precision", "layer_decay")
    }
    learned_from |= {"seed", "method", "dataset", "optimizer", "init"}
    assert not learned_from & {*RESUMABLE, *HOUSEKEEPING}
    assert {"trainer.epochs", "trainer.device", "dataset.root"} <= set(RESUMABLE)
    assert "trainer.epochs" not in HOUSEKEEPING and "trainer.device" in HOUSEKEEPING


def test_a_jobs_directory_is_named_by_what_makes_its_model():
    typed = ["seed=1", "trainer.threads=2", "launcher=local", "launcher.jobs=2", "dataset.labels=4/class"]
    assert slug(typed) == "dataset.labels-4-class_seed-1"
    assert slug(["probe=knn", "ckpt=last"]) == "ckpt-last_probe-knn"
    assert slug(["trainer.device=cpu"]) == "default"


def test_the_schema_needs_no_library():
    code = "import sys, ssl_cli.config.schema; sys.exit('omegaconf' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
