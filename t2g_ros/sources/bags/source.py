"""One image topic of a rosbag as a recording, with its ground truth, read with no ROS installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from t2g_ros.errors import InputError
from t2g_ros.image_messages import to_rgb
from t2g_ros.labels import LabelSpace, space
from t2g_ros.sources.bags.matching import matched
from t2g_ros.sources.bags.message import BagMessage
from t2g_ros.sources.bags.reader import BagReader
from t2g_ros.sources.bags.truth import LABELS, MASK, mask_ids, read_space
from t2g_ros.sources.base import Losses, Source, SourceFrame
from t2g_ros.types import NS_PER_S, Frame

RAW_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (RAW_TYPE, COMPRESSED_TYPE)


class BagSource(Source):
    """The images of one topic, raw or compressed, in recorded order and under their header stamps.

    Reads rosbag2 (sqlite3 and MCAP, a folder or a single file) and ROS 1 bags. Where the camera has
    `ground_truth/mask` beside its images, or the topic that `truth_topic` names, the frames have the labels of the
    mask with their own stamp. Damaged messages, chunks and files are left out and told in `losses`.

    Args:
        path: the bag.
        topic: the image topic; None where the bag has only one beside ground truth.
        fps: stamp the frames 1 / fps apart from 0 on.
        truth_topic: the ground truth's topic where it has another name.
        label_space: name of the masks' space where no `ground_truth/labels` in the bag says it.

    Raises:
        InputError: nothing of the bag can be read, or the topic is missing or holds no images (the message lists the
            bag's image topics), or the label space contradicts the bag. Reading all of it raises it where no image
            can be decoded, or `label_space` was given and no mask can be used in it.
    """

    def __init__(
        self,
        path: Path,
        topic: str | None,
        *,
        fps: float | None = None,
        truth_topic: str | None = None,
        label_space: str | None = None,
    ) -> None:
        super().__init__()
        self.path = path
        self._fps = fps
        self._bag = BagReader(path)
        self.topic = self._choose_topic(topic)
        self.camera = _beside(self.topic, "").rstrip("/")
        self._space_is_given = label_space is not None
        self.count = self._bag.topics[self.topic].count
        if fps is None and self.count > 1 and self._bag.span_ns:
            fps = (self.count - 1) * NS_PER_S / self._bag.span_ns
        self.fps = fps
        self.truth_topic = self._choose_truth(truth_topic, label_space)
        if self.truth_topic is not None:
            self._choose_space(self.truth_topic, label_space)

    def _read(self, keep: Callable[[int], bool], losses: Losses) -> Iterator[SourceFrame]:
        decoded, usable, whole = 0, 0, True

        def wanted(index: int) -> bool:
            nonlocal whole
            taken = keep(index)
            whole = whole and taken
            return taken

        failed: dict[str, str] = {}
        truth = self.truth_topic if self.label_space is not None else None
        messages = self._bag.messages({self.topic} if truth is None else {self.topic, truth}, losses)
        for image in matched(messages, truth, self._bag.stamp_ns, wanted, losses):
            try:
                frame, name = self._decode(image.index, image.message)
            except Exception as error:  # a damaged message makes rosbags and OpenCV raise all kinds
                where = f"message {image.index} recorded at {image.message.recorded_ns} ns ({error})"
                losses.add(f"{self.topic}: an image cannot be decoded", where)
                failed.setdefault("image", where)
                continue
            decoded += 1
            labels = None
            if image.mask is not None and self.label_space is not None:
                try:
                    labels = mask_ids(self._bag.deserialize(image.mask), frame.size, self.label_space)
                    usable += 1
                except Exception as error:
                    losses.add(f"{self.truth_topic}: a mask cannot be used", f"of stamp {image.stamp_ns} ns ({error})")
                    failed.setdefault("mask", str(error))
            yield SourceFrame(frame, name, labels, image.index)
        if not whole:
            return  # a part says nothing about the rest
        if "image" in failed and not decoded:
            raise InputError(f"bag {self.path}: no image of {self.topic} can be decoded; first {failed['image']}")
        if "mask" in failed and not usable and self._space_is_given:
            raise InputError(f"bag {self.path}: no mask of {self.truth_topic} can be used ({failed['mask']})")

    def _decode(self, index: int, message: BagMessage) -> tuple[Frame, str]:
        image = self._bag.deserialize(message)
        header_ns = image.header.stamp.sec * NS_PER_S + image.header.stamp.nanosec
        stamp_ns = header_ns if self._fps is None else round(index * NS_PER_S / self._fps)
        return Frame(to_rgb(image, self.topic), stamp_ns, image.header.frame_id), str(header_ns)

    def _files(self) -> Iterable[Path]:
        return sorted(f for f in self.path.iterdir() if f.is_file()) if self.path.is_dir() else [self.path]

    def _choose_topic(self, topic: str | None) -> str:
        if topic is None:
            images = self._image_topics()
            cameras = [name for name in images if name not in {_beside(other, MASK) for other in images}]
            if len(cameras) != 1:
                raise self._topic_error("say with --image-topic which to read")
            topic = cameras[0]
        self._check_topic(topic, IMAGE_TYPES)
        return topic

    def _check_topic(self, topic: str, msgtypes: tuple[str, ...]) -> None:
        held = self._bag.topics.get(topic)
        if held is None:
            raise self._topic_error(f"has no topic '{topic}'")
        if held.msgtype not in msgtypes:
            raise self._topic_error(f"topic '{topic}' holds {held.msgtype}, expected {' or '.join(msgtypes)}")
        if not held.count:
            raise self._topic_error(f"topic '{topic}' holds no message")

    def _topic_error(self, problem: str) -> InputError:
        images = self._image_topics()
        if not images:
            return InputError(
                f"bag {self.path}: holds no image topic; its topics: {', '.join(sorted(self._bag.topics)) or 'none'}"
            )
        return InputError(f"bag {self.path}: {problem}; its image topics: {', '.join(images)}")

    def _image_topics(self) -> list[str]:
        return sorted(name for name, held in self._bag.topics.items() if held.msgtype in IMAGE_TYPES)

    def _choose_truth(self, truth_topic: str | None, label_space: str | None) -> str | None:
        if truth_topic is not None:
            self._check_topic(truth_topic, (RAW_TYPE,))
            return truth_topic
        usual = _beside(self.topic, MASK)
        held = self._bag.topics.get(usual)
        if held is not None and held.msgtype == RAW_TYPE and held.count:
            return usual
        if label_space is not None:
            raise InputError(
                f"bag {self.path}: label space '{label_space}' was given, but it holds no ground truth on {usual}; "
                "--truth-topic names another topic"
            )
        return None

    def _choose_space(self, truth_topic: str, name: str | None) -> None:
        try:
            given = None if name is None else space(name)
        except ValueError as error:
            raise InputError(f"bag {self.path}: {error}") from error
        labels_topic = f"{truth_topic.rpartition('/')[0]}/{LABELS.rpartition('/')[2]}"
        found, problem = self._recorded_space(labels_topic)
        if given is not None and found is not None and given.names != found.names:
            raise InputError(
                f"bag {self.path}: {labels_topic} says that its ids mean {found.name}, but label space '{name}' was "
                "given; leave --label-space out"
            )
        self.label_space = found or given
        if self.label_space is None:
            self.assumptions += (
                f"{self.path}: {truth_topic} is left out, since {problem}; --label-space says what its ids mean",
            )

    def _recorded_space(self, topic: str) -> tuple[LabelSpace | None, str]:
        """Return what the bag says that the ids mean, or why it does not."""
        held = self._bag.topics.get(topic)
        if held is None or held.msgtype != "std_msgs/msg/String" or not held.count:
            return None, f"the bag has no {topic}"
        problem = f"{topic} cannot be read"
        for message in self._bag.messages({topic}, Losses()):
            try:
                return read_space(self._bag.deserialize(message).data), ""
            except Exception as error:  # damaged; the next one may be whole
                problem = f"{topic} cannot be read ({error})"
        return None, problem


def _beside(image_topic: str, name: str) -> str:
    """Return the topic of that name under the camera's namespace."""
    return f"{image_topic.removesuffix('/compressed').rpartition('/')[0]}/{name}"
