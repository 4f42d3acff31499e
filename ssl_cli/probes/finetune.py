"""Fine-tuning: how good does the network become as the start of supervised training? The run itself is not changed."""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_cli.augment.augment import Augment
from ssl_cli.backbones.base import Backbone
from ssl_cli.data.base import Raw
from ssl_cli.errors import UserError
from ssl_cli.optim.groups import follow_schedule, layer_decayed, param_groups
from ssl_cli.optim.optimizers import adamw
from ssl_cli.probes.base import Features, Probe, Result, check_budgets
from ssl_cli.probes.progress import tracked
from ssl_cli.probes.solvers.classifiers import best_of, check_rates, shuffled
from ssl_cli.system.transfer import striped

LEAST_STEPS = 100  # of training, whatever epochs says


class FineTune(Probe):
    """A copy of the backbone and a new linear classifier are trained together on augmented inputs.

    The optimizer is AdamW. Its learning rate falls to 0 along a cosine; with a ``layer_decay`` below 1 it is lower
    towards the input (arXiv:2003.10555). The raw baseline has no row: it has nothing to fine-tune. The row of random
    weights is training from scratch for the same number of steps.

    Args:
        augment: the recipe.
        blocks: number of last blocks to train (`Backbone.blocks`); None: all. The other blocks do not change, and
            neither do the statistics of their norms.
        layer_decay: see `layer_decayed`.
        labels: budgets: ``all``, ``10/class``, ``10%``.
        draws: random draws of each budget other than ``all``, with seeds 0, 1, ...
        epochs: passes over the labelled inputs; with few labels as many as make 100 steps.
        batch_size: inputs a step.
        lrs: peak learning rates to try; the best on val is scored on test.
        weight_decay: of AdamW.

    Raises:
        UserError: a budget cannot be read, or a learning rate is not positive.
    """

    name = "finetune"
    slow = True

    def __init__(
        self,
        augment: Augment,
        blocks: int | None = None,
        layer_decay: float = 1.0,
        labels: Sequence[str] = ("all",),
        draws: int = 3,
        epochs: int = 20,
        batch_size: int = 128,
        lrs: Sequence[float] = (1e-3,),
        weight_decay: float = 0.05,
    ):
        self.augment, self.blocks, self.layer_decay = augment, blocks, layer_decay
        self.labels, self.count = check_budgets(labels), draws
        self.epochs, self.batch_size, self.weight_decay = epochs, batch_size, weight_decay
        self.lrs = check_rates(self.name, lrs)

    def run(self, features: Features) -> list[Result]:
        """Score the test split at each budget; see `Probe.run`."""
        self.notices = []
        if len(self.lrs) > 1 and not len(features.val.labels):
            self.notices = [
                f"finetune probe: left out, because its rate is chosen on val, which has no labelled {features.noun}"
            ]
            return []
        network = features.source.network if features.source else None
        if isinstance(network, Raw):
            return []
        if not isinstance(network, Backbone):
            raise UserError("the finetune probe trains the whole backbone; leave layer out, or write probe.blocks=N")
        count = len(network.blocks())
        if self.blocks is not None and not 1 <= self.blocks <= count:
            raise UserError(f"probe.blocks={self.blocks}: the backbone has 1 to {count} blocks; leave it out for all")
        trained = "the whole backbone" if self.blocks in (None, count) else f"the last {self.blocks} of {count} blocks"
        self.notices = [f"{trained} and a classifier were trained, in a copy; the run's own weights are as they were"]
        results = []
        for budget, draws, how in self.draws(features, self.labels, self.count):
            fitted = [self._best(features, drawn.cpu(), seed) for seed, drawn in tracked(enumerate(draws), len(draws))]
            confidence, predicted = torch.stack([logits for _, logits in fitted]).softmax(2).max(2)
            settings = {
                **how,
                "trained": f"{trained} and a linear classifier",
                "layer_decay": self.layer_decay,
                "augment": str({key: value for key, value in vars(self.augment).items() if value}),
                "lr_chosen_on": "val",
                "lrs": self.lrs,
                "epochs": self.epochs,
                "batch_size": self.batch_size,
                "weight_decay": self.weight_decay,
            }
            chosen = {"lr": [lr for lr, _ in fitted]}
            results.append(self.classified(features, budget, predicted, settings, confidence, chosen))
        return results

    def _best(self, features: Features, drawn: Tensor, seed: int) -> tuple[float, Tensor]:
        """Return the learning rate that is best on val, and its logits [n, C] on test."""
        models = [self._train(features, drawn, lr, seed) for lr in tracked(self.lrs)]
        val = [self._logits(m, features, features.val.positions) for m in models] if len(models) > 1 else [None]
        best = best_of(torch.stack(val), features.val.labels.cpu()) if len(models) > 1 else 0
        return self.lrs[best], self._logits(models[best], features, features.test.positions).to(
            features.test.labels.device
        )

    def _train(self, features: Features, drawn: Tensor, lr: float, seed: int) -> nn.Sequential:
        source, labels = features.source, features.train.labels.cpu()
        backbone = copy.deepcopy(source.network).requires_grad_(True)
        blocks = backbone.blocks()
        fixed = blocks[: len(blocks) - (self.blocks or len(blocks))]
        for block in fixed:
            block.requires_grad_(False)
        head = nn.Linear(backbone.dim, features.classes).to(source.device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        model = nn.Sequential(backbone, head)
        groups = layer_decayed(param_groups(model), blocks, self.layer_decay)
        optimizer = adamw(groups, self.batch_size, lr, weight_decay=self.weight_decay)
        model.train()
        for block in fixed:
            block.eval()
        torch.manual_seed(seed)  # dropout
        generator = torch.Generator().manual_seed(seed)
        following = shuffled(len(drawn), self.batch_size, generator)
        steps = max(LEAST_STEPS, self.epochs * max(1, len(drawn) // self.batch_size))
        for step in tracked(range(steps)):
            follow_schedule(optimizer, 0.5 + 0.5 * math.cos(math.pi * step / steps), step / steps)
            at = drawn[following()]
            view = source.augmented(self.augment, features.train.positions[at], generator)
            loss = F.cross_entropy(model(striped(view)), labels[at].to(source.device))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return model.eval()

    @torch.inference_mode()
    def _logits(self, model: nn.Module, features: Features, positions: Tensor) -> Tensor:
        return torch.cat([model(batch).cpu() for batch in features.source.batches(positions, 512)])
