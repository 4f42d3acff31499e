"""A transformer for texts with published weights, by Hugging Face's transformers; mean over tokens (SBERT: Reimers &
Gurevych 2019, arXiv:1908.10084).
"""

import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.augment.texts import PADDING
from ssl_cli.backbones.base import Backbone
from ssl_cli.backbones.foreign import fetch, read
from ssl_cli.backbones.foreign.load import load
from ssl_cli.backbones.foreign.named import MISSING_TRANSFORMERS, file_named
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.backbones.text.small import narrow
from ssl_cli.errors import UserError

FILES = ("config.json", "tokenizer.json")  # beside the weights
_NOT_KEPT = ("architectures", "_name_or_path", "transformers_version", "torch_dtype", "dtype", "auto_map")


class SentenceEncoder(Backbone):
    """The mean over tokens of what a transformer makes of a text, without padding.

    Args:
        vocab_size: tokens of the vocabulary; 0 is padding.
        max_tokens: of a text.
        padding: what the padding is to the network: this integer and 0 change places.
        weights: None: random; a directory with ``config.json``, ``tokenizer.json`` and weights, or a name of the hub.
        architecture: what ``config.json`` says: the network is built of it, so that a checkpoint needs no other file.

    Raises:
        UserError: transformers is not installed or does not know the architecture; the weights are not there or not of
            it; it takes no texts that are so long or no such tokens.
    """

    one_shape = False
    told = ("vocab_size", "max_tokens", "padding")

    def __init__(
        self,
        vocab_size: int,
        max_tokens: int,
        padding: int = PADDING,
        weights: str | None = None,
        architecture: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.vocab_size, self.max_tokens, self.padding = vocab_size, max_tokens, padding
        origin = self.origin_of(weights)
        architecture = architecture or (origin.settings["architecture"] if origin else None)
        if architecture is None:
            raise UserError("backbone=sentence_encoder is not built of nothing; write backbone.weights=DIR")
        self.net = _built(dict(architecture))
        self.dim = self.net.config.hidden_size
        known, longest = self.net.config.vocab_size, getattr(self.net.config, "max_position_embeddings", max_tokens)
        longest -= padding + 1 if self.net.config.model_type in _FROM_PADDING else 0
        if known < vocab_size:
            raise UserError(
                f"backbone.weights={weights} knows {known:,} tokens, and texts are cut into {vocab_size:,}; leave "
                "dataset.tokenizer out: the weights bring their own"
            )
        if longest < max_tokens:
            raise UserError(
                f"backbone.weights={weights} takes at most {longest} tokens of a text; write "
                f"dataset.max_tokens={longest}"
            )
        self._seen: Tensor | None = None  # of the latest batch
        if origin is not None:
            self.origin = load(
                self.net,
                origin,
                f"backbone.weights={weights}",
                heads=["pooler", "cls", "lm_head", "embeddings.position_ids"],
            )

    @classmethod
    def origin_of(cls, weights: str | None = None, **_: Any) -> Origin | None:
        """Return where the weights are, their architecture and their tokenizer, see `Backbone.origin_of`."""
        if weights is None:
            return None
        place = file_named(weights) or _of_hub(weights)
        if not place.is_dir():
            raise UserError(f"backbone.weights={weights} is a file; name the directory with its {' and '.join(FILES)}")
        if missing := [name for name in FILES if not (place / name).is_file()]:
            raise UserError(f"backbone.weights={weights} has no {' and no '.join(missing)}")
        architecture = {k: v for k, v in read.config_beside(place).items() if k not in _NOT_KEPT}
        card = place / "README.md"
        said = re.search(r"^license: *([\w.-]+)", card.read_text("utf-8", "replace"), re.M) if card.is_file() else None
        return Origin(
            weights=weights,
            file=str(read.weights_in(place)),
            licence=said[1] if said else None,
            settings={"architecture": architecture},
            inputs={"tokenizer": str(place.absolute())},
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return features [B, dim] of tokens [B, L] int64, padded with 0."""
        return self.pooled(self._encoded(narrow(tokens)))

    def feature_map(self, tokens: Tensor) -> Tensor:
        """Return what becomes of each token [B, L, dim], zeros at padding, of tokens [B, L]."""
        return self._encoded(tokens) * (tokens != PADDING)[..., None]

    def example(self) -> Tensor:
        """Return one small input, on the CPU."""
        return torch.ones(1, min(8, self.max_tokens), dtype=torch.int64)

    def blocks(self) -> list[nn.Module]:
        """Return what is before the layers, and each layer."""
        lists = [part for part in self.net.modules() if isinstance(part, nn.ModuleList) and len(part)]
        if not lists:
            return [self]
        layers = max(lists, key=len)
        others = list(_beside(self.net, layers))
        held = {id(p) for part in (*others, layers) for p in part.parameters()}
        return [nn.ModuleList(others), *layers] if held == {id(p) for p in self.parameters()} else [self]

    def pooled(self, out: Any) -> Tensor:
        """Return the mean [B, d] over the tokens of the latest batch that are no padding."""
        out = out[0] if isinstance(out, tuple) else out
        seen = self._seen[..., None].to(out.dtype)
        return (out * seen).sum(1) / seen.sum(1).clamp(min=1)

    def _encoded(self, tokens: Tensor) -> Tensor:
        self._seen = tokens != PADDING
        if self.padding != PADDING:
            swapped = torch.where(tokens == PADDING, self.padding, tokens)
            tokens = torch.where(tokens == self.padding, PADDING, swapped)
        return self.net(input_ids=tokens, attention_mask=self._seen.long()).last_hidden_state


_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")  # their positions begin behind it


def _built(architecture: dict[str, Any]) -> nn.Module:
    """Build a network of transformers with random weights, without what a mean over tokens does not use."""
    if importlib.util.find_spec("transformers") is None:
        raise UserError(MISSING_TRANSFORMERS)
    from transformers import AutoConfig, AutoModel

    kind = architecture.pop("model_type", None)
    try:
        net = AutoModel.from_config(AutoConfig.for_model(kind, **architecture))
    except Exception as error:  # it says in many ways what it does not know
        line = " ".join(str(error).split())[:160]
        raise UserError(f"transformers cannot build the backbone, model_type {kind}: {line}") from error
    if getattr(net, "pooler", None) is not None:
        net.pooler = None  # it would get no gradient
    return net


def _of_hub(name: str) -> Path:
    """Return the directory of a repository's files in the hub's cache, fetched if they are not there."""
    return [fetch.from_hub(name, file) for file in (*FILES, fetch.FILES[0])][0].parent


def _beside(net: nn.Module, layers: nn.Module) -> Iterator[nn.Module]:
    """Yield the largest parts that have nothing of the layers."""
    for part in net.children():
        if part is layers:
            continue
        if any(inner is layers for inner in part.modules()):
            yield from _beside(part, layers)
        else:
            yield part
