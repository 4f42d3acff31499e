"""An energy over images (Du and Mordatch 2019, IGEBM, arXiv:1903.08689): low on data, high on its own samples."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import RunError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.langevin import Chains, refuse_batchnorm
from ssl_cli.system.transfer import constant

CHECK_EVERY = 10  # steps between two looks at the size of the energies


def contrastive_divergence(data: Tensor, samples: Tensor, alpha: float) -> Tensor:
    """Return ``mean E(x+) - mean E(x-) + alpha (mean E(x+)^2 + mean E(x-)^2)`` (IGEBM, section 3.2).

    Without the last term its gradient is the gradient of the negative log-likelihood of ``exp(-E) / Z``. Only
    differences of energies matter, so the last term keeps the energies near 0.

    Args:
        data: [B] energies of images of the data.
        samples: [M] energies of samples of the model.
        alpha: weight of the squares.
    """
    return data.mean() - samples.mean() + alpha * (data.square().mean() + samples.square().mean())


def check_energies(magnitude: Tensor, limit: float) -> None:
    """Raise ``RunError`` if the energies of data and samples diverge from each other."""
    value = magnitude.item()
    if not value < limit:  # also NaN
        raise RunError(
            f"the energy diverges: its mean size is {value:.3g}, more than method.energy_limit={limit:g}; try a "
            "third of optimizer.lr, a larger method.alpha, more method.steps or a smaller method.step_size"
        )


class EBM(Method):
    """A linear layer on the backbone's features gives the energy; contrastive divergence with persistent chains.

    Args:
        backbone: the network to train; without BatchNorm.
        data: facts about the images.
        chains: number of chains moved at each step.
        buffer: number of images that the chains continue from.
        restart: probability that a chain starts from noise again.
        steps: of Langevin dynamics at each training step.
        step_size: of each, on pixels in [0, 1].
        noise: deviation of the noise of each.
        data_noise: deviation of noise on the data, so that their edges are no sharper than samples can have.
        alpha: weight of the squared energies in the loss.
        energy_limit: the run stops when the mean size of the energies exceeds this.
    """

    resizes: ClassVar = False  # the chains are images of one size

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
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
        refuse_batchnorm(backbone, "ebm")
        shape = (data.channels, data.image_size, data.image_size)
        self.chains = Chains(
            buffer, shape, count=chains, restart=restart, steps=steps, step_size=step_size, noise=noise
        )
        self.data_noise, self.alpha, self.energy_limit = data_noise, alpha, energy_limit
        self.head = nn.Linear(backbone.dim, 1)
        self._magnitude, self._seen = torch.zeros(()), 0  # of the latest energies; steps since the program started

    def energy(self, pixels: Tensor) -> Tensor:
        """Return the energies [B] of images [B, C, H, W] in [0, 1]."""
        mean, std = (constant(v, pixels).view(-1, 1, 1) for v in (self.data.mean, self.data.std))
        energies = self.head(self.backbone((pixels - mean) / std)).squeeze(1)
        return energies if energies.dtype == torch.float64 else energies.float()

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take one view [B, C, H, W]; move the chains."""
        view = task.views[0]
        mean, std = (constant(v, view).view(-1, 1, 1) for v in (self.data.mean, self.data.std))
        pixels = view * std + mean
        samples = self.chains.sample(self.energy)
        # Each image's noise depends on its position, not on the process that has it.
        data = self.energy(pixels + self.data_noise * noise_like(pixels, task.indices))
        sampled = self.energy(samples)
        self._magnitude = torch.cat([data, sampled]).detach().abs().mean()
        loss = contrastive_divergence(data, sampled, self.alpha)
        return {"loss": loss, "energy_gap": (sampled.mean() - data.mean()).detach()}

    def after_step(self, progress: float) -> None:
        """Stop the run if the energies diverge."""
        self._seen += 1
        if self._seen % CHECK_EVERY == 0 or progress >= 1:
            check_energies(self._magnitude, self.energy_limit)

    def pictures(self, task: Task) -> dict[str, Tensor]:
        """Return samples: images of the buffer."""
        return {"samples": self.chains.images[:32].unflatten(0, (-1, 8))}


def noise_like(images: Tensor, indices: Tensor) -> Tensor:
    """Return normal noise [B, C, H, W] that depends on the random state and on each image's index alone."""
    field = torch.randn(64, *images.shape[1:], device=images.device).to(images.dtype)
    return field[indices % 64]
