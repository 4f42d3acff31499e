"""What several ranks cost: the same data and global batch on 1, 2 and 4 of them; time a step for messages and loading.

    python benchmarks/ranks.py [--ranks 1,2,4] [--steps 30] [--to json] [KEY=VALUE ...]

Each number of ranks runs twice, in equal conditions: connected, and as so many processes that know nothing of others,
each with its share of the batch. The difference is what messages cost: gradients, norms, embeddings, and the word
whether to stop. On one machine the ranks share its cores, so look at the difference, not at the speed; and on a machine
that others use, look at the processor's time: it leaves out the waiting, that of messages and that for others.
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

    from ssl_cli.data.loader import mix
    from ssl_cli.distributed import collectives, group
    from ssl_cli.setup.prepare import prepare

    torch.set_num_threads(1)
    config = composed("train", ["trainer.precision=fp32", *overrides])
    several = connected and world > 1
    if several:
        store = group.meet(number, world, f"file://{scratch}/store-{world}")
        group.join(store, number, world, "cpu", 600, 1)
    else:
        config.trainer.batch_size //= world
    e = prepare(config)
    model, generator = collectives.data_parallel(e.method, config.trainer.synchronise_norms), torch.Generator()
    e.method.train()
    clocks = (time.perf_counter, time.process_time)
    laps: list[list[tuple[float, ...]]] = []
    for step in range(WARM + steps):
        lap = [tuple(clock() for clock in clocks)]
        generator.manual_seed(mix(0, 2, step) + number)
        batch = e.loader.batch(step)
        lap.append(tuple(clock() for clock in clocks))
        model(e.pretext(batch, generator))["loss"].backward()
        e.optimizer.step()
        e.optimizer.zero_grad(set_to_none=True)
        e.method.after_step(0.5)
        lap.append(tuple(clock() for clock in clocks))
        collectives.max_over_ranks(0)
        lap.append(tuple(clock() for clock in clocks))
        laps.append(lap)

    def median(start: int, end: int, clock: int) -> float:
        return 1000 * statistics.median(lap[end][clock] - lap[start][clock] for lap in laps[WARM:])

    row = {"wall": median(0, 3, 0), "step": median(0, 3, 1), "load": median(0, 1, 1), "stop": median(2, 3, 1)}
    row["parameters"] = sum(p.numel() for p in e.method.parameters() if p.requires_grad)
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
                    "on the wall": together["wall"],
                    "processor": together["step"],
                    "of it messages": together["step"] - apart["step"],
                    "loading": together["load"],
                    "whether to stop": together["stop"],
                    # Ring all-reduce: each rank sends its share of the sum, then its share of the result.
                    "gradients, MB": 2 * (world - 1) / world * 4 * together["parameters"] / 1e6,
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
    print("milliseconds a step of one rank; medians, of the slowest rank")
    print("".join(f"{name:>17}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:>17}" if isinstance(value, int) else f"{value:>17.2f}" for value in row.values()))


if __name__ == "__main__":
    main()
