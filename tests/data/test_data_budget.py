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
        ("10%groups", ("group_fraction", 0.1)),
        ("10% of groups", ("group_fraction", 0.1)),
        ("4groups/class", ("groups_per_class", 4)),
        ("1 group / class", ("groups_per_class", 1)),
    ],
)
def test_budget_text(text, expected):
    assert parse_budget(text) == expected


@pytest.mark.parametrize(
    "text", ["", "none", 40, "40", "0%", "101%", "-1%", "0/class", "1.5/class", "4/classes", "10% of", "4groups", None]
)
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


GROUPS = torch.arange(92) // 4


def test_a_budget_of_groups_keeps_all_labels_of_each():
    for budget in ("20%groups", "2groups/class"):
        kept = draw(LABELS, budget, 0, groups=GROUPS)
        chosen = GROUPS[kept].unique()
        assert torch.equal(kept, torch.nonzero(torch.isin(GROUPS, chosen) & (LABELS >= 0)).flatten())
        for label in range(3):
            assert len(GROUPS[kept][LABELS[kept] == label].unique()) >= 2 - (budget[0] == "2" and label == 2)
    assert len(GROUPS[draw(LABELS, "1groups/class", 0, groups=GROUPS)].unique()) <= 3


def test_budgets_of_groups_are_nested_and_seeded():
    nested = [set(draw(LABELS, f"{n}groups/class", 3, groups=GROUPS).tolist()) for n in (1, 2, 3)]
    assert nested[0] < nested[1] < nested[2]
    assert not torch.equal(
        draw(LABELS, "2groups/class", 0, groups=GROUPS), draw(LABELS, "2groups/class", 1, groups=GROUPS)
    )


def test_a_tenth_of_groups_that_have_all_classes_is_a_tenth():
    labels, groups = torch.arange(1000) % 5, torch.arange(1000) // 10
    assert len(groups[draw(labels, "10%groups", 0, groups=groups)].unique()) == 10
    alone = torch.full_like(groups, -1)  # each image counts for itself
    assert len(draw(labels, "10%groups", 0, groups=alone)) == 100


def test_a_budget_of_groups_needs_them():
    with pytest.raises(UserError, match="dataset.group_column=NAME"):
        draw(LABELS, "2groups/class", 0)
    with pytest.raises(UserError, match="class '2' has: [1-7] groups"):
        draw(LABELS, "8groups/class", 0, groups=GROUPS)
