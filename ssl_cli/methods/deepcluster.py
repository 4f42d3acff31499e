"""DeepCluster: cluster the features, predict the clusters, again every epoch.

The objective is DeepCluster-v2 (Caron et al. 2020, arXiv:2006.09882, appendix D, and its code): spherical k-means on
the projected features that were stored during the epoch before, and centroids in place of a learned classifier. Two
parts come from v1 (Caron et al. 2018, arXiv:1807.05520, section 3.3): the reassignment of empty clusters and, as a
choice, sampling that is uniform over clusters. PCA whitening and v1's new classifier in each epoch are left out: v2
does not need them.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.distributed.collectives import gather
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.crops import encode
from ssl_cli.methods.shared.heads import mlp, unit
from ssl_cli.methods.shared.kmeans import require, spherical_kmeans


def cluster_cross_entropy(z: Tensor, centroids: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of ``z C / T`` to the cluster of each input, averaged over inputs and heads.

    Args:
        z: [B, d] embeddings, any scale.
        centroids: C [H, K, d] of H clusterings, unit rows.
        ids: [H, B] int64 in [0, K), the cluster of each row of z.
        temperature: T > 0.

    Returns:
        Scalar; ``ln K`` if each row is equally near to all centroids. Computed in float32 at least.
    """
    z = unit(z)
    with torch.autocast(z.device.type, enabled=False):
        logits = z @ centroids.transpose(1, 2).to(z.dtype) / temperature  # [H, B, K]
    return F.cross_entropy(logits.flatten(0, 1), ids.flatten())


def balanced_weights(ids: Tensor, stored: Tensor) -> Tensor:
    """Return how often to draw each input, so that all clusters are drawn equally often.

    Args:
        ids: [N] int64, the cluster of each input.
        stored: [N] bool, the inputs seen so far; the others are drawn as often as their average.

    Returns:
        [N]; the stored inputs of each cluster add up to 1.
    """
    weights = 1 / ids[stored].bincount(minlength=int(ids.max()) + 1).clamp(min=1)[ids]
    return torch.where(stored, weights, weights[stored].mean())


class DeepCluster(Method):
    """Backbone, projector, a bank of every input's embedding, and ``heads`` clusterings of the bank.

    All views of an input predict its cluster; the bank stores the mean of the first two views' embeddings (the
    published code stores both, in two banks that the heads use in turn). In the first epoch the bank is empty: the
    centroids and an even partition of the inputs are random, as in learning by predicting noise (Bojanowski & Joulin
    2017, arXiv:1704.05310). An input keeps that cluster until the bank has it. The published code first fills its bank
    by a pass over the data, and leaves out inputs that are not in it.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        clusters: int,
        heads: int,
        temperature: float,
        iterations: int,
        kmeans: Literal["sklearn", "faiss"],
        balanced: bool,
        layers: int,
        hidden_dim: int,
        out_dim: int,
    ):
        super().__init__(backbone, data)
        if clusters > data.train_size:
            raise UserError(
                f"method.clusters={clusters} is more than the {data.train_size} train {data.noun}s of {data.name}; "
                f"write method.clusters={max(data.train_size // 10, 2)} or less"
            )
        require(kmeans)
        self.temperature, self.iterations, self.kmeans, self.balanced = temperature, iterations, kmeans, balanced
        self.projector = mlp(backbone.dim, hidden_dim, out_dim, layers)
        centroids = torch.randn(heads, clusters, out_dim)
        self.register_buffer("centroids", F.normalize(centroids, dim=2))
        self.register_buffer("bank", torch.zeros(data.images, out_dim))  # unit rows; zeros: not seen yet
        arbitrary = torch.stack([torch.randperm(data.images) % clusters for _ in range(heads)])
        self.register_buffer("assigned", arbitrary)  # cluster of each input, by each head
        self.register_buffer("nmi", torch.tensor(0.0))  # between the first head's last two clusterings
        # How often each input is drawn in this epoch; zeros: each once. Kept, because the bank changes in an epoch.
        self.register_buffer("drawn", torch.zeros(data.images) if balanced else None)

    def start_epoch(self, epoch: int) -> None:
        """Cluster what was stored, once there are as many inputs as clusters."""
        heads, clusters, _ = self.centroids.shape
        stored = self.bank.any(dim=1).nonzero().squeeze(1)
        if len(stored) < clusters:
            return
        from sklearn.metrics import normalized_mutual_info_score

        before = self.assigned[0, stored]
        for head in range(heads):
            seed = epoch * heads + head
            self.centroids[head], self.assigned[head, stored] = spherical_kmeans(
                self.bank[stored], clusters, self.iterations, seed, self.kmeans
            )
        self.nmi.fill_(normalized_mutual_info_score(before.cpu(), self.assigned[0, stored].cpu()))
        if self.balanced:
            self.drawn.copy_(balanced_weights(self.assigned[0], self.bank.any(dim=1)))

    def sampling_weights(self) -> Tensor | None:
        """Draw every cluster of the first head equally often, and inputs not seen yet as often as the average input."""
        return self.drawn if self.balanced and self.drawn.any() else None

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take ``task.views`` of at least two tensors [B, ...], and the ``task.indices`` [B] of the inputs."""
        z = self.projector(encode(self.backbone, task.views))
        first, second = unit(z.detach()).chunk(len(task.views))[:2]
        self.store(unit(first + second), task.indices)
        ids = self.assigned[:, task.indices].repeat(1, len(task.views))
        return {"loss": cluster_cross_entropy(z, self.centroids, ids, self.temperature), "nmi": self.nmi.clone()}

    def store(self, z: Tensor, indices: Tensor) -> None:
        """Put all ranks' embeddings [B, d] of the inputs at positions [B] into the bank."""
        z, indices = gather(z), gather(indices)
        # An input may be drawn twice: its first row counts, in whatever order the device writes.
        first = (indices[:, None] == indices[None, :]).int().argmax(dim=1)
        self.bank[indices] = z[first].to(self.bank.dtype)

    def embed(self, features: Tensor) -> Tensor:
        """Return the embeddings to cluster, before they are scaled to unit length: [B, out_dim]."""
        return self.projector(features)
