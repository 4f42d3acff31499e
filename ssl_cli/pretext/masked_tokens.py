"""Which word was here? Tokens are hidden at random (BERT: Devlin et al. 2019, arXiv:1810.04805, section 3.1)."""

from typing import Any

import torch

from ssl_cli.augment.texts import TextChanges
from ssl_cli.batch import Batch, Target, Task
from ssl_cli.data.info import DataInfo
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.system.transfer import send


class MaskedTokens(Pretext):
    """One view of each text in which tokens are to be found again: most hidden, some exchanged, some as they were.

    Args:
        augment: the recipe, applied before.
        data: facts about the texts.
        ratio: share of the tokens that are to be found, in (0, 1); one of each text at least.
        hidden: share of these that is hidden behind the token that stands for that.
        exchanged: share of these that becomes a random token; the rest stays as it is.

    Raises:
        UserError: the shares are more than all, or the vocabulary has no token that stands for hidden ones.
    """

    def __init__(
        self, augment: TextChanges, data: DataInfo, *, ratio: float, hidden: float = 0.8, exchanged: float = 0.1
    ):
        super().__init__(augment, data)
        if hidden + exchanged > 1:
            raise UserError(
                f"pretext.hidden={hidden} + pretext.exchanged={exchanged} is more than 1: all that is to be found"
            )
        self.facts = facts = data.facts
        if facts.mask == 0:
            raise UserError("this tokenizer has no token [MASK]; leave dataset.tokenizer out to train one")
        self.ratio, self.hidden, self.exchanged = ratio, hidden, exchanged
        self.ordinary = (~facts.special).nonzero()[:, 0]  # what a token may be exchanged for
        self.target = Target(kind="tokens", classes=len(facts.special))

    def __call__(self, batch: Batch, generator: torch.Generator) -> Task:
        """Return one view [B, L], targets [B, L] int64 and masks [B, L], True where a token is to be found."""
        (tokens,) = self.views(batch.inputs, generator)
        device = tokens.device
        chosen, fate = (send(torch.rand(tokens.shape, generator=generator), device) for _ in range(2))
        other = self.ordinary[torch.randint(len(self.ordinary), tokens.shape, generator=generator)]
        chosen = torch.where(self.facts.on(device).special[tokens], 2.0, chosen)
        least = chosen.amin(1, keepdim=True)
        masks = ((chosen < self.ratio) | (chosen == least)) & (chosen <= 1)
        view = torch.where(masks & (fate < self.hidden), self.facts.mask, tokens)
        exchanged = masks & (fate >= self.hidden) & (fate < self.hidden + self.exchanged)
        view = torch.where(exchanged, send(other, device), view)
        return Task([view], tokens, batch.labels, batch.indices, masks)

    def shown(self, task: Task) -> dict[str, Any]:
        """Return what the method is given, and the text that it is to find."""
        return {"what is left": self.visible(task.views[0]), "to be found": self.visible(task.targets)}
