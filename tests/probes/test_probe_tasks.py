"""The probes beyond kNN and linear: against scikit-learn, on solved and on hopeless toys, within budgets."""

import numpy as np
import pytest
import torch
from blobs import blobs, features
from experiments import image_info

from ssl_cli.augment.augment import Augment
from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.data.images.raw import Pixels
from ssl_cli.errors import UserError
from ssl_cli.probes.base import Features, Split
from ssl_cli.probes.cluster import Cluster
from ssl_cli.probes.fewshot import FewShot, nearest_mean
from ssl_cli.probes.finetune import FineTune
from ssl_cli.probes.frozen.cache import FeatureCache
from ssl_cli.probes.frozen.features import fingerprint
from ssl_cli.probes.frozen.networks import Layer
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.probes.linear_sgd import LinearSGD
from ssl_cli.probes.mlp import MLP
from ssl_cli.probes.ood import auroc, kth_distance
from ssl_cli.probes.retrieval import Retrieval, ranked
from ssl_cli.probes.scores.bootstrap import resamples


def test_average_precision_is_that_of_scikit_learn_and_recall_its_definition():
    from sklearn.metrics import average_precision_score

    split = blobs(60, spread=0.8)
    precision, found = ranked(split.features, split.labels, torch.arange(60), [1, 5])
    x = torch.nn.functional.normalize(split.features, dim=1)
    for i in range(60):
        others = torch.arange(60) != i
        right, scores = split.labels[others] == split.labels[i], (x[others] @ x[i])
        assert precision[i].item() == pytest.approx(average_precision_score(right, scores), abs=1e-6)
        order = scores.argsort(descending=True)
        assert found[i].tolist() == [right[order[:k]].any().item() for k in (1, 5)]


def test_retrieval_is_perfect_on_blobs_and_leaves_loners_out():
    f = features(spread=0.01)
    assert Retrieval().run(f)[0].row["mean"] == 1
    f.test.labels = f.test.labels.clone()
    f.test.labels[0], f.classes = 4, 5
    probe = Retrieval()
    (result,) = probe.run(f)
    assert result.settings["queries"] == 199 and "1 test images alone" in probe.notices[0]


def test_clusters_are_scikit_learns_and_matched_to_classes():
    f = features(spread=0.02)
    (result,) = Cluster(seeds=2).run(f)
    assert {name: scores["mean"] for name, scores in result.metrics.items()} == {
        "cluster_accuracy": 1,
        "nmi": 1,
        "ari": 1,
    }
    assert torch.equal(result.predicted[0], f.test.labels)
    f.test.labels = f.test.labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    (result,) = Cluster(seeds=2).run(f)
    assert result.metrics["cluster_accuracy"]["mean"] < 0.45 and abs(result.metrics["ari"]["mean"]) < 0.05


def test_k_means_of_many_classes_is_bounded_and_says_so(monkeypatch):
    before = Cluster(seeds=3, restarts=1).run(features())[0]
    assert "init" not in before.settings and before.n == 3
    monkeypatch.setattr("ssl_cli.probes.cluster.MANY", 3)
    monkeypatch.setattr("ssl_cli.probes.cluster.WORK", 7 * 200 * 4)
    probe = Cluster()
    (result,) = probe.run(features(spread=0.02))
    assert (result.n, result.settings["init"], result.settings["max_iter"]) == (2, "random", 7)
    assert "2 runs from images at random, of 7 iterations at most, because there are 4 classes" in probe.notices[0]
    monkeypatch.setattr("ssl_cli.probes.cluster.WORK", 1)
    assert Cluster(seeds=1).run(features())[0].settings["max_iter"] == 5


