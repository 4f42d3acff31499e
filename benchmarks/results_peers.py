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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, environment
from benchmarks.peers import python_with

EPOCHS = 10  # the examples'


@dataclass(frozen=True)
class Recipe:
    """How an example is trained: by default as its own file has it, by plain SGD at one rate."""

    rate: float = 0.06
    momentum: float = 0.0
    cosine: bool = False  # the rate falls to zero until the end
    adamw: bool = False
    batch: int = 256
    of_example: Mapping[str, float] = field(default_factory=dict)  # what its function below is called with

    def __str__(self) -> str:
        optimizer = "AdamW" if self.adamw else f"momentum {self.momentum:g}" if self.momentum else "plain SGD"
        schedule = ["a cosine schedule"] * self.cosine
        others = [f"{name} {value:g}" for name, value in {"batch": self.batch, **self.of_example}.items()]
        return ", ".join([f"rate {self.rate:g}", optimizer, *schedule, *others])


AS_IT_IS = Recipe()
TUNED = Recipe(rate=0.002, adamw=True, cosine=True)  # the best of `benchmarks.quality_peer`


def trained(example: str, file: Path, settings: Sequence[str], data: str, minutes: float, tuned: bool) -> None:
    """Train an example's backbone, and write a checkpoint for ``init=`` and, beside it, what it cost.

    Args:
        example: ``simclr``, ``byol``, ``simsiam``, ``barlowtwins`` or ``vicreg``.
        file: the checkpoint; nothing is trained if it is there.
        settings: what is typed for a run that measures the backbone.
        data: a folder train/<class>/*.jpg.
        minutes: of processor time on one thread.
        tuned: by the recipe `TUNED` in place of the example's own.

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
    from torchvision.datasets import ImageFolder

    from benchmarks.harness import compose_run
    from ssl_cli.runs.checkpoint import save
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.training.saver import contents

    e, recipe = prepare(compose_run(*settings)), TUNED if tuned else AS_IT_IS
    net, images, began = e.method.backbone, ImageFolder(f"{data}/train"), time.process_time()
    steps = descend(net, example, recipe, images, e.config.seed, lambda _: (time.process_time() - began) / 60 / minutes)
    cost = {"steps": steps, "images_seen": recipe.batch * steps, "processor_seconds": time.process_time() - began}
    cost["epochs"] = recipe.batch * steps / len(images)
    failed = not all(weight.isfinite().all() for weight in net.parameters())
    if failed:
        cost["failed"] = f"weights that are no numbers after {steps} steps"
    Path(file).with_suffix(".json").write_text(json.dumps(cost))
    if failed:
        raise RuntimeError(cost["failed"])
    save(Path(file), {**contents(e), "model": e.method.state_dict(), "progress": {"step": 0}})


def descend(net: Any, example: str, recipe: Recipe, images: Any, seed: int, share_done: Callable[[int], float]) -> int:
    """Train a network by an example on images that PIL reads; return the steps.

    Args:
        net: the backbone.
        example: its name; see `EXAMPLES`.
        recipe: how it is trained.
        images: a torchvision dataset, or a part of one.
        seed: of the order of the images.
        share_done: is asked after each step which share of the training is over; the training ends at 1.
    """
    import torch

    modules, loss_of, transform = EXAMPLES[example](net.train(), **recipe.of_example)
    getattr(images, "dataset", images).transform = transform
    generator = torch.Generator().manual_seed(seed)
    loader = torch.utils.data.DataLoader(images, recipe.batch, shuffle=True, drop_last=True, generator=generator)
    if recipe.adamw:
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(modules.parameters(), lr=recipe.rate)
    else:
        optimizer = torch.optim.SGD(modules.parameters(), lr=recipe.rate, momentum=recipe.momentum)
    steps, share = 0, 0.0
    while share < 1:
        for (first, second), _ in loader:
            loss_of(first, second, share).backward()
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
            share = share_done(steps)
            if share >= 1:
                break
            if recipe.cosine:
                optimizer.param_groups[0]["lr"] = recipe.rate * (1 + math.cos(math.pi * share)) / 2
    return steps


def simclr(net: Any, temperature: float = 0.5, strength: float = 1.0) -> tuple[Any, Callable, Callable]:
    """Return what is trained, the loss of two views at a share of the training, and the transform.

    Args:
        net: the backbone.
        temperature: of the loss.
        strength: of the changes of colour.
    """
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms.simclr_transform import SimCLRTransform
    from torch import nn

    model, loss = nn.Sequential(net, SimCLRProjectionHead(net.dim, net.dim, 128)), NTXentLoss(temperature)
    transform = SimCLRTransform(input_size=32, gaussian_blur=0.0, cj_strength=strength)
    return model, lambda a, b, _: loss(model(a), model(b)), transform


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
