"""BatchNorm over the inputs of all ranks."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_cli.distributed.collectives import gather
from ssl_cli.distributed.group import world_size


class SyncedBatchNorm(_BatchNorm):
    """BatchNorm over the global batch, on any device (torch's own SyncBatchNorm needs a GPU)."""

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, ...] by the statistics of all ranks in train mode, by the running ones otherwise."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        dims = [d for d in range(x.ndim) if d != 1]
        wide = x if x.dtype == torch.float64 else x.float()
        count = x.numel() // x.shape[1] * world_size()
        # One message: each rank's mean and variance; the variance of all is that within ranks and that between them.
        own = torch.stack(torch.var_mean(wide, dims, correction=0))
        variances, means = gather(own.unsqueeze(0)).unbind(1)  # [world, C] each
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        shape = [1, -1] + [1] * (x.ndim - 2)
        centred = wide - mean.view(shape)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), self.momentum)
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)


def synchronise_norms(module: nn.Module) -> nn.Module:
    """Make every BatchNorm below ``module`` use the global batch; parameters, buffers and their names stay."""
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.__class__ = SyncedBatchNorm
    return module