def test_nearest_mean_by_hand_and_few_shots_on_blobs():
    support = torch.tensor([[[[0.0, 0], [0, 2]], [[4, 0], [4, 2]]]])
    assert nearest_mean(support, torch.tensor([[[1.0, 1], [2.1, 1]]])).tolist() == [[[1, 0], [0, 1]]]
    one, five = FewShot(ways=3, episodes=50).run(features(spread=0.4))
    assert (one.labels, five.labels) == ("1/class", "5/class") and one.n == 50
    assert five.row["mean"] > one.row["mean"] > 1 / 3
    half = 1.96 * one.row["std"] / 50**0.5
    assert one.row["ci"] == pytest.approx([one.row["mean"] - half, one.row["mean"] + half])
    probe = FewShot(ways=9, shots=(1,), queries=500, episodes=5)
    (result,) = probe.run(features())
    assert (result.settings["ways"], result.settings["queries"]) == (4, 49) and "4 ways" in probe.notices[0]


def test_episodes_are_of_classes_that_train_has_not_where_labels_say_so():
    f = features(spread=0.4)
    f.train.labels = f.train.labels % 2  # classes 2 and 3 are new
    (auto,), (unseen,) = (FewShot(shots=(1,), episodes=50, classes=c).run(f) for c in ("auto", "unseen"))
    assert auto.settings == unseen.settings and auto.settings["ways"] == 2
    assert auto.settings["classes"] == "2 of which train has no image"
    only = features(spread=0.4)
    kept = only.test.labels >= 2
    only.test = Split(only.test.features[kept], only.test.labels[kept], only.test.positions[kept])
    assert FewShot(shots=(1,), episodes=50, classes="all").run(only)[0].metrics == auto.metrics
    (everything,) = FewShot(shots=(1,), episodes=50, classes="all").run(f)
    assert everything.settings["ways"] == 4 and "classes" not in everything.settings

    f.train.labels[0] = -1  # may be of any class
    assert FewShot(shots=(1,), episodes=5).run(f)[0].settings["ways"] == 4
    with pytest.raises(UserError, match=r"1 train images have no label.*write probe.classes=all"):
        FewShot(classes="unseen").run(f)
    with pytest.raises(UserError, match="no two classes of test are new"):
        FewShot(classes="unseen").run(features())
    with pytest.raises(UserError, match="did you mean 'unseen'"):
        FewShot(classes="unsen")


def test_auroc_is_that_of_scikit_learn_with_ties():
    from sklearn.metrics import roc_auc_score

    g = torch.Generator().manual_seed(0)
    ours, strange = (torch.randint(0, 9, (50,), generator=g).float() + s for s in (0, 2))
    weights = resamples(50)
    areas = auroc(ours, strange, weights, weights)
    truth, scores = np.repeat([0, 1], 50), torch.cat([ours, strange]).numpy()
    assert areas[0].item() == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    counts = torch.cat([weights[:, 3]] * 2).numpy()
    assert areas[3].item() == pytest.approx(roc_auc_score(truth, scores, sample_weight=counts), abs=1e-6)


def test_distance_to_the_kth_neighbour_on_the_circle():
    bank = torch.tensor([[1.0, 0], [0, 3], [-1, 0]])
    found = kth_distance(bank, torch.tensor([[5.0, 0]]), 2)
    assert found.item() == pytest.approx(2**0.5)


def test_mlp_solves_what_no_linear_classifier_can():
    def xor(seed):
        x = torch.randn(400, 2, generator=torch.Generator().manual_seed(seed))
        return Split(x, (x[:, 0] * x[:, 1] > 0).long(), torch.arange(400))

    f = Features(xor(0), xor(1), xor(2), classes=2)
    assert MLP().run(f)[0].row["mean"] > 0.93
    one, few = MLP(labels=["all", "10/class"], draws=2).run(f)
    assert few.row["n"] == 2 and few.row["std"] is not None and len(few.chosen["lr"]) == 2


