"""What Hydra says, in one line."""

from pathlib import Path

import pytest
from hydra.errors import MissingConfigException

from ssl_cli.config.explain import explain_missing


@pytest.mark.parametrize(("group", "option"), [("hydra/sweeper", "optuna"), ("hydra/launcher", "joblib")])
def test_an_extension_that_is_not_installed(group, option):
    error = MissingConfigException("", f"{group}/{option}", ["basic"])
    said = explain_missing(error, Path(), "train", [])
    assert said == f"{group}={option} is not installed: pip install 'ssl-cli[{option}]'"
