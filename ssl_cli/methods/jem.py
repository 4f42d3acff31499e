"""Your classifier is secretly an energy-based model (Grathwohl et al. 2020, JEM, arXiv:1912.03263)."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.ebm import CHECK_EVERY, check_energies, contrastive_divergence, noise_like
from ssl_cli.methods.shared.langevin import Chains, refuse_batchnorm
from ssl_cli.methods.shared.semi import labelled_rows
from ssl_cli.system.transfer import constant


def free_energy(logits: Tensor) -> Tensor:
    """Return ``E(x) = - log sum_y exp f(x)_y`` [B] of logits [B, K] (equation 6): high where no class is likely."""
    return -logits.logsumexp(dim=1)


class JEM(Method):
    """Cross-entropy on labelled images, and contrastive divergence of the same logits' energy on all images.

    Args:
        backbone: the network to train; without BatchNorm.
        data: facts about the images.
        mu: images without label per labelled one in a batch; you may also use all labels.
        weight: of contrastive divergence, beside cross-entropy.
        chains, buffer, restart, steps, step_size, noise, data_noise, alpha, energy_limit: as in `EBM`.
    """

    learns_from: ClassVar = "mixed"
    resizes: ClassVar = False  # the chains are images of one size

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        mu: int,
        weight: float,
        chains: int,
        buffer: int,
        restart: float,
        steps: int,
        step_size: float,
        noise: float,
        data_noise: float,
        alpha: float,
        energy_limit: float,
    ):
        super().__init__(backbone, data)
        if len(data.classes) < 2:
            raise UserError(
                f"method=jem needs some labels of at least two classes; {data.name} has {len(data.classes)}: put some "
                "images into one folder a class, or write method=ebm, which needs none"
            )
        refuse_batchnorm(backbone, "jem")
        shape = (data.channels, data.image_size, data.image_size)
        self.chains = Chains(
            buffer, shape, count=chains, restart=restart, steps=steps, step_size=step_size, noise=noise
        )
        self.mu, self.weight = mu, weight
        self.data_noise, self.alpha, self.energy_limit = data_noise, alpha, energy_limit
        self.classifier = nn.Linear(backbone.dim, len(data.classes))
        self._magnitude, self._seen = torch.zeros(()), 0

    def logits(self, pixels: Tensor) -> Tensor:
        """Return class logits [B, K] of images [B, C, H, W] in [0, 1]."""
        mean, std = (constant(v, pixels).view(-1, 1, 1) for v in (self.data.mean, self.data.std))
        logits = self.classifier(self.backbone((pixels - mean) / std))
        return logits if logits.dtype == torch.float64 else logits.float()

    def energy(self, pixels: Tensor) -> Tensor:
        """Return the energies [B] of images [B, C, H, W] in [0, 1]."""
        return free_energy(self.logits(pixels))

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take one view [B, C, H, W] and labels [B] (the first 1 / (1 + mu) known); move the chains."""
        view, n = task.views[0], labelled_rows(len(task.labels), self.mu)
        mean, std = (constant(v, view).view(-1, 1, 1) for v in (self.data.mean, self.data.std))
        pixels = view * std + mean
        samples = self.chains.sample(self.energy)
        logits = self.logits(pixels + self.data_noise * noise_like(pixels, task.indices))
        data, sampled = free_energy(logits), self.energy(samples)
        self._magnitude = torch.cat([data, sampled]).detach().abs().mean()
        supervised = F.cross_entropy(logits[:n], task.labels[:n])
        divergence = contrastive_divergence(data, sampled, self.alpha)
        return {
            "loss": supervised + self.weight * divergence,
            "supervised_loss": supervised.detach(),
            "energy_gap": (sampled.mean() - data.mean()).detach(),
        }

    def after_step(self, progress: float) -> None:
        """Stop the run if the energies diverge."""
        self._seen += 1
        if self._seen % CHECK_EVERY == 0 or progress >= 1:
            check_energies(self._magnitude, self.energy_limit)

    def predict(self, features: Tensor) -> Tensor:
        """Class logits [B, K] of features [B, dim]."""
        return self.classifier(features)

    def pictures(self, task: Task) -> dict[str, Tensor]:
        """Return samples: images of the buffer."""
        return {"samples": self.chains.images[:32].unflatten(0, (-1, 8))}
