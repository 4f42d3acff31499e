"""k-means, the loss against a reference, the bank, the clusters and how they sample."""

import importlib.util
import math

import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from ssl_cli.backbones.convnet import ConvNet
from ssl_cli.batch import Task
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.deepcluster import DeepCluster, balanced_weights, cluster_cross_entropy
from ssl_cli.methods.shared.heads import unit
from ssl_cli.methods.shared.kmeans import fill_empty, spherical_kmeans

DATA = ImageInfo("digits", 1, 16, (), 40, 30, 0, (0.5,), (0.25,))
CLUSTERS = {"clusters": 3, "heads": 2, "temperature": 0.1, "iterations": 10, "kmeans": "sklearn", "balanced": True}
HEAD = {"layers": 2, "hidden_dim": 8, "out_dim": 5}
LIBRARIES = [name for name in ("sklearn", "faiss") if importlib.util.find_spec(name)]


def deepcluster(**changes):
    torch.manual_seed(0)
    return DeepCluster(ConvNet(1, (4, 8)), DATA, **{**CLUSTERS, **HEAD, **changes})


def task(indices, seed=0, sizes=(16, 16)):
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randn(len(indices), 1, size, size, generator=generator) for size in sizes]
    return Task(views, None, torch.full((len(indices),), -1), torch.tensor(indices))


@pytest.mark.parametrize("library", LIBRARIES)
def test_kmeans_finds_two_blobs_and_is_repeatable(library):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(2, (60,), generator=generator)
    x = unit(torch.randn(60, 4, generator=generator) + 5 * (2 * truth[:, None] - 1))
    centroids, ids = spherical_kmeans(x, 2, 10, seed=0, library=library)
    assert normalized_mutual_info_score(truth, ids) == pytest.approx(1)
    for k in range(2):
        mean = x[ids == k].mean(dim=0)
        torch.testing.assert_close(centroids[k], mean / mean.norm())
    again = spherical_kmeans(x, 2, 10, seed=0, library=library)
    assert torch.equal(again[0], centroids) and torch.equal(again[1], ids)


@pytest.mark.parametrize("library", LIBRARIES)
def test_kmeans_leaves_no_cluster_empty_even_of_equal_rows(library):
    x = unit(torch.tensor([[1.0, 0, 0]] * 8 + [[0, 1.0, 0]] * 2))
    centroids, ids = spherical_kmeans(x, 5, 10, seed=0, library=library)
    assert (ids.bincount(minlength=5) > 0).all()
    torch.testing.assert_close(centroids.norm(dim=1), torch.ones(5))


def test_an_empty_cluster_takes_half_of_the_largest():
    x = unit(torch.randn(11, 3, generator=torch.Generator().manual_seed(0)))
    ids = torch.tensor([0] * 8 + [2] * 3)
    centroids = torch.stack(
        [unit(x[:8].mean(0, keepdim=True))[0], torch.zeros(3), unit(x[8:].mean(0, keepdim=True))[0]]
    )
    kept = centroids[2].clone()
    fill_empty(x, centroids, ids, seed=0)
    assert ids.bincount().tolist() == [4, 4, 3] and torch.equal(centroids[2], kept)
    for k in (0, 1):
        torch.testing.assert_close(centroids[k], unit(x[ids == k].mean(dim=0, keepdim=True))[0])


def test_loss_equals_the_definition_row_by_row():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    centroids = unit(torch.randn(2 * 4, 5, generator=generator, dtype=torch.float64)).view(2, 4, 5)
    ids = torch.randint(4, (2, 6), generator=generator)
    total = 0.0
    for head in range(2):
        for i in range(6):
            logits = [float(z[i] @ c) / float(z[i].norm()) / 0.1 for c in centroids[head]]
            total += math.log(sum(map(math.exp, logits))) - logits[ids[head, i]]
    assert cluster_cross_entropy(z, centroids, ids, 0.1).item() == pytest.approx(total / 12, abs=1e-10)
    single = cluster_cross_entropy(z.float(), centroids.float(), ids, 0.1)
    assert single.item() == pytest.approx(total / 12, abs=1e-5)
    order = torch.tensor([2, 0, 3, 1])  # the names of clusters have no meaning
    renamed = cluster_cross_entropy(3 * z, centroids[:, order], order.argsort()[ids], 0.1)
    assert renamed.item() == pytest.approx(total / 12, abs=1e-10)


def test_loss_closed_forms():
    z, k = torch.zeros(3, 8), 7
    z[:, -1] = 2
    orthogonal = torch.eye(8)[None, :k]
    ids = torch.tensor([[0, 3, 6]])
    assert cluster_cross_entropy(z, orthogonal, ids, 0.1).item() == pytest.approx(math.log(k), abs=1e-5)
    at_centroid = cluster_cross_entropy(torch.eye(8)[:3], torch.eye(8)[None], torch.arange(3)[None], 0.5)
    assert at_centroid.item() == pytest.approx(math.log(1 + 7 * math.exp(-2)), abs=1e-6)


