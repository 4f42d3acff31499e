"""Changes of texts: what stays, what goes, and that the tokens of a word stay together."""

import pytest
import torch

from ssl_cli.augment.texts import TextChanges, Words, crop, delete, swap
from ssl_cli.errors import UserError

# Tokens 10 to 99 begin a word, 100 to 199 go on with it; 1 and 2 are a beginning and an end.
STARTS = torch.arange(200) < 100
SPECIAL = torch.zeros(200, dtype=torch.bool)
SPECIAL[:3] = True
ROWS = torch.tensor([[1, 10, 110, 11, 12, 112, 113, 2], [1, 20, 21, 2, 0, 0, 0, 0]])


def changed(recipe: TextChanges, rows=ROWS, seed: int = 0) -> torch.Tensor:
    return recipe(rows, STARTS, SPECIAL, torch.Generator().manual_seed(seed))


def words_of(row) -> list[tuple[int, ...]]:
    found = []
    for token in row.tolist():
        if token >= 100:
            found[-1] += (token,)
        elif token >= 10:
            found.append((token,))
    return found


def test_words_are_found_by_the_tokens_that_begin_them():
    words = Words.of(ROWS, STARTS, SPECIAL)
    assert words.number.tolist() == [[-1, 0, 0, 1, 2, 2, 2, -1], [-1, 0, 1, -1, -1, -1, -1, -1]]
    assert words.count.tolist() == [3, 2]
    torn = Words.of(torch.tensor([[110, 11]]), STARTS, SPECIAL)  # begins within a word
    assert torn.number.tolist() == [[0, 1]]


def test_without_changes_the_tokens_are_as_they_were():
    recipe = TextChanges()
    assert recipe.nothing and torch.equal(changed(recipe), ROWS)


def test_deletion_leaves_whole_words_out_and_one_of_them_stays():
    words = Words.of(ROWS, STARTS, SPECIAL)
    draws = torch.full(ROWS.shape, 0.9)
    draws[0, 1] = 0.1  # the second word of the first text
    left = delete(ROWS, words, draws, p=0.5)
    assert left.tolist() == [[1, 10, 110, 12, 112, 113, 2, 0], ROWS[1].tolist()]
    every = delete(ROWS, words, torch.rand(ROWS.shape, generator=torch.Generator().manual_seed(0)), p=1.0)
    assert [len(words_of(row)) for row in every] == [1, 1]
    assert every[0, 0] == 1 and 2 in every[0].tolist()


def test_as_many_words_are_deleted_as_the_probability_says():
    rows = torch.arange(10, 90)[None].repeat(200, 1)
    left = changed(TextChanges(delete=0.25), rows)
    assert (left != 0).sum().item() / rows.numel() == pytest.approx(0.75, abs=0.02)


def test_a_crop_is_a_span_of_whole_words_within_its_bounds():
    words = Words.of(ROWS, STARTS, SPECIAL)
    cut = crop(ROWS, words, torch.tensor([2, 1]), torch.tensor([0.99, 0.0]))
    assert cut.tolist() == [[1, 11, 12, 112, 113, 2, 0, 0], [1, 20, 2, 0, 0, 0, 0, 0]]
    rows = torch.arange(10, 50)[None].repeat(300, 1)
    kept = changed(TextChanges(crop={"p": 1.0, "share": [0.2, 0.5]}), rows)
    lengths = (kept != 0).sum(1)
    assert lengths.min() >= 8 and lengths.max() <= 20 and len(lengths.unique()) > 8
    assert all(row[0] + n - 1 == row[n - 1] for row, n in zip(kept.tolist(), lengths.tolist(), strict=True))
    assert kept[:, 0].min() == 10 and len(kept[:, 0].unique()) > 15
    most = changed(TextChanges(crop={"p": 1.0, "share": [1.0, 1.0], "most": 5}), rows)
    assert ((most != 0).sum(1) == 5).all()


def test_a_swap_exchanges_neighbours_and_loses_nothing():
    words = Words.of(ROWS, STARTS, SPECIAL)
    every = torch.ones(ROWS.shape, dtype=torch.bool)
    even = swap(ROWS, words, torch.tensor([False, False]), every)
    assert even.tolist() == [[1, 11, 10, 110, 12, 112, 113, 2], [1, 21, 20, 2, 0, 0, 0, 0]]
    odd = swap(ROWS, words, torch.tensor([True, True]), every)
    assert odd.tolist() == [[1, 10, 110, 12, 112, 113, 11, 2], ROWS[1].tolist()]
    drawn = changed(TextChanges(swap=0.5), torch.arange(10, 90)[None].repeat(50, 1))
    assert torch.equal(drawn.sort(1).values[0], torch.arange(10, 90)) and not torch.equal(drawn[0], drawn[1])


def test_the_generator_decides_and_no_word_is_torn():
    recipe = TextChanges(crop={"p": 0.5, "share": [0.5, 1.0]}, delete=0.2, swap=0.3)
    rows = ROWS[:1].repeat(64, 1)
    first = changed(recipe, rows)
    assert torch.equal(first, changed(recipe, rows)) and not torch.equal(first, changed(recipe, rows, seed=1))
    whole = set(words_of(ROWS[0]))
    assert all(set(words_of(row)) <= whole for row in first)
    ends = (first != 0).sum(1)
    assert (first.gather(1, ends[:, None] - 1) == 2).all()  # the end is at the end, and padding behind it


@pytest.mark.parametrize(
    ("crop", "told"),
    [
        ({"shere": [0.1, 1]}, "augment.crop has no key 'shere', only p, share, most; did you mean 'share'"),
        *(
            ({"share": share}, r"augment.crop.share is .*: expected \[low, high\] with 0 < low <= high <= 1$")
            for share in ([0.9, 0.1], 0.5, [0.5], ["a", "b"])
        ),
    ],
)
def test_settings_that_are_none_are_refused(crop, told):
    with pytest.raises(UserError, match=told):
        TextChanges(crop=crop)
