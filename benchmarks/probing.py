"""The probes: logistic regression against SGD over a DataLoader, neighbours against one matrix product."""

import time

from benchmarks.harness import Variant, median, ratio, take_turns

TRAIN, TEST, DIM, CLASSES = 50_000, 10_000, 512, 10
EPOCHS = 100  # of SGD
PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def linear(options) -> dict:
    """Measure the linear probe at 50,000 x 512, with its choice of a penalty."""
    here = "benchmarks.probing"
    variants = {"ssl": Variant(f"{here}:logistic"), "SGD": Variant(f"{here}:sgd")}
    rounds = take_turns(variants, options.rounds, options.threads)
    ours, sgd = (median(rounds[name], "accuracy") for name in ("ssl", "SGD"))
    rows = [
        [f"ssl, {len(PENALTIES)} penalties, chosen on val", f"{median(rounds['ssl'], 'seconds'):.2f}", f"{ours:.2%}"],
        [f"{EPOCHS} epochs of SGD over a DataLoader", f"{median(rounds['SGD'], 'seconds'):.2f}", f"{sgd:.2%}"],
    ]
    return {
        "ratios": [{"label": "SGD / ssl", **ratio(rounds["ssl"], rounds["SGD"], "seconds"), "target": 25}],
        "table": [["", "seconds", "test accuracy"], *rows],
        "notes": [
            f"The accuracies are to be within 0.2 points: they differ by {100 * abs(ours - sgd):.2f}.",
            f"SGD's accuracy is of all {EPOCHS} epochs; its time is taken from two of them a round.",
            "The features are made up: ten overlapping classes, variances of the directions falling over three orders "
            "of magnitude, as those of trained networks do.",
        ],
    }


def knn(options) -> dict:
    """Measure the kNN probe, 10,000 queries in a bank of 50,000 x 512."""
    here = "benchmarks.probing"
    variants = {"ssl": Variant(f"{here}:neighbours"), "product": Variant(f"{here}:product")}
    rounds = take_turns(variants, options.rounds, options.threads)
    reached = ratio(rounds["product"], rounds["ssl"], "seconds")
    table = [
        ["", "seconds", "memory beyond the features, MiB"],
        *([n, f"{median(r, 'seconds'):.2f}", f"{median(r, 'memory'):.0f}"] for n, r in rounds.items()),
    ]
    notes = ["`product` is the one unblocked product of all queries with the bank; `probe.chunk` bounds ours."]
    return {
        "ratios": [{"label": "ssl / product (at most)", **reached, "target": 1.5, "at_most": True}],
        "table": table,
        "notes": notes,
    }


def _features(n: int, seed: int):
    import torch

    generator = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(DIM, DIM, generator=fixed))[0] * torch.logspace(0, -1.5, DIM).unsqueeze(1)
    centres = torch.randn(CLASSES, DIM, generator=fixed) * 0.14
    labels = torch.randint(CLASSES, (n,), generator=generator)
    return (centres[labels] + torch.randn(n, DIM, generator=generator)) @ basis, labels


def logistic():
    """Return the probe as `ssl probe` runs it, on all labels."""
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    from ssl_cli.probes.base import Features, Split
    from ssl_cli.probes.linear import Linear

    features = Features(
        Split(*_features(TRAIN, 1)), Split(*_features(TEST // 2, 2)), Split(*_features(TEST, 3)), classes=CLASSES
    )
    probe = Linear(labels=["all"], penalties=PENALTIES)

    def once() -> dict[str, float]:
        began = time.perf_counter()
        (result,) = probe.run(features)
        seconds = time.perf_counter() - began
        predicted = result.predicted[0]
        return {"seconds": seconds, "accuracy": (predicted == features.test.labels).double().mean().item()}

    once()
    return once


def sgd():
    """Return SGD as the usual script has it: batch 256, momentum, cosine schedule, standardised features."""
    import torch

    x, y = _features(TRAIN, 1)
    test_x, test_y = _features(TEST, 3)
    mean, std = x.mean(0), x.std(0)
    x, test_x = (x - mean) / std, (test_x - mean) / std
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 256, shuffle=True)

    def train(epochs: int) -> torch.nn.Module:
        model = torch.nn.Linear(DIM, CLASSES)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        for _ in range(epochs):
            for batch, labels in loader:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(batch), labels).backward()
                optimizer.step()
            schedule.step()
        return model

    accuracy = (train(EPOCHS)(test_x).argmax(1) == test_y).double().mean().item()

    def once() -> dict[str, float]:
        began = time.perf_counter()
        train(2)
        return {"seconds": (time.perf_counter() - began) * EPOCHS / 2, "accuracy": accuracy}

    return once


def _bank():
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    bank, labels = _features(TRAIN, 1)
    queries, _ = _features(TEST, 3)
    return bank, labels, queries


def neighbours():
    """Return the vote of 200 neighbours."""
    bank, labels, queries = _bank()
    from ssl_cli.probes.knn import knn_predict
    from ssl_cli.system.memory import peak_memory

    before = peak_memory()

    def once() -> dict[str, float]:
        began = time.perf_counter()
        knn_predict(bank, labels, queries, 200, 0.07, CLASSES)
        return {"seconds": time.perf_counter() - began, "memory": (peak_memory() - before) / 2**20}

    once()
    return once


def product():
    """Return the product alone, in one piece."""
    bank, _, queries = _bank()
    from ssl_cli.system.memory import peak_memory

    before = peak_memory()

    def once() -> dict[str, float]:
        began = time.perf_counter()
        queries @ bank.T
        return {"seconds": time.perf_counter() - began, "memory": (peak_memory() - before) / 2**20}

    once()
    return once
