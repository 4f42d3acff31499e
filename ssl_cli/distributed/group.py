"""The group of ranks: how they meet, wait for each other and find out who is lost."""

import contextlib
import json
import platform
import re
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from ssl_cli.errors import RunError

MEETING = timedelta(minutes=30)  # ranks may start far apart, where one has been waiting in a queue
_LOST = re.compile(r"gloo|NCCL|[Cc]onnection|[Tt]imed out|timeout")
_store: Any = None  # where ranks of this group leave word for each other
_waited = 0  # how many times rank 0 has been waited for
_threads = 1  # before joining
_local_rank = 0


def meet(rank: int, world: int, rendezvous: str = "env://") -> Any:
    """Find the other ranks: return the store in which they leave word for each other.

    Args:
        rank: this process's number, from 0.
        world: how many there are.
        rendezvous: ``env://`` (the address in MASTER_ADDR and MASTER_PORT) or ``file:///PATH``.
    """
    return next(dist.rendezvous(rendezvous, rank, world, timeout=MEETING))[0]


def tell_all(store: Any, rank: int, world: int, word: str) -> tuple[Any, str]:
    """Give all ranks the word of rank 0, in a store that may hold words of an earlier attempt.

    torchrun keeps its store when it starts the ranks again. So nobody believes what is there: each rank asks with a
    random name of its own, and takes only the answer to that.

    Args:
        store: where they met.
        rank: this process's number.
        world: how many there are.
        word: of rank 0; that of others is not heard.

    Returns:
        The part of the store that is this attempt's own, and the word; on rank 0 when all have read it.

    Raises:
        RunError: on rank 0, a rank has not asked for as long as ranks have to meet.
    """
    own = secrets.token_hex(8)
    if rank > 0:
        store.set(f"ssl/asks/{rank}", own)
        attempt, text = json.loads(store.get(f"ssl/answer/{own}"))
        store.add(f"ssl/read/{attempt}", 1)
        return dist.PrefixStore(attempt, store), text
    answered: set[str] = set()
    limit = time.monotonic() + MEETING.total_seconds()
    while (read := store.add(f"ssl/read/{own}", 0)) < world - 1:
        if time.monotonic() > limit:
            raise RunError(f"{world - 1 - read} of {world} ranks have not come within {MEETING}")
        for key in (f"ssl/asks/{other}" for other in range(1, world)):
            if store.check([key]) and (asked := store.get(key).decode()) not in answered:
                store.set(f"ssl/answer/{asked}", json.dumps([own, word]))
                answered.add(asked)
        time.sleep(0.02)
    return dist.PrefixStore(own, store), word


def join(
    store: Any, rank: int, world: int, device: str, timeout: float, threads: int, local_rank: int | None = None
) -> None:
    """Form a group with the ranks that have met: gloo on CPUs, NCCL between GPUs.

    Args:
        store: where they met.
        rank: this process's number.
        world: how many there are.
        device: ``cuda``, or anything else for CPUs.
        timeout: seconds after which a rank that others wait for in a collective is given up.
        threads: of each rank; when it leaves, it has as many as before.
        local_rank: its number among the ranks of its machine; by default ``rank``.
    """
    global _store, _waited, _threads, _local_rank
    _store, _waited, _threads = store, 0, torch.get_num_threads()
    _local_rank = rank if local_rank is None else local_rank
    torch.set_num_threads(threads)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    limit = timedelta(seconds=timeout)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=limit)


def leave() -> None:
    """End the group: from here on this process is alone."""
    global _store
    if world_size() > 1:
        dist.destroy_process_group()
        torch.set_num_threads(_threads)
    _store = None


def wait_for_first(word: str = "here") -> str:
    """Make all ranks wait here for rank 0, without a limit: it may need an hour to decode the data.

    Args:
        word: what rank 0 has to tell.

    Returns:
        The word of rank 0.
    """
    global _waited
    if world_size() == 1 or _store is None:
        return word
    _waited += 1
    key = f"ssl/first/{_waited}"
    if rank() == 0:
        _store.set(key, word)
        return word
    _store.wait([key], timedelta(days=365))
    return _store.get(key).decode()


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Run the inside on one rank of each machine before the others: they use the files that it writes."""
    key = f"ssl/done/{platform.node()}"
    if _store is not None and _local_rank > 0:
        _store.wait([key], timedelta(days=365))
    yield
    if _store is not None and _local_rank == 0:
        _store.set(key, "here")


def lost_ranks(error: BaseException, patience: float = 3.0) -> list[int] | None:
    """Return which ranks are gone or hang, if ``error`` tells of one that does not answer; else None.

    Every rank that lost the others says so in the store; those that do not, within ``patience`` seconds, are meant.
    """
    known = isinstance(error, dist.DistError) or isinstance(error, RuntimeError) and _LOST.search(str(error))
    if not known or _store is None:
        return None
    silent: list[int] = []
    # Where the network is cut the store does not even say that it cannot be reached.
    world = dist.get_world_size()
    asking = threading.Thread(target=_ask, args=(_store, dist.get_rank(), world, silent, patience), daemon=True)
    asking.start()
    asking.join(2 * patience + 0.1 * world)
    return list(silent)


def _ask(store: Any, rank: int, world: int, silent: list[int], patience: float) -> None:
    """Collect the ranks that leave no word. The thread may outlive the group: it asks the store alone."""
    with contextlib.suppress(RuntimeError):  # the store has gone with the rank that kept it: then nobody can tell
        store.set(f"ssl/lost/{rank}", "here")
        for other in range(world):
            try:
                store.wait([f"ssl/lost/{other}"], timedelta(seconds=patience))
            except RuntimeError:
                silent.append(other)
                patience = 0.1


def world_size() -> int:
    """Return the number of ranks; 1 outside a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number, from 0."""
    return dist.get_rank() if world_size() > 1 else 0
