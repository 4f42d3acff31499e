"""The linear classifier that goes with a backbone: the method's own, or a probe that is fitted for it."""

import torch
from torch import Tensor, nn

from ssl_cli.config.build import instantiate
from ssl_cli.errors import UserError
from ssl_cli.methods.base import Method
from ssl_cli.probes.base import Features, Split
from ssl_cli.probes.frozen.features import extract
from ssl_cli.probes.linear import Linear
from ssl_cli.setup.restore import OpenedCheckpoint


def own_head(method: Method) -> nn.Linear | None:
    """Return the layer by which a method classifies features; None where it has none, or more than a linear one."""
    dim = method.measured.dim
    features = torch.randn(8, dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = method.predict(features)
        layers = [layer for layer in method.modules() if isinstance(layer, nn.Linear) and layer.in_features == dim]
        return next((layer for layer in layers if logits is not None and torch.equal(layer(features), logits)), None)


def fitted_head(t: OpenedCheckpoint) -> tuple[nn.Linear, float | None]:
    """Fit the linear probe with the labels that the run may use, as its table does.

    Args:
        t: the model, with the run's own images.

    Returns:
        The classifier, and its accuracy on the test split; None where no image there has a label.

    Raises:
        UserError: train or val has no image with a label.
    """
    at = {"train": t.labelled, "val": t.data.splits["val"], "test": t.data.splits["test"]}
    at = {name: positions[t.data.labels[positions] >= 0] for name, positions in at.items()}
    for name, what in (("train", "is fitted"), ("val", "chooses its penalty")):
        if not len(at[name]):
            raise UserError(f"head=linear {what} on {name}, which has no labelled image of {t.data.name}; leave it out")

    def split(positions: Tensor) -> Split:
        features = extract(t.method.measured, t.data.inputs, positions, t.info, t.device)
        return Split(features, t.data.labels[positions])

    train, val, test = (split(positions) for positions in at.values())
    features = Features(train, val, test, len(t.info.classes))
    measured = (instantiate(node) for node in (t.config.get("probes") or {}).values() if node)
    probe = next((probe for probe in measured if type(probe) is Linear), Linear())  # settings are those of the table
    ((weight, bias, _),) = probe.heads(features, torch.arange(len(train.labels))[None])
    head = nn.Linear(*weight.shape)
    head.load_state_dict({"weight": weight.T.contiguous(), "bias": bias})
    right = (test.features @ weight + bias).argmax(1) == test.labels
    return head, right.double().mean().item() if len(right) else None
