"""Where ranks meet: words of an earlier attempt are not believed, and a store that is gone is not waited for."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from ssl_cli.distributed import group
from ssl_cli.errors import RunError


def meeting(store, words) -> list:
    """Return the store and the word of each rank, from the last, which comes first, to rank 0."""
    with ThreadPoolExecutor() as pool:
        told = []
        for rank in reversed(range(len(words))):
            told.append(pool.submit(group.tell_all, store, rank, len(words), words[rank]))
            time.sleep(0.05)
        return [future.result(timeout=20) for future in told]


def test_ranks_that_are_started_again_hear_the_new_word():
    store = dist.HashStore()
    first = meeting(store, ["old", "x", "y"])
    again = meeting(store, ["new", "x", "y"])
    assert {word for _, word in first} == {"old"} and {word for _, word in again} == {"new"}
    for part, _ in first:
        part.add("here", 1)
    assert [part.add("here", 0) for part, _ in first] == [3, 3, 3]  # what one writes the others of its attempt read
    assert [part.add("here", 0) for part, _ in again] == [0, 0, 0]


def test_one_rank_fewer_meets_in_the_same_store():
    store = dist.HashStore()
    meeting(store, ["old", "x", "y"])
    assert [word for _, word in meeting(store, ["new", "x"])] == ["new", "new"]


def test_a_rank_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(group, "MEETING", timedelta(seconds=0.2))
    with pytest.raises(RunError, match="2 of 3 ranks have not come within 0:00:00.2"):
        group.tell_all(dist.HashStore(), 0, 3, "word")


@pytest.mark.parametrize("reason", ["Connection closed by peer", "NCCL watchdog", "Timed out waiting"])
def test_a_store_that_never_answers_is_not_waited_for(monkeypatch, reason):
    never, asked = threading.Event(), threading.Event()
    store = SimpleNamespace(set=lambda *_: never.wait(60), wait=lambda *_: asked.set())
    monkeypatch.setattr(group, "_store", store)
    with monkeypatch.context() as in_a_group:
        in_a_group.setattr(dist, "get_world_size", lambda: 2)
        in_a_group.setattr(dist, "get_rank", lambda: 1)
        begun = time.monotonic()
        assert group.lost_ranks(RuntimeError(reason), patience=0.1) == []
        assert time.monotonic() - begun < 30
    never.set()  # the group has ended, the thread has not
    assert asked.wait(10)
