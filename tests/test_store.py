"""Where ranks meet: words of an earlier attempt are not believed, and a store that is gone is not waited for."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from ssl_cli import distributed
from ssl_cli.launch import Place


def meeting(store, words) -> list[tuple[str, str]]:
    """Return what each rank hears when each says a word of its own; the last rank comes first, rank 0 last."""
    with ThreadPoolExecutor() as pool:
        told = []
        for rank in reversed(range(len(words))):
            told.append(pool.submit(distributed.tell_all, store, Place(rank, len(words), rank, 1), words[rank]))
            time.sleep(0.05)
        return [future.result(timeout=20) for future in told]


def test_ranks_that_are_started_again_hear_the_new_word():
    store = dist.HashStore()
    first = meeting(store, ["old", "x", "y"])
    again = meeting(store, ["new", "x", "y"])
    assert {word for _, word in first} == {"old"} and {word for _, word in again} == {"new"}
    assert len({attempt for attempt, _ in first}) == len({attempt for attempt, _ in again}) == 1
    assert first[0][0] != again[0][0]


def test_one_rank_fewer_meets_in_the_same_store():
    store = dist.HashStore()
    meeting(store, ["old", "x", "y"])
    assert [word for _, word in meeting(store, ["new", "x"])] == ["new", "new"]


@pytest.mark.parametrize("reason", ["Connection closed by peer", "NCCL watchdog", "Timed out waiting"])
def test_a_store_that_never_answers_is_not_waited_for(monkeypatch, reason):
    never = threading.Event()
    monkeypatch.setattr(distributed, "_store", SimpleNamespace(set=lambda *_: never.wait(60), wait=lambda *_: None))
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    begun = time.monotonic()
    assert distributed.lost_ranks(RuntimeError(reason), patience=0.1) == []
    assert time.monotonic() - begun < 30
    never.set()
