"""Samples of an energy: Langevin dynamics, and a buffer of chains that continue from step to step."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_cli.distributed.collectives import gather
from ssl_cli.distributed.group import rank, world_size
from ssl_cli.errors import UserError

# Largest step down the energy, per pixel and Langevin step, in units of [0, 1]. IGEBM's code has the same bound, as a
# step of 10 along a gradient of at most 0.01; JEM's has none.
GRADIENT_LIMIT = 0.1


def langevin(
    energy: Callable[[Tensor], Tensor],
    images: Tensor,
    steps: int,
    step_size: float,
    noise: Callable[[], Tensor] | None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> Tensor:
    """Return images after ``steps`` times ``x <- x - step_size dE/dx + noise``; no parameter gets a gradient.

    With ``noise`` of deviation ``sqrt(2 step_size)`` the chain samples ``exp(-E)``. Training uses a larger step and
    less noise, which samples a colder distribution (Nijkamp et al. 2019, arXiv:1903.12370).

    Args:
        energy: images [B, ...] to energies [B].
        images: where the chains start.
        steps: their number.
        step_size: of each.
        noise: draws [B, ...] to add; None: none.
        bounds: range of a pixel; also limits a single step to 0.1 of it. None: neither.
    """
    x = images.detach()
    for _ in range(steps):
        with torch.enable_grad():
            x = x.requires_grad_()
            (gradient,) = torch.autograd.grad(energy(x).sum(), x)
        move = step_size * gradient
        x = x.detach() - (move if bounds is None else move.clamp_(-GRADIENT_LIMIT, GRADIENT_LIMIT))
        x = x if noise is None else x + noise()
        x = x if bounds is None else x.clamp_(*bounds)
    return x


class Chains(nn.Module):
    """A buffer of images that Langevin chains continue from (persistent contrastive divergence, Tieleman 2008; IGEBM).

    Args:
        size: images in the buffer.
        shape: of an image, (C, H, W).
        count: number of chains moved at each step, over all processes.
        restart: probability that a chain starts from noise again.
        steps: Langevin steps.
        step_size: of each.
        noise: deviation of each step's noise, in units of [0, 1].
    """

    def __init__(
        self,
        size: int,
        shape: tuple[int, int, int],
        *,
        count: int,
        restart: float,
        steps: int,
        step_size: float,
        noise: float,
    ):
        super().__init__()
        if count > size:
            raise UserError(f"method.chains={count} are more than method.buffer={size} holds; write a larger buffer")
        self.count, self.restart, self.steps, self.step_size, self.noise = count, restart, steps, step_size, noise
        self.register_buffer("images", torch.rand(size, *shape))

    def sample(self, energy: Callable[[Tensor], Tensor]) -> Tensor:
        """Move some chains; return this process's share of them [count / world, C, H, W] in [0, 1].

        Every process draws for all processes, so N processes move the same chains as one.
        """
        device, world = self.images.device, world_size()
        chosen = torch.randperm(len(self.images), device=device)[: self.count]
        fresh = torch.rand(self.count, 1, 1, 1, device=device) < self.restart
        shape = (self.count, *self.images.shape[1:])
        start = torch.where(fresh, torch.rand(shape, device=device), self.images[chosen])

        def own(rows: Tensor) -> Tensor:
            return rows.chunk(world)[rank()]

        def noise() -> Tensor:
            return own(torch.randn(shape, device=device)).to(start.dtype) * self.noise

        moved = langevin(energy, own(start), self.steps, self.step_size, noise)
        self.images[chosen] = gather(moved).to(self.images.dtype)
        return moved


def refuse_batchnorm(backbone: nn.Module, method: str) -> None:
    """Raise ``UserError`` if the backbone makes the energy of an image depend on its batch."""
    if any(isinstance(module, _BatchNorm) for module in backbone.modules()):
        raise UserError(
            f"method={method} needs a backbone without BatchNorm: an image's energy must not depend on other images; "
            "write backbone=convnet_plain"
        )
