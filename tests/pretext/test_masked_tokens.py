"""Masked language modelling: which tokens are to be found, and what the method gets in their place."""

import pytest
import torch
from written_texts import sentences

from ssl_cli.augment.texts import TextChanges
from ssl_cli.batch import Batch, Target
from ssl_cli.data.texts import vocabulary
from ssl_cli.data.texts.info import TextInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.predict import Predict, mean_of_texts
from ssl_cli.pretext.masked_tokens import MaskedTokens

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def texts():
    rows = [text for text, _ in sentences(200)]
    words = vocabulary.train(rows, 400, 24)
    info = TextInfo("texts", (), len(rows), len(rows), 0, words.tokenizer, 24)
    return info, words.encode(rows)[:]


def task(info, rows, seed=0, augment=None, **settings):
    pretext = MaskedTokens(augment or TextChanges(), info, **{"ratio": 0.15, **settings})
    at = torch.arange(len(rows))
    return pretext(Batch(rows, torch.full_like(at, -1), at), torch.Generator().manual_seed(seed))


def test_of_the_tokens_to_be_found_8_in_10_are_hidden_and_1_is_exchanged(texts):
    info, rows = texts
    many = rows.repeat(20, 1)
    made = task(info, many)
    (view,), found = made.views, made.masks
    assert found.any(1).all() and not found[many == 0].any()
    assert found.sum().item() / (many != 0).sum().item() == pytest.approx(0.16, abs=0.02)
    hidden, same = view[found] == info.facts.mask, view[found] == many[found]
    assert hidden.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert same.float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(view[~found], many[~found]) and torch.equal(made.targets, many)
    assert not info.facts.special[view[found & (view != info.facts.mask)]].any()


def test_the_generator_decides_and_a_text_of_one_token_has_it_to_find(texts):
    info, rows = texts
    assert torch.equal(task(info, rows).views[0], task(info, rows).views[0])
    assert not torch.equal(task(info, rows).views[0], task(info, rows, seed=1).views[0])
    assert task(info, rows[:, :1]).masks.all()


def test_all_is_computed_where_the_tokens_are_and_the_tables_are_sent_there_once(texts):
    info, rows = texts
    elsewhere = torch.device("meta")  # it refuses to compute with what is on the CPU
    changes = TextChanges(crop={"p": 0.5}, delete=0.1, swap=0.1)
    made = task(info, rows.to(elsewhere), augment=changes)
    assert {made.views[0].device, made.targets.device, made.masks.device} == {elsewhere}
    assert info.facts.on(elsewhere) is info.facts.on(elsewhere) and info.facts.on(rows.device) is info.facts


def test_more_than_all_cannot_be_hidden_and_exchanged(texts):
    with pytest.raises(UserError, match="pretext.hidden=0.8 . pretext.exchanged=0.3 is more than 1"):
        task(*texts, exchanged=0.3)


def test_the_mean_over_texts_is_the_same_however_they_are_divided():
    values, rows = torch.tensor([1.0, 3.0, 10.0, 0.0]), torch.tensor([0, 0, 1, 3])
    whole = mean_of_texts(values, rows, 4)
    assert whole.item() == pytest.approx((2 + 10 + 0 + 0) / 4)
    parts = (mean_of_texts(values[:3], rows[:3], 2), mean_of_texts(values[3:], rows[3:] - 2, 2))
    assert whole == sum(parts) / 2


def test_a_method_finds_tokens_by_what_the_network_makes_of_each(texts):
    from ssl_cli.backbones.text.small import TextSmall

    info, rows = texts
    made = task(info, rows[:8])
    torch.manual_seed(0)
    size = info.vocabulary.size
    target = Target("tokens", size)
    method = Predict(
        TextSmall(size, 24, dim=16, depth=1, heads=2), info, target=target, layers=1, hidden_dim=8, decoder_dim=8
    )
    method.eval()
    out = method(made)
    logits = method.head(method.backbone.feature_map(made.views[0]))
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), made.targets, reduction="none")
    expected = ((losses * made.masks).sum(1) / made.masks.sum(1)).mean()
    torch.testing.assert_close(out["loss"], expected)
