import subprocess
import sys

import pytest
import torch

from ssl_cli.data.budget import parse_budget
from ssl_cli.data.labels import draw, fingerprint
from ssl_cli.errors import UserError

LABELS = torch.tensor([0] * 40 + [1] * 25 + [2] * 7 + [-1] * 20)[
    torch.randperm(92, generator=torch.Generator().manual_seed(1))
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", ("all", None)),
        ("10%", ("fraction", 0.1)),
        ("0.5 %", ("fraction", 0.005)),
        ("100%", ("fraction", 1.0)),
        ("4/class", ("per_class", 4)),
    ],
)
def test_budget_text(text, expected):
    assert parse_budget(text) == expected


@pytest.mark.parametrize("text", ["", "none", 40, "40", "0%", "101%", "-1%", "0/class", "1.5/class", "4/classes", None])
def test_malformed_budget_names_what_was_written(text):
    with pytest.raises(UserError, match="dataset.labels=") as error:
        parse_budget(text)
    assert str(text) in str(error.value)
    assert "\n" not in str(error.value)


def test_budget_is_checked_without_torch():
    code = "import sys, ssl_cli.data.budget; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _per_class(positions):
    return [int((LABELS[positions] == label).sum()) for label in range(3)]


def test_draw_is_stratified_and_never_takes_unlabelled_images():
    assert _per_class(draw(LABELS, "all", 0)) == [40, 25, 7]
    assert _per_class(draw(LABELS, "20%", 0)) == [8, 5, 1]
    assert _per_class(draw(LABELS, "1%", 0)) == [1, 1, 1]
    assert _per_class(draw(LABELS, "4/class", 0)) == [4, 4, 4]
    assert len(draw(LABELS, "50%", 0)) == 20 + 12 + 4  # -1 is no class


def test_draws_of_one_seed_are_nested_and_sorted():
    nested = [set(draw(LABELS, budget, 3).tolist()) for budget in ("1/class", "2/class", "30%", "60%", "100%", "all")]
    for smaller, larger in zip(nested, nested[1:], strict=False):
        assert smaller <= larger
    positions = draw(LABELS, "4/class", 3)
    assert positions.tolist() == sorted(positions.tolist())


def test_draw_depends_on_the_seed_alone():
    torch.manual_seed(5)
    first = draw(LABELS, "4/class", 0)
    torch.manual_seed(6)
    assert torch.equal(first, draw(LABELS, "4/class", 0))
    assert not torch.equal(first, draw(LABELS, "4/class", 1))
    assert fingerprint(first) == fingerprint(draw(LABELS, "4/class", 0)) != fingerprint(draw(LABELS, "4/class", 1))


def test_more_labels_than_the_smallest_class_has():
    with pytest.raises(UserError, match="class 'wolf' has: 7"):
        draw(LABELS, "8/class", 0, classes=("cat", "dog", "wolf"))


def test_budget_without_labels():
    with pytest.raises(UserError, match="have none"):
        draw(torch.full((5,), -1), "10%", 0)
    assert draw(torch.full((5,), -1), "all", 0).numel() == 0
