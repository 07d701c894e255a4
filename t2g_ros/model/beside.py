"""Two things at once on a CUDA device: one of them on a stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

Step = TypeVar("Step")
Here = TypeVar("Here")
Aside = TypeVar("Aside")


def beside(steps: Iterator[Step], stream: torch.cuda.Stream | None) -> Iterator[Step]:
    """Take an iterator's steps on a stream beside the current one, which waits for each step that it is given.

    As the layers of one network follow each other, their many small kernels and the last few blocks of the large ones
    leave a GPU idle; those of another network fill it.

    Args:
        steps: what launches kernels at every step and yields tensors; what it reads has to stay until the last one.
        stream: None takes them where the current stream is.
    """
    if stream is None:
        yield from steps
        return
    here = torch.cuda.current_stream()
    stream.wait_stream(here)
    taken = []  # kept, since the stream would use its memory again at once, while the other one still reads it
    while True:
        with torch.cuda.stream(stream):
            step = next(steps, None)
        if step is None:
            return
        taken.append(step)
        here.wait_stream(stream)
        yield step


def both(here: Callable[[], Here], aside: Callable[[], Aside], stream: torch.cuda.Stream | None) -> tuple[Here, Aside]:
    """Call two functions that do not need each other, the second one on a stream beside the current one.

    Args:
        here, aside: what launches kernels.
        stream: for `aside`; None calls both where the current stream is. Only this may use it.
    """
    if stream is None:
        return here(), aside()
    current = torch.cuda.current_stream()
    # What comes later on that stream waits for all before it here, so that memory of its own may be used again there.
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        second = aside()
    first = here()
    current.wait_stream(stream)
    return first, second
