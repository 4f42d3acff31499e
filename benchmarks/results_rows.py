"""The rows of `docs/results.md`: what is trained, and where a method cannot take the settings that all others have."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_peers import TUNED
from benchmarks.weights import NAME

EXPERIMENT = "experiment=cpu_small"
BUDGETS = ("all", "40/class", "10/class", "4/class", "1/class")  # of the linear probe
FEW = "40/class"  # labels of the methods that train with few
# Of every run. Steps are counted on one thread; only the end is looked at, and propagation is a page of its own.
COMMON = (
    EXPERIMENT,
    "trainer.threads=1",
    "trainer.eval_every=1000",
    f"probes.linear.labels=[{','.join(BUDGETS)}]",
    "probes.propagate=null",
)
FULL_SIZE = "trainer.progressive=null"


@dataclass(frozen=True)
class Row:
    """One line of the table: what is typed for it beside `COMMON`, and why it is not as all others."""

    settings: tuple[str, ...]
    why: str = ""
    few: bool = False  # trains with `FEW` labels, so its probes know no more
    trains: bool = True
    example: str = ""  # of lightly's, that made its weights: see `benchmarks.results_peers`
    tuned: bool = False


def _plain(*methods: str) -> dict[str, Row]:
    return {name: Row((f"method={name}",)) for name in methods}


def _predict(pretext: str, *settings: str, why: str = "") -> Row:
    return Row(("method=predict", f"pretext={pretext}", f"name={pretext}", *settings), why)


def _few(method: str) -> Row:
    return Row((f"method={method}", f"dataset.labels={FEW}"), few=True)


def _peer(example: str, tuned: bool = False) -> dict[str, Row]:
    name = f"lightly_{example}{'_tuned' * tuned}"
    own = (
        f"with {TUNED}: its transform, loss and heads"
        if tuned
        else "as it is: its transform, loss, heads, batch and SGD"
    )
    why = f"lightly's example {own}, in fp32, on `train` and `val`"
    return {name: Row(("method=frozen", FULL_SIZE, f"name={name}"), why, trains=False, example=example, tuned=tuned)}


ONE_SIZE = "its task has images of one size"
ENLARGED = "its patches are enlarged to what the network can see"
TOO_LONG = "its prototypes would stay random for {} epochs: longer than the whole training"
# In the order of training: those that are looked for first come first.
ROWS: dict[str, Row] = {
    **_plain("simclr", "byol", "vicreg", "moco", "barlow_twins", "simsiam", "supervised"),
    "supervised_few": _few("supervised"),
    "fixmatch": _few("fixmatch"),
    "rotation": _predict("rotation", FULL_SIZE, why=ONE_SIZE),
    "frozen": Row(
        (
            *("method=frozen", "backbone=timm", f"backbone.name={NAME}", "name=frozen_imagenet"),
            *("pretext.size=64", FULL_SIZE),
        ),
        "EfficientNet-Lite0, trained on ImageNet by others and not trained here; its images are enlarged to 64 pixels",
        trains=False,
    ),
    **_peer("simclr"),
    **_peer("simclr", tuned=True),
    **_peer("byol"),
    **_peer("vicreg"),
    **_peer("barlowtwins"),
    **_peer("simsiam"),
    **_plain("nnclr", "moco_v3", "siamese", "triplet", "deepcluster"),
    "swav": Row(("method=swav", "method.freeze_epochs=0"), TOO_LONG.format(10)),
    "dino": Row(("method=dino", "method.freeze_epochs=0"), TOO_LONG.format(60)),
    **{name: _few(name) for name in ("flexmatch", "mean_teacher", "pseudo_label")},
    **{name: _predict(name, FULL_SIZE, "pretext.at_least=16", why=ENLARGED) for name in ("jigsaw", "relative_patch")},
    **{name: _predict(name, FULL_SIZE, why=ONE_SIZE) for name in ("colorization", "inpainting")},
    "simmim": Row(("method=simmim", FULL_SIZE), ONE_SIZE),
    "mae": Row(
        ("method=mae", "backbone=vit_small_images", FULL_SIZE),
        "it leaves patches out of a transformer's input, which a convolutional net cannot",
    ),
    "cpc": Row(
        ("method=cpc", "method.patch_size=16", "method.stride=8", FULL_SIZE),
        "BatchNorm would let it see what it is to predict; the network cannot see smaller patches",
    ),
    **_plain("supcon"),
}


def finished(place: Path, name: str, row: Row) -> list[dict[str, Any]]:
    """Return the summaries of a row's finished runs."""
    files = sorted((place / ("few" if row.few else "all")).glob(f"{name}-[0-9]*/summary.json"))
    return [summary for file in files if (summary := json.loads(file.read_text()))["state"] == "finished"]


def cost(place: Path, name: str, summaries: list[dict[str, Any]]) -> dict[str, float] | None:
    """Return what a row's training took, the mean over its seeds: steps, images and processor seconds; or None."""
    row, taken = ROWS[name], summaries
    if row.example:
        taken = [json.loads((place / "peers" / f"{name}-{s['seed']}.json").read_text()) for s in summaries]
    elif not row.trains:
        return None
    keys = ("steps", "images_seen", "processor_seconds", "epochs")
    return {key: statistics.fmean(one[key] for one in taken) for key in keys}
