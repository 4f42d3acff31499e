"""What a run notes of where it ran."""

import subprocess
from pathlib import Path

import pytest

from ssl_cli.runs.environment import _git_state

ROOT = Path(__file__).parents[2]


def test_the_commit_of_the_code_is_noted():
    if not (ROOT / ".git").exists():
        pytest.skip("not in a checkout")
    command = ["git", "-C", ROOT, "rev-parse", "HEAD"]
    assert _git_state()["commit"] == subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