def test_bank_holds_the_latest_embedding_of_each_image_and_an_image_drawn_twice_counts_once():
    method = deepcluster()
    z = unit(torch.randn(4, 5))
    method.store(z, torch.tensor([7, 39, 7, 2]))
    assert method.bank.any(dim=1).nonzero().flatten().tolist() == [2, 7, 39]
    assert torch.equal(method.bank[[7, 39, 2]], z[[0, 1, 3]])
    method.store(z[2:3], torch.tensor([7]))
    assert torch.equal(method.bank[7], z[2])


def test_all_views_predict_the_cluster_of_their_image_and_the_mean_of_two_is_stored():
    method = deepcluster()
    views = task([5, 6, 30], sizes=(16, 16, 8))
    views.views = z = [torch.randn(3, 5) for _ in range(3)]
    method.projector, method.backbone = torch.nn.Identity(), torch.nn.Identity()
    loss = method(views)["loss"]
    ids = method.assigned[:, [5, 6, 30]]
    torch.testing.assert_close(loss, sum(cluster_cross_entropy(v, method.centroids, ids, 0.1) for v in z) / 3)
    torch.testing.assert_close(method.bank[[5, 6, 30]], unit((unit(z[0]) + unit(z[1])) / 2))


def test_an_epoch_clusters_what_is_stored():
    method = deepcluster()
    arbitrary = method.assigned.clone()
    assert [sorted(head.bincount().tolist()) for head in arbitrary] == [[13, 13, 14]] * 2
    method.start_epoch(0)
    assert torch.equal(method.assigned, arbitrary) and method.sampling_weights() is None
    method(task(list(range(20))))
    method.start_epoch(1)
    for head in range(2):
        expected = spherical_kmeans(method.bank[:20], 3, 10, seed=2 + head)
        assert torch.equal(method.centroids[head], expected[0]) and torch.equal(method.assigned[head, :20], expected[1])
    assert torch.equal(method.assigned[:, 20:], arbitrary[:, 20:])
    twin = deepcluster()
    twin.load_state_dict(method.state_dict())
    for each in (method, twin):
        each.start_epoch(2)
    assert torch.equal(twin.assigned, method.assigned) and torch.equal(twin.centroids, method.centroids)


def test_nmi_compares_a_clustering_with_the_one_before():
    method = deepcluster(heads=1, clusters=2)
    method.bank[:20] = unit(torch.randn(20, 5) * 0.1 + torch.tensor([1.0] * 10 + [-1.0] * 10)[:, None])
    method.start_epoch(1)
    assert method.nmi < 0.5  # the one before was arbitrary
    method.start_epoch(2)
    assert method.nmi.item() == pytest.approx(1)  # the same partition, whatever its names


def test_sampling_is_uniform_over_clusters():
    assert deepcluster(balanced=False).sampling_weights() is None
    ids = torch.cat([torch.tensor([0, 0, 0, 0, 0, 1, 2, 2]), torch.arange(32) % 3])
    weights = balanced_weights(ids, torch.arange(40) < 8)
    assert weights.shape == (40,)
    assert [float(weights[:8][ids[:8] == k].sum()) for k in range(3)] == pytest.approx([1, 1, 1])
    assert weights[8:].tolist() == pytest.approx([3 / 8] * 32)  # not seen: as the mean of those that were


def test_sampling_stays_as_it_is_within_an_epoch():
    method = deepcluster()
    method(task(list(range(20))))
    method.start_epoch(1)
    weights = method.sampling_weights().clone()
    assert torch.equal(weights, balanced_weights(method.assigned[0], torch.arange(40) < 20))
    method(task(list(range(10, 30))))  # more images are seen
    assert torch.equal(method.sampling_weights(), weights)
    twin = deepcluster()
    twin.load_state_dict(method.state_dict())
    assert torch.equal(twin.sampling_weights(), weights)


def test_every_view_is_predicted_and_only_the_networks_learn():
    method = deepcluster(balanced=False)
    outputs = method(task([0, 1, 2, 3], sizes=(16, 16, 8, 8)))
    outputs["loss"].backward()
    assert all(p.grad.abs().sum() > 0 for p in method.parameters())
    assert not {"centroids", "bank", "assigned", "nmi"} & {name for name, _ in method.named_parameters()}
    assert {"centroids", "bank", "assigned", "nmi"} < method.state_dict().keys()


def test_refuses_more_clusters_than_images_and_unknown_libraries(monkeypatch):
    with pytest.raises(UserError, match="method.clusters=31 is more than the 30 train images"):
        deepcluster(clusters=31)
    with pytest.raises(UserError, match="method.kmeans=scipy is not known"):
        deepcluster(kmeans="scipy")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs faiss, which is not installed"):
        deepcluster(kmeans="faiss")
