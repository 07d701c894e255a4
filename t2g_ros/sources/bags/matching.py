"""Images of a bag with the ground truth of the same stamp, found while streaming."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from t2g_ros.sources.bags.message import BagMessage
from t2g_ros.sources.base import Losses

WINDOW = 8
"""So many frames a mask may come before or after its image in the bag: the two have writers of their own."""


@dataclass(slots=True)
class MatchedImage:
    """An image that somebody wants, with its mask where there is one."""

    index: int
    stamp_ns: int | None
    message: BagMessage
    mask: BagMessage | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    index: int
    stamp_ns: int | None
    message: BagMessage | None
    """None where nobody wants the frame, so that it holds no memory; its mask has still to be taken away."""


def matched(
    messages: Iterable[BagMessage],
    truth_topic: str | None,
    stamp_of: Callable[[BagMessage], int | None],
    keep: Callable[[int], bool],
    losses: Losses,
) -> Iterator[MatchedImage]:
    """Yield the images that `keep` wants by their position, in recorded order, each with the mask of its stamp.

    Without a mask an image is held back until `WINDOW` others, or one of the same stamp, have come; a mask waits as
    long. Stamps that repeat (a looped recording, a driver that sets none) so never give an image a mask from before
    the one that it repeats.

    Args:
        messages: of one image topic and of `truth_topic`, in recorded order.
        truth_topic: None yields every image as it comes.
        stamp_of: returns the header's stamp, None where the message is too damaged to have one.
        keep: asked once per image, in order.
        losses: gets the masks that match no image, and those whose stamp is that of a mask still waiting.
    """
    waiting: deque[_Waiting] = deque()
    masks: dict[int, tuple[int, BagMessage]] = {}  # by stamp, in the order of arrival, with the images before it

    def release() -> Iterator[MatchedImage]:
        image = waiting.popleft()
        _, mask = (0, None) if image.stamp_ns is None else masks.pop(image.stamp_ns, (0, None))
        if image.message is not None:
            yield MatchedImage(image.index, image.stamp_ns, image.message, mask)

    def give_up(stamp_ns: int) -> None:
        del masks[stamp_ns]
        losses.add(f"{truth_topic}: a mask has no image of its stamp", f"{stamp_ns} ns")

    count = 0
    for message in messages:
        stamp_ns = stamp_of(message)
        if message.topic != truth_topic:
            while stamp_ns is not None and any(image.stamp_ns == stamp_ns for image in waiting):
                yield from release()
            waiting.append(_Waiting(count, stamp_ns, message if keep(count) else None))
            count += 1
        elif stamp_ns is None:
            losses.add(f"{truth_topic}: a mask is damaged", f"recorded at {message.recorded_ns} ns")
        else:
            if stamp_ns in masks:
                give_up(stamp_ns)
            masks[stamp_ns] = (count, message)
        while waiting and (truth_topic is None or waiting[0].stamp_ns in masks or len(waiting) > WINDOW):
            yield from release()
        awaited = {image.stamp_ns for image in waiting}
        for old in [s for s, (at, _) in masks.items() if count - at > WINDOW and s not in awaited]:
            give_up(old)
        if len(masks) > WINDOW:
            give_up(next(iter(masks)))
    while waiting:
        yield from release()
    for stamp_ns in list(masks):
        give_up(stamp_ns)
