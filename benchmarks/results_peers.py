"""lightly's example trainings, on the network and the files of the table and for as many processor minutes.

What the examples set is kept (transform, heads, loss, batch, plain SGD), on the network of `experiment=cpu_small`.
Source: lightly's repository, examples/pytorch/{simclr,byol,simsiam,barlowtwins,vicreg}.py. They run in an environment
of their own: `python -m benchmarks.results_peers JSON`.
"""

import copy
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, environment
from benchmarks.peers import python_with

BATCH, RATE, EPOCHS = 256, 0.06, 10  # the examples'
TUNED_RATE, MOMENTUM = 0.3, 0.9  # what suits a short training better


def trained(example: str, file: Path, settings: Sequence[str], data: str, minutes: float, tuned: bool) -> None:
    """Train an example's backbone, and write a checkpoint for ``init=`` and, beside it, what it cost.

    Args:
        example: ``simclr``, ``byol``, ``simsiam``, ``barlowtwins`` or ``vicreg``.
        file: the checkpoint; nothing is trained if it is there.
        settings: what is typed for a run that measures the backbone.
        data: a folder train/<class>/*.jpg.
        minutes: of processor time on one thread.
        tuned: with momentum, a larger rate and a cosine schedule, which the example does not have.

    Raises:
        Missing: lightly cannot be installed.
        RuntimeError: the training failed; the message has its last line, and the file of the cost has the reason.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    asked = {"example": example, "file": str(file.resolve()), "settings": [*settings]}
    asked |= {"data": data, "minutes": minutes, "tuned": tuned}
    command = [python_with("lightly"), "-m", "benchmarks.results_peers", json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment(1))
    if done.returncode:
        raise RuntimeError(f"lightly's {example}: {(done.stderr.strip() or 'no message').splitlines()[-1]}")


def train(example: str, file: str, settings: list[str], data: str, minutes: float, tuned: bool) -> None:
    """Train in this process, which has lightly; see `trained`."""
    import torch
    from torchvision.datasets import ImageFolder

    from benchmarks.harness import compose_run
    from ssl_cli.runs.checkpoint import save
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.training.saver import contents

    e = prepare(compose_run(*settings))
    net = e.method.backbone.train()
    modules, loss_of, transform = EXAMPLES[example](net)
    dataset = ImageFolder(f"{data}/train", transform=transform)
    generator = torch.Generator().manual_seed(e.config.seed)
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, drop_last=True, generator=generator)
    rate = TUNED_RATE if tuned else RATE
    optimizer = torch.optim.SGD(modules.parameters(), lr=rate, momentum=MOMENTUM if tuned else 0)
    began, budget, steps, share = time.process_time(), 60 * minutes, 0, 0.0
    while share < 1:
        for (first, second), _ in loader:
            loss_of(first, second, share).backward()
            optimizer.step()
            optimizer.zero_grad()
            steps, share = steps + 1, (time.process_time() - began) / budget
            if share >= 1:
                break
            if tuned:
                optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
    cost = {"steps": steps, "images_seen": BATCH * steps, "processor_seconds": time.process_time() - began}
    cost["epochs"] = BATCH * steps / len(dataset)
    failed = not all(weight.isfinite().all() for weight in net.parameters())
    if failed:
        cost["failed"] = f"weights that are no numbers after {steps} steps"
    Path(file).with_suffix(".json").write_text(json.dumps(cost))
    if failed:
        raise RuntimeError(cost["failed"])
    save(Path(file), {**contents(e), "model": e.method.state_dict(), "progress": {"step": 0}})


def simclr(net: Any) -> tuple[Any, Callable, Callable]:
    """Return what is trained, the loss of two views at a share of the training, and the transform."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms.simclr_transform import SimCLRTransform
    from torch import nn

    model, loss = nn.Sequential(net, SimCLRProjectionHead(net.dim, net.dim, 128)), NTXentLoss()
    return model, lambda a, b, _: loss(model(a), model(b)), SimCLRTransform(input_size=32, gaussian_blur=0.0)


def byol(net: Any) -> tuple[Any, Callable, Callable]:
    """Likewise. The momentum rises once in each of the example's ten epochs: here, ten times in the training."""
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from lightly.utils.scheduler import cosine_schedule
    from torch import nn

    online, predictor = nn.Sequential(net, BYOLProjectionHead(net.dim, 1024, 256)), BYOLPredictionHead(256, 1024, 256)
    target, similarity = copy.deepcopy(online), NegativeCosineSimilarity()
    deactivate_requires_grad(target)

    def loss(a: Any, b: Any, share: float) -> Any:
        update_momentum(online, target, m=cosine_schedule(int(EPOCHS * share), EPOCHS, 0.996, 1))
        return 0.5 * (
            similarity(predictor(online(a)), target(b).detach()) + similarity(predictor(online(b)), target(a).detach())
        )

    return nn.ModuleList([online, predictor]), loss, _byol_transform()


def simsiam(net: Any) -> tuple[Any, Callable, Callable]:
    """Likewise."""
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
    from lightly.transforms import SimSiamTransform
    from torch import nn

    model = nn.Sequential(net, SimSiamProjectionHead(net.dim, net.dim, 128))
    predictor, similarity = SimSiamPredictionHead(128, 64, 128), NegativeCosineSimilarity()

    def loss(a: Any, b: Any, share: float) -> Any:
        first, second = model(a), model(b)
        return 0.5 * (similarity(first.detach(), predictor(second)) + similarity(second.detach(), predictor(first)))

    return nn.ModuleList([model, predictor]), loss, SimSiamTransform(input_size=32)


def barlowtwins(net: Any) -> tuple[Any, Callable, Callable]:
    """Likewise."""
    from lightly.loss import BarlowTwinsLoss
    from lightly.models.modules import BarlowTwinsProjectionHead
    from torch import nn

    model, loss = nn.Sequential(net, BarlowTwinsProjectionHead(net.dim, 2048, 2048)), BarlowTwinsLoss()
    return model, lambda a, b, _: loss(model(a), model(b)), _byol_transform()


def vicreg(net: Any) -> tuple[Any, Callable, Callable]:
    """Likewise."""
    from lightly.loss.vicreg_loss import VICRegLoss
    from lightly.models.modules.heads import VICRegProjectionHead
    from lightly.transforms.vicreg_transform import VICRegTransform
    from torch import nn

    head = VICRegProjectionHead(input_dim=net.dim, hidden_dim=2048, output_dim=2048, num_layers=2)
    model, loss = nn.Sequential(net, head), VICRegLoss()
    return model, lambda a, b, _: loss(model(a), model(b)), VICRegTransform(input_size=32)


def _byol_transform() -> Callable:
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform

    views = (BYOLView1Transform, BYOLView2Transform)
    first, second = (view(input_size=32, gaussian_blur=0.0) for view in views)
    return BYOLTransform(view_1_transform=first, view_2_transform=second)


EXAMPLES = {function.__name__: function for function in (simclr, byol, simsiam, barlowtwins, vicreg)}

if __name__ == "__main__":
    train(**json.loads(sys.argv[1]))
