"""lightly's SimCLR in as many settings as `benchmarks.quality` has recipes, on the same images and scored likewise."""

import json
import time

from benchmarks.harness import Variant, take_turns
from benchmarks.peers import Missing, python_with, version_of
from benchmarks.quality import BUDGET, KEPT, NETWORKS, accuracy, half, prepared
from benchmarks.results_peers import AS_IT_IS, TUNED, Recipe, descend

NETWORK = "64-128-256"  # that of `experiment=cpu_small`, at full size
BETTER = {"rate": 0.3, "momentum": 0.9, "cosine": True}
RECIPES = {
    "as its example": AS_IT_IS,
    "momentum and a cosine schedule": Recipe(momentum=0.9, cosine=True),
    "the same, rate 0.3": Recipe(**BETTER),
    "the same, rate 1": Recipe(**{**BETTER, "rate": 1.0}),
    "AdamW": Recipe(rate=0.002, adamw=True, cosine=True),
    "rate 0.3, temperature 0.2": Recipe(**BETTER, of_example={"temperature": 0.2}),
    "rate 0.3, half the changes of colour": Recipe(**BETTER, of_example={"strength": 0.5}),
    "rate 0.3, batch 128": Recipe(**BETTER, batch=128),
}


def measure(options) -> dict:
    """Train and score the recipes that have not been yet; see `benchmarks.__main__`."""
    try:
        python = python_with("lightly")
    except Missing as error:
        return {"ratios": [], "table": [], "notes": [f"lightly: skipped, {error}"]}
    rows = {}
    for name in RECIPES:
        file = KEPT / "quality_peer" / f"{name}.json"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            asked = {"name": name, "data": str(half(options)), "threads": options.threads}
            variant = Variant("benchmarks.quality_peer:learned", asked, python)
            (row,) = take_turns({name: variant}, 1, options.threads)[name]
            file.write_text(json.dumps(row) + "\n")
            print(name, row, flush=True)
        rows[name] = json.loads(file.read_text())
    table = [["recipe", "", "steps", "linear, %"]]
    table += [[name, str(RECIPES[name]), row["steps"], f"{row['linear']:.1f}"] for name, row in rows.items()]
    best = max(rows, key=lambda name: rows[name]["linear"])
    notes = [
        f"lightly {version_of('lightly', python)}: {BUDGET:,} images each, by the transform, the head and the loss of "
        "its example, with the network of `experiment=cpu_small` at full size; learned from and scored on the same "
        "images as the recipes of `quality`, and as many recipes. One seed each.",
        f"Best: {best}" + ("; the results have it as `lightly_simclr_tuned`." if RECIPES[best] == TUNED else "."),
    ]
    return {"ratios": [], "table": table, "notes": notes}


def learned(name: str, data: str, threads: int):
    """Return what trains one recipe, and then its steps, seconds, and accuracy in percent."""
    from torch.utils.data import Subset
    from torchvision.datasets import ImageFolder

    def once() -> dict[str, float]:
        recipe, images = RECIPES[name], ImageFolder(data)
        e = prepared(data, *NETWORKS[NETWORK], f"trainer.threads={threads}")
        if images.targets != list(e.data.labels):
            raise RuntimeError("torchvision lists the files in another order")
        part, total = Subset(images, e.data.splits["train"].tolist()), BUDGET // recipe.batch
        began = time.process_time()
        steps = descend(e.method.backbone, "simclr", recipe, part, e.config.seed, lambda steps: steps / total)
        seconds = time.process_time() - began
        return {"steps": steps, "seconds": seconds, "linear": accuracy(e, e.method.backbone)}

    return once
