"""Bags that were not finished or are damaged: every readable frame comes, right, and what is lost is told."""

from __future__ import annotations

import shutil
import sqlite3
import tracemalloc
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from recordings import ids, make_bag, picture
from rosbags.rosbag2 import Reader

from t2g_ros.errors import InputError
from t2g_ros.sources import Source, SourceFrame, open_source
from t2g_ros.sources.bags.writer import START_NS

FRAMES = 14
FRAME_NS = 100_000_000


def check(frames: list[SourceFrame]) -> list[int]:
    """Assert that every frame is exactly one that was recorded, and return which."""
    numbers = [(item.frame.stamp_ns - START_NS) // FRAME_NS for item in frames]
    assert all(a < b for a, b in pairwise(numbers))
    for number, item in zip(numbers, frames, strict=True):
        assert item.frame.stamp_ns == START_NS + number * FRAME_NS
        np.testing.assert_array_equal(item.frame.rgb, picture(number))
        if item.labels is not None:
            np.testing.assert_array_equal(item.labels, ids(number, 10))
    return numbers


def salvaged(bag: Path) -> tuple[list[int], Source]:
    """Read what there is of a bag; none where it says that nothing of it can be read."""
    source = open_source(bag=bag, image_topic="/camera/image_raw")
    return check(list(source)), source


def try_to_salvage(bag: Path) -> tuple[list[int], list[str]]:
    """Return the frames' numbers and the losses; a bag without a readable frame is refused by its name."""
    try:
        numbers, source = salvaged(bag)
    except InputError as error:
        return [], [str(error)]
    return numbers, source.losses


def with_chunks(
    bag: Path, out: Path, *, compression: CompressionType, chunk_bytes: int = 30_000, chunks: bool = True
) -> Path:
    """Write the messages of a bag as another library does, with checksums, three frames or so per chunk."""
    with bag.joinpath(f"{bag.name}.mcap").open("rb") as source, out.open("wb") as target:
        writer = McapWriter(target, chunk_size=chunk_bytes, compression=compression, use_chunking=chunks)
        writer.start(profile="ros2", library="test")
        ids_by_topic: dict[str, int] = {}
        for schema, channel, message in make_reader(source).iter_messages():
            assert schema is not None
            if channel.topic not in ids_by_topic:
                schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
                ids_by_topic[channel.topic] = writer.register_channel(channel.topic, "cdr", schema_id)
            writer.add_message(
                ids_by_topic[channel.topic], message.log_time, message.data, message.publish_time, message.sequence
            )
        writer.finish()
    return out


def chunk_ends(mcap: Path) -> list[tuple[int, int]]:
    """Return (end of the chunk in the file, images up to there) for every chunk, by another library."""
    with mcap.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary is not None
        times = [m.log_time for _, c, m in reader.iter_messages() if c.topic == "/camera/image_raw"]
    chunks = summary.chunk_indexes
    ends = [(c.chunk_start_offset + c.chunk_length, sum(t <= c.message_end_time for t in times)) for c in chunks]
    # A frame at the border may have its image in this chunk and its mask, of the same time, in the next.
    return [(end, max(0, images - 1)) for end, images in ends]


@pytest.mark.parametrize("compression", list(CompressionType)[:3])
def test_a_truncated_mcap_gives_all_frames_before_the_cut(tmp_path: Path, compression: CompressionType) -> None:
    whole = with_chunks(make_bag(tmp_path / "b", frames=FRAMES), tmp_path / "whole.mcap", compression=compression)
    data = whole.read_bytes()
    ends = chunk_ends(whole)
    assert len(ends) >= 3
    cut_bag = tmp_path / "cut.mcap"
    read = 0
    borders = [end + shift for end, _ in ends for shift in (-1, 0, 1, 9)]
    for cut in sorted({*range(0, len(data), len(data) // 60), *borders, len(data) - 1, len(data) - 9}):
        cut_bag.write_bytes(data[:cut])
        expected = max((images for end, images in ends if end <= cut), default=0)
        numbers, losses = try_to_salvage(cut_bag)
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= expected, losses
        assert any("cut.mcap" in loss for loss in losses)
        read += len(numbers)
    assert read > 20 * FRAMES


def test_a_cut_chunk_gives_its_complete_messages(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES)  # one chunk of about 13 kB per frame
    mcap = bag / "b.mcap"
    data = mcap.read_bytes()
    mcap.write_bytes(data[: data.index(picture(8).tobytes()) + 100])
    numbers, source = salvaged(bag)
    assert numbers == list(range(8))
    assert source.count == 8
    assert "complete messages after it were saved" in source.losses[1]


@pytest.mark.parametrize("compression", list(CompressionType)[:3])
def test_damage_inside_an_mcap_costs_only_its_chunk(tmp_path: Path, compression: CompressionType) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES)
    whole = with_chunks(bag, tmp_path / "whole.mcap", compression=compression)
    data = whole.read_bytes()
    per_chunk = max(b - a for (_, a), (_, b) in pairwise(chunk_ends(whole)))
    bad = tmp_path / "bad.mcap"
    for at in range(60, len(data) - 40, len(data) // 80):
        bad.write_bytes(data[:at] + bytes(b ^ 0x5A for b in data[at : at + 12]) + data[at + 12 :])
        numbers, source = salvaged(bad)
        assert len(numbers) >= FRAMES - per_chunk - 1, (at, numbers)
        if len(numbers) < FRAMES:
            assert source.losses


def test_an_mcap_without_chunks_gives_all_before_the_cut(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES)
    whole = with_chunks(bag, tmp_path / "whole.mcap", compression=CompressionType.NONE, chunks=False)
    data = whole.read_bytes()
    whole.write_bytes(data[: data.index(picture(5).tobytes()) + 100])
    assert salvaged(whole)[0] == list(range(5))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_folder_without_metadata_gives_every_frame(tmp_path: Path, storage: str) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES, storage=storage)
    (bag / "metadata.yaml").unlink()
    numbers, source = salvaged(bag)
    assert numbers == list(range(FRAMES))
    assert len(source) == FRAMES
    assert source.fps == pytest.approx(10)
    assert all(item.labels is not None for item in source)
    (loss,) = source.losses
    assert "metadata.yaml" in loss


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", "mcap"), ("sqlite3", "db3")])
def test_split_files_are_read_in_the_order_of_their_numbers(tmp_path: Path, storage: str, suffix: str) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES, storage=storage)
    halves = tmp_path / "halves"
    halves.mkdir()
    for name, first, last in (("b_2", 0, 6), ("b_10", 7, FRAMES)):
        shutil.copy(bag / f"b.{suffix}", halves / f"{name}.{suffix}")
        if suffix == "db3":
            with closing(sqlite3.connect(halves / f"{name}.db3")) as database:
                stamps = (START_NS + first * FRAME_NS, START_NS + last * FRAME_NS)
                database.execute("DELETE FROM messages WHERE timestamp < ? OR timestamp > ?", stamps)
                database.commit()
        else:
            part = make_part(bag, tmp_path / name, first, last)
            shutil.copy(part, halves / f"{name}.mcap")
    numbers, source = salvaged(halves)
    assert numbers == list(range(FRAMES))
    assert f"b_2.{suffix}, b_10.{suffix}" in source.losses[0]
    (halves / f"b_2.{suffix}").write_bytes(b"")
    numbers, source = salvaged(halves)
    assert numbers == list(range(7, FRAMES))
    assert any(loss.startswith(f"b_2.{suffix}") for loss in source.losses)


def make_part(bag: Path, out: Path, first: int, last: int) -> Path:
    """Write the messages of frames `first` to `last` as an MCAP of their own."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    with Reader(bag) as reader, Writer(out, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        new = {c.id: writer.add_connection(c.topic, c.msgtype, typestore=store) for c in reader.connections}
        for connection, time_ns, data in reader.messages():
            if START_NS + first * FRAME_NS <= time_ns <= START_NS + last * FRAME_NS:
                writer.write(new[connection.id], time_ns, data)
    return out / f"{out.name}.mcap"


def test_a_truncated_sqlite_storage_gives_what_is_before_the_cut(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES, storage="sqlite3")
    data = (bag / "b.db3").read_bytes()
    cut_bag = tmp_path / "cut.db3"
    per_frame = (48 * 64 * 4 // 4096 + 4) * 4096  # image, mask and what is begun of a page
    read = 0
    for cut in [*range(0, len(data), len(data) // 25), len(data) - 1]:
        cut_bag.write_bytes(data[:cut])
        expected = max(0, (cut - 20 * 4096) // per_frame)  # after the pages of tables that are made first
        numbers, losses = try_to_salvage(cut_bag)
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= expected, losses
        assert any("cut.db3" in loss for loss in losses)
        read += len(numbers)
    assert read > 8 * FRAMES


def test_a_write_ahead_log_is_read_and_left_alone(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES, storage="sqlite3")
    live, killed = bag / "b.db3", tmp_path / "killed"
    killed.mkdir()
    with closing(sqlite3.connect(live)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        half = START_NS + FRAMES // 2 * FRAME_NS
        database.execute("CREATE TABLE later AS SELECT * FROM messages WHERE timestamp >= ?", (half,))
        database.execute("DELETE FROM messages WHERE timestamp >= ?", (half,))
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("INSERT INTO messages SELECT * FROM later")
        database.commit()
        for file in bag.glob("b.db3*"):  # as a recorder that is killed leaves them
            if not file.name.endswith("-shm"):
                shutil.copy(file, killed)
    before = {file.name: file.read_bytes() for file in killed.iterdir()}
    assert len(before["b.db3-wal"]) > 50_000
    numbers, _ = salvaged(killed)
    assert numbers == list(range(FRAMES))
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == before
    (killed / "b.db3-wal").unlink()
    assert salvaged(killed)[0] == list(range(FRAMES // 2))


def test_damaged_pages_of_a_sqlite_storage_cost_only_what_is_on_them(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", frames=60, storage="sqlite3")
    data = (bag / "b.db3").read_bytes()
    bad = tmp_path / "bad.db3"
    most = 0
    for at in range(20 * 4096, len(data) - 4096, len(data) // 25):
        page = at // 4096 * 4096
        bad.write_bytes(data[:page] + b"\xff" * 4 + data[page + 4 :])  # a page's header, or a link to the next page
        numbers, source = salvaged(bad)
        most = max(most, len(numbers))
        assert len(numbers) >= 40, (page, source.losses)
        if len(numbers) < 60:
            assert source.losses
    assert most >= 59  # the last page of an image's chain has no link to damage


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", "mcap"), ("sqlite3", "db3")])
def test_no_damage_raises_anything_but_an_input_error(tmp_path: Path, storage: str, suffix: str) -> None:
    bag = make_bag(tmp_path / "b", frames=5, storage=storage)
    data = (bag / f"b.{suffix}").read_bytes()
    bad = tmp_path / f"bad.{suffix}"
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(80):
        damaged = bytearray(data)
        for near in rng.choice([100, 4_000, len(data)], size=3):
            begin, size = int(rng.integers(near)), int(rng.choice([1, 4, 60]))
            at = begin if rng.random() < 0.7 else len(data) - begin - size  # the index lies at the end
            at = max(0, at)
            damaged[at : at + size] = (
                rng.choice([0, 255, 5, 6], size=len(damaged[at : at + size])).astype("u1").tobytes()
            )
        bad.write_bytes(damaged[: int(rng.integers(len(data)))] if rng.random() < 0.3 else damaged)
        try:
            read += len(list(open_source(bag=bad, image_topic="/camera/image_raw")))
        except InputError:
            continue
    assert read > 20  # of the checksummed chunk of an MCAP file all frames are lost together


def test_images_that_cannot_be_decoded_are_left_out_and_counted(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES, compression="jpeg", storage="sqlite3")
    topic = "/camera/image_raw/compressed"
    with closing(sqlite3.connect(bag / "b.db3")) as database:
        rows = database.execute(
            "SELECT messages.id, data FROM messages JOIN topics ON topic_id = topics.id WHERE name = ? "
            "ORDER BY timestamp",
            (topic,),
        ).fetchall()
        damage = {2: lambda b: b[: len(b) // 2], 3: lambda b: b[:7], 5: lambda b: b[:60] + bytes(len(b) - 60)}
        damage |= {8: lambda b: b[:4] + b"\xff" * (len(b) - 4), 9: lambda b: b""}
        for index, damaged in damage.items():
            database.execute("UPDATE messages SET data = ? WHERE id = ?", (damaged(rows[index][1]), rows[index][0]))
        database.commit()
    source = open_source(bag=bag)
    good = [i for i in range(FRAMES) if i not in damage]
    for _ in range(2):  # told again, not added up
        frames = list(source)
        assert [item.index for item in frames] == good
        assert [item.frame.stamp_ns for item in frames] == [START_NS + i * FRAME_NS for i in good]
        for item in frames:
            np.testing.assert_array_equal(item.labels, ids(item.index, 10))
        loss = next(loss for loss in source.losses if "an image cannot be decoded" in loss)
        assert loss.startswith(f"{topic}: an image cannot be decoded, 5 times: first message 2 recorded at 1200000000")
    few = source.read(lambda index: index < 2)
    assert [item.index for item in few] == [0, 1]
    assert not any("decoded" in loss for loss in source.losses)


def test_a_bag_of_garbage_images_is_refused(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", frames=3, storage="sqlite3")
    with closing(sqlite3.connect(bag / "b.db3")) as database:
        database.execute("UPDATE messages SET data = zeroblob(50)")
        database.commit()
    with pytest.raises(InputError, match=r"no image of /camera/image_raw can be decoded; first message 0"):
        list(open_source(bag=bag, image_topic="/camera/image_raw"))


@pytest.mark.parametrize("compression", [CompressionType.ZSTD, CompressionType.NONE])
def test_damage_found_while_reading_goes_on_behind_it(tmp_path: Path, compression: CompressionType) -> None:
    """The index at the end is whole, so rosbags opens the file and stops at the chunk."""
    whole = with_chunks(make_bag(tmp_path / "b", frames=FRAMES), tmp_path / "whole.mcap", compression=compression)
    data = bytearray(whole.read_bytes())
    with whole.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    bad = summary.chunk_indexes[len(summary.chunk_indexes) // 2]
    middle = bad.chunk_start_offset + bad.chunk_length // 2
    data[middle : middle + 20] = b"\xaa" * 20
    whole.write_bytes(data)
    numbers, source = salvaged(whole)
    assert 0 in numbers
    assert FRAMES - 1 in numbers
    assert FRAMES // 2 <= len(numbers) < FRAMES
    assert [item.index for item in source] == list(range(len(numbers)))
    assert any("chunk whose content is damaged" in loss for loss in source.losses)


def test_a_missing_topic_of_a_truncated_bag_lists_what_it_holds(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES)
    mcap = bag / "b.mcap"
    mcap.write_bytes(mcap.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"no topic '/front'.*/camera/ground_truth/mask, /camera/image_raw"):
        open_source(bag=bag, image_topic="/front")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_long_bag_is_never_in_memory(tmp_path: Path, storage: str, whole: bool) -> None:
    frames = 800  # 10 MB of messages; a chunk of an MCAP holds 1 MB
    bag = make_bag(tmp_path / "b", frames=frames, storage=storage)
    if not whole:
        (bag / "metadata.yaml").unlink()
    tracemalloc.start()
    try:
        source = open_source(bag=bag, image_topic="/camera/image_raw")
        assert sum(1 for _ in source) == frames
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000
    assert sum(file.stat().st_size for file in bag.iterdir()) > 9_800_000


@pytest.mark.parametrize("record", [b"\x0f", b"\x0f" + (4).to_bytes(8, "little")])
def test_a_changed_byte_is_not_taken_for_the_end(tmp_path: Path, record: bytes) -> None:
    bag = make_bag(tmp_path / "b", frames=FRAMES)
    whole = with_chunks(bag, tmp_path / "whole.mcap", compression=CompressionType.NONE)
    data = bytearray(whole.read_bytes())
    end, _ = chunk_ends(whole)[0]
    data[end : end + len(record)] = record
    whole.write_bytes(data[:-4])
    numbers, source = salvaged(whole)
    assert numbers == list(range(FRAMES))
    assert any("damaged records" in loss for loss in source.losses)


def test_messages_of_lost_topics_are_counted(tmp_path: Path) -> None:
    """The first chunk says what the topics are, and so does the end of the file; both are gone."""
    bag = make_bag(tmp_path / "b", frames=FRAMES)
    whole = with_chunks(bag, tmp_path / "whole.mcap", compression=CompressionType.NONE)
    data = bytearray(whole.read_bytes())
    data[data.index(picture(0).tobytes()) + 50] ^= 1
    whole.write_bytes(data[:-4])
    with pytest.raises(InputError, match=r"what topic a message is of is lost, \d+ times: first channel"):
        salvaged(whole)
