"""Test inputs that are also in train: right answers for them say nothing about new inputs."""

import hashlib
from typing import Any

import torch
from torch import Tensor

from ssl_cli.data.base import Data

STRIP = 256  # bytes in the middle of an input, compared first: this reads one page an input of a mapped file
CHUNK = 4096  # inputs at a time


def copied(data: Data) -> Tensor:
    """Return [n] bool: whether a test input has the same stored content as one in train."""
    train, test = data.splits["train"], data.splits["test"]
    contents = data.contents()
    strip = _middle(contents)
    of_train, of_test = (_numbers(strip, rows) for rows in (train, test))
    known = {_digest(contents[i]) for i in train[torch.isin(of_train, of_test)].tolist()}
    perhaps = torch.isin(of_test, of_train)
    found = [_digest(contents[i]) in known for i in test[perhaps].tolist()]
    perhaps[perhaps.clone()] = torch.tensor(found, dtype=torch.bool)
    return perhaps


def described(data: Data) -> str:
    """Return the number of test inputs in train, in words for the plan of a run; "" without a test split."""
    count, total = int(copied(data).sum()), len(data.splits["test"])
    if not total:
        return ""
    second = "; every result has a second number without them" if count else ""
    return f"{count:,} of {total:,} test {data.noun}s are in train, {data.alike}{second}"


def _middle(contents: Any) -> Tensor:
    if not isinstance(contents, Tensor):  # of different lengths: whole images, texts
        return contents.strips(STRIP)
    start = max(0, contents.shape[1] - STRIP) // 2
    return contents[:, start : start + STRIP]


def _numbers(strip: Tensor, rows: Tensor) -> Tensor:
    """Return a number for each row: equal for equal bytes in the middle, rarely for different ones."""
    weights = torch.randint(-(2**62), 2**62, (strip.shape[1],), generator=torch.Generator().manual_seed(0))
    return torch.cat([(strip[chunk].long() * weights).sum(1) for chunk in rows.split(CHUNK)])


def _digest(content: Tensor) -> bytes:
    return hashlib.blake2b(content.numpy().tobytes(), digest_size=16).digest()
