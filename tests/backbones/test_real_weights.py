"""Weights that somebody trained on ImageNet: what belongs to them is brought, and without it they see less."""

import torch
import torch.nn.functional as F
from published import NAME, published  # noqa: F401 (a fixture)
from sklearn.datasets import load_sample_images

from ssl_cli.backbones.base import evaluating
from ssl_cli.backbones.foreign.origin import IMAGENET
from ssl_cli.backbones.timm import Timm

PALACE, DAISY = 698, 985  # classes of ImageNet


def test_real_weights_know_what_is_on_a_photo_by_the_normalisation_that_comes_with_them(published):  # noqa: F811
    file, state = published
    ours = Timm(3, 224, NAME, str(file))
    assert ours.origin.tensors == len(state) - 2 and ours.origin.licence == "apache-2.0"
    photos = [torch.from_numpy(photo[:426, 100:526].copy()) for photo in load_sample_images().images]
    photos = torch.stack(photos).permute(0, 3, 1, 2) / 255
    photos = F.interpolate(photos, (224, 224), mode=ours.origin.interpolation, antialias=True)

    def seen(mean, std):
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
        with evaluating(ours), torch.no_grad():
            features = ours((photos - mean) / std)
        return F.linear(features, state["classifier.weight"], state["classifier.bias"]).softmax(1)

    right, wrong = seen(ours.origin.mean, ours.origin.std), seen(IMAGENET["mean"], IMAGENET["std"])
    assert right.argmax(1).tolist() == [PALACE, DAISY] and wrong.argmax(1).tolist() != [PALACE, DAISY]
    assert right[1, DAISY] > 2 * wrong[1, DAISY]
