"""What several ranks cost: the same data and global batch on 1, 2 and 4 of them; time a step for messages and loading.

    python benchmarks/ranks.py [--ranks 1,2,4] [--steps 30] [--to json] [KEY=VALUE ...]

Each number of ranks runs twice, in equal conditions: connected, and as so many processes that know nothing of others,
each with its share of the batch. The difference is what messages cost: gradients, norms, embeddings, and the word
whether to stop. On one machine the ranks share its cores, so look at the difference, not at the speed.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

WARM = 5  # steps before the timing


def rank(number: int, world: int, connected: bool, steps: int, overrides: list[str], scratch: str) -> None:
    """Time the steps of one rank."""
    import torch
    from experiments import composed

    from ssl_cli import distributed
    from ssl_cli.data.loader import mix
    from ssl_cli.setup import prepare

    torch.set_num_threads(1)
    config = composed("train", ["trainer.precision=fp32", *overrides])
    group = connected and world > 1
    if group:
        store = distributed.meet(number, world, f"file://{scratch}/store-{world}")
        distributed.join(store, number, world, "cpu", 600, 1)
    else:
        config.trainer.batch_size //= world
    e = prepare(config)
    model, generator = distributed.data_parallel(e.method, config.trainer.synchronise_norms), torch.Generator()
    e.method.train()
    whole, loading, stopping = [], [], []
    for step in range(WARM + steps):
        began = time.perf_counter()
        generator.manual_seed(mix(0, 2, step) + number)
        batch = e.loader.batch(step)
        loaded = time.perf_counter()
        model(e.pretext(batch, generator))["loss"].backward()
        e.optimizer.step()
        e.optimizer.zero_grad(set_to_none=True)
        e.method.after_step(0.5)
        trained = time.perf_counter()
        distributed.largest(0)
        whole.append(time.perf_counter() - began)
        loading.append(loaded - began)
        stopping.append(time.perf_counter() - trained)
    parameters = sum(p.numel() for p in e.method.parameters() if p.requires_grad)
    row = {"step": whole, "load": loading, "stop": stopping}
    row = {key: 1000 * statistics.median(values[WARM:]) for key, values in row.items()} | {"parameters": parameters}
    Path(scratch, f"{world}-{connected}-{number}.json").write_text(json.dumps(row))


def measure(worlds: list[int], steps: int, overrides: list[str]) -> list[dict]:
    """Return a row for each number of ranks, all times in milliseconds: the median over steps, of the slowest rank."""
    import torch.multiprocessing as mp

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for world in worlds:
            found = {}
            for connected in (True, False):
                mp.spawn(rank, (world, connected, steps, overrides, scratch), nprocs=world)
                ranks = [json.loads(Path(scratch, f"{world}-{connected}-{i}.json").read_text()) for i in range(world)]
                found[connected] = {key: max(row[key] for row in ranks) for key in ranks[0]}
            together, apart = found[True], found[False]
            rows.append(
                {
                    "ranks": world,
                    "step": together["step"],
                    "without messages": apart["step"],
                    "messages": together["step"] - apart["step"],
                    "of them, whether to stop": together["stop"],
                    "loading": together["load"],
                    # Ring all-reduce: each rank sends its share of the sum, then its share of the result.
                    "gradients sent, MB": 2 * (world - 1) / world * 4 * together["parameters"] / 1e6,
                }
            )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", default="1,2,4", help="numbers of ranks")
    parser.add_argument("--steps", type=int, default=30, help="timed steps")
    parser.add_argument("--to", choices=["table", "json"], default="table")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of ssl train")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = measure([int(text) for text in options.ranks.split(",")], options.steps, options.overrides)
    if options.to == "json":
        print(json.dumps(rows, indent=2))
        return
    print("milliseconds a step; medians, of the slowest rank")
    print("".join(f"{name:>26}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:>26}" if isinstance(value, int) else f"{value:>26.2f}" for value in row.values()))


if __name__ == "__main__":
    main()
