"""Masked autoencoder (He et al. 2022, arXiv:2111.06377): see a few patches of an image, predict the others."""

import torch
from torch import Tensor, nn

from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.vit import Block, ViT, positions
from ssl_cli.batch import Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.methods.shared.masks import enlarge, patchify, shown, unpatchify


def masked_patch_loss(predicted: Tensor, patches: Tensor, masks: Tensor) -> Tensor:
    """Return the mean squared error over the hidden patches.

    Args:
        predicted: [B, N, P].
        patches: [B, N, P].
        masks: [B, N] bool, True where hidden; equally many in each image.
    """
    hidden = masks.to(predicted.dtype)
    return ((predicted - patches).square().mean(2) * hidden).sum() / hidden.sum()


def normalised(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return patches [B, N, P] with mean 0 and deviation 1 each, and these means and deviations [B, N, 1]."""
    mean, std = patches.mean(2, keepdim=True), (patches.var(2, keepdim=True) + 1e-6).sqrt()
    return (patches - mean) / std, mean, std


class MAE(Method):
    """The encoder sees only the visible patches; a light decoder predicts the pixels of the hidden ones.

    Args:
        backbone: a ViT.
        data: facts about the images.
        decoder_dim: width of the decoder; a multiple of 4 and of ``decoder_heads``.
        decoder_depth: its blocks.
        decoder_heads: of its attention.
        normalise: predict each patch standardised by its own mean and deviation (section 4.1: better features).
    """

    def __init__(
        self,
        backbone: Backbone,
        data: DataInfo,
        *,
        decoder_dim: int,
        decoder_depth: int,
        decoder_heads: int,
        normalise: bool,
    ):
        super().__init__(backbone, data)
        if not isinstance(backbone, ViT):
            raise UserError(
                f"method=mae hides patches from a transformer, {type(backbone).__name__} has none; write "
                "backbone=vit_small_images, or method=simmim for other backbones"
            )
        if decoder_dim % 4 or decoder_dim % decoder_heads:
            raise UserError(
                f"method.decoder_dim={decoder_dim} is not a multiple of 4 and of method.decoder_heads={decoder_heads}"
            )
        self.normalise = normalise
        self.widen = nn.Linear(backbone.dim, decoder_dim)
        self.mask_token = nn.Parameter(torch.randn(decoder_dim) * 0.02)
        self.decoder = nn.Sequential(
            *(Block(decoder_dim, decoder_heads) for _ in range(decoder_depth)), nn.LayerNorm(decoder_dim, eps=1e-6)
        )
        self.to_pixels = nn.Linear(decoder_dim, backbone.patch_size**2 * backbone.in_channels)

    def forward(self, task: Task) -> dict[str, Tensor]:
        """Take one view [B, C, H, W] and masks [B, h, w], True where hidden."""
        patches = patchify(task.views[0], self.backbone.patch_size)
        target = normalised(patches)[0] if self.normalise else patches
        return {"loss": masked_patch_loss(self.predicted(task), target, task.masks.flatten(1))}

    def predicted(self, task: Task) -> Tensor:
        """Return all patches [B, N, C size^2] as the decoder sees them."""
        images, masks = task.views[0], task.masks
        side = images.shape[2] // self.backbone.patch_size
        if masks.shape[1] != side:
            size = images.shape[2] // masks.shape[1]
            raise UserError(
                f"pretext.patch_size={size} is not backbone.patch_size={self.backbone.patch_size}; write "
                f"pretext.patch_size={self.backbone.patch_size}"
            )
        tokens = self.backbone.tokens(images)
        # The visible patches first, in their order; each image has equally many.
        order = masks.flatten(1).to(torch.uint8).argsort(dim=1, stable=True)
        visible = tokens.gather(1, self._index(order[:, : self._visible(masks)], tokens))
        encoded = self.widen(self.backbone.encode(visible))
        hidden = self.mask_token.to(encoded.dtype).expand(len(tokens), tokens.shape[1] - encoded.shape[1], -1)
        decoded = torch.cat([encoded, hidden], dim=1)
        decoded = decoded.gather(1, self._index(order.argsort(1), decoded))
        decoded = decoded + positions(*masks.shape[1:], decoded.shape[2]).to(decoded, non_blocking=True)
        pixels = self.to_pixels(self.decoder(decoded))
        return pixels if pixels.dtype == torch.float64 else pixels.float()

    def _visible(self, masks: Tensor) -> int:
        # Each image has equally many, so the first one tells; known after the first time.
        if getattr(self, "_count", None) is None or self._count[0] != masks.shape[1:]:
            self._count = masks.shape[1:], int((~masks[0]).sum())
        return self._count[1]

    @staticmethod
    def _index(order: Tensor, tokens: Tensor) -> Tensor:
        return order.unsqueeze(2).expand(-1, -1, tokens.shape[2])

    def pictures(self, task: Task) -> dict[str, Tensor]:
        """Return masked input, reconstruction and original.

        Normalised patches get mean and deviation of the true patches back, as in the authors' demonstration.
        """
        images, size = task.views[0], self.backbone.patch_size
        predicted = self.predicted(task)
        if self.normalise:
            _, mean, std = normalised(patchify(images, size))
            predicted = predicted * std + mean
        predicted = unpatchify(predicted, size, images.shape[2])
        return {"reconstruction": shown(images, predicted, enlarge(task.masks, images.shape[2]), self.data)}
