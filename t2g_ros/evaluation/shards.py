"""Sharing the work among the processes that `torchrun` started, on one machine or many."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from t2g_ros.cores import cores

LONGEST_WAIT = timedelta(days=7)
"""For the slowest process; torchrun itself ends all where one fails."""


class Shards:
    """This process among those that `torchrun` started; the only one without it."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        on_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.threads = max(1, cores() // on_this_machine) if on_this_machine > 1 else 0
        """CPU threads for the engine, so that the processes do not fight over the cores; 0 = one per core."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the results."""
        return self.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Meet the other processes, and part from them at the end; `gather` works in between."""
        if self.count == 1:
            yield
            return
        import torch.distributed as dist

        dist.init_process_group("gloo", timeout=LONGEST_WAIT)
        try:
            yield
        finally:
            dist.destroy_process_group()

    def gather(self, values: Any) -> list[Any]:
        """Return the plain values of every process in the order of their ranks, on every one of them.

        They travel as JSON: nothing is unpickled.
        """
        if self.count == 1:
            return [values]
        import torch
        import torch.distributed as dist

        text = torch.frombuffer(bytearray(json.dumps(values).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(text)]))
        longest = max(int(size) for size in sizes)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(text)] = text
        texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.count)]
        dist.all_gather(texts, padded)
        return [json.loads(bytes(t[: int(size)].numpy())) for t, size in zip(texts, sizes, strict=True)]