def pictured(n=120, trainable=True):
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    images = torch.randint(0, 100, (n, 1, 8, 8), dtype=torch.uint8, generator=g)
    images[torch.arange(n), 0, 2 * labels] += 120
    torch.manual_seed(0)
    network = ConvNet(1, widths=(8, 16)) if trainable else Pixels(1, 8, (0.3,), (0.2,))
    source = FrozenModel(network, images, image_info(), torch.device("cpu"))
    parts = [torch.arange(i * n // 3, (i + 1) * n // 3) for i in range(3)]
    splits = [Split(source(at), labels[at], at) for at in parts]
    return Features(*splits, classes=3, source=source)


def test_fine_tuning_learns_in_a_copy_and_says_what_was_trained():
    f = pictured()
    before = fingerprint(f.source.network)
    probe = FineTune(Augment(), epochs=30, batch_size=20)
    (result,) = probe.run(f)
    assert result.row["mean"] > 0.9 and fingerprint(f.source.network) == before
    assert (
        result.settings["trained"] == "the whole backbone and a linear classifier" and "in a copy" in probe.notices[0]
    )
    assert FineTune(Augment()).run(pictured(trainable=False)) == []
    with pytest.raises(UserError, match="probe.blocks=9"):
        FineTune(Augment(), blocks=9).run(f)


def test_fine_tuning_of_the_last_block_leaves_the_others():
    f, probe = pictured(), FineTune(Augment(), blocks=1, epochs=1)
    model = probe._train(f, torch.arange(40), 1e-2, 0)
    stem, stage = model[0].blocks()
    assert fingerprint(stem) == fingerprint(f.source.network.blocks()[0])
    assert fingerprint(stage) != fingerprint(f.source.network.blocks()[1])


def test_linear_sgd_learns_from_augmented_images():
    f = pictured(trainable=False)
    (result,) = LinearSGD(Augment(noise=0.05), epochs=30, batch_size=20).run(f)
    assert result.row["mean"] > 0.9 and result.chosen["lr"][0] in result.settings["lrs"]


def test_features_are_kept_and_computed_anew_when_damaged_or_when_anything_changed(tmp_path):
    f = pictured()
    s, at = f.source, torch.arange(10)
    s.cache = FeatureCache(tmp_path / "features")
    first = s(at)
    assert torch.equal(s(at), first) and (s.cache.hits, s.cache.misses) == (1, 1)
    (file,) = (tmp_path / "features").iterdir()
    payload = bytearray(file.read_bytes())
    payload[len(payload) // 2] ^= 1
    file.write_bytes(payload)
    assert torch.equal(s(at), first) and s.cache.misses == 2  # one flipped bit
    s.inputs[3, 0, 0, 0] += 1
    assert not torch.equal(s(at), first) and s.cache.misses == 3
    other = FrozenModel(s.network, s.inputs, image_info(mean=(0.31,)), s.device, s.cache)
    other(at)
    FrozenModel(Layer(s.network, 1), s.inputs, s.info, s.device, s.cache)(at)
    with torch.no_grad():
        s.network.stem[0].weight[0, 0, 0, 0] += 1e-6
    FrozenModel(s.network, s.inputs, s.info, s.device, s.cache)(at)
    assert s.cache.misses == 6


def test_kept_features_stay_below_their_limit_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr("ssl_cli.probes.frozen.cache.LIMIT", 3000)
    cache = FeatureCache(tmp_path / "features")
    for key in "abc":
        cache.get(key, lambda: torch.zeros(300))
    assert cache.shelf.size() <= 3000 and (tmp_path / "features/c.npz").is_file()
    cache.get("large", lambda: torch.zeros(3000))
    assert not (tmp_path / "features/large.npz").exists()


def test_a_layer_is_the_mean_over_places_of_its_block():
    network = pictured().source.network.eval()
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(Layer(network, 2)(x), network(x))
    torch.testing.assert_close(Layer(network, 1)(x), network.stem(x).mean((2, 3)))
    assert Layer(network, 1).dim == 8
    with pytest.raises(UserError, match="1 to 2"):
        Layer(network, 3)
