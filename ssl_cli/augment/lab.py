"""sRGB and CIE L*a*b* (D65, 2 degrees): lightness apart from colour."""

import torch
from torch import Tensor

from ssl_cli.system.transfer import constant

TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
FROM_XYZ = torch.linalg.inv(torch.tensor(TO_XYZ, dtype=torch.float64)).tolist()
WHITE = (0.95047, 1.0, 1.08883)
EPSILON, KAPPA = 0.008856, 7.787  # below EPSILON a line of slope KAPPA replaces the cube root


def rgb_to_lab(images: Tensor) -> Tensor:
    """Return L in [0, 100] and a, b in about [-110, 110], [B, 3, H, W], of RGB images in [0, 1]."""
    linear = torch.where(images > 0.04045, ((images + 0.055) / 1.055).clamp_min(0) ** 2.4, images / 12.92)
    xyz = torch.einsum("ij,bjhw->bihw", constant(TO_XYZ, images), linear)
    xyz = xyz / constant(WHITE, images).view(3, 1, 1)
    f = torch.where(xyz > EPSILON, xyz.clamp_min(EPSILON) ** (1 / 3), KAPPA * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Return RGB [B, 3, H, W]; colours outside sRGB are clipped to [0, 1]."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(f**3 > EPSILON, f**3, (f - 16 / 116) / KAPPA) * constant(WHITE, lab).view(3, 1, 1)
    linear = torch.einsum("ij,bjhw->bihw", constant(FROM_XYZ, lab), xyz)
    encoded = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return encoded.clamp(0, 1)
