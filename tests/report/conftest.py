"""What tests of reports share."""

import pytest
from written_runs import put


@pytest.fixture
def sweep(tmp_path):
    """Two methods and three seeds: one far better than the pixels, one a little."""
    for seed in range(3):
        put(tmp_path / f"sweep/{seed}-a", "byol", seed, 0.95 + 0.005 * seed)
        put(tmp_path / f"sweep/{10 + seed}-b", "simclr", seed, 0.805 + 0.005 * seed)
    return tmp_path / "sweep"
