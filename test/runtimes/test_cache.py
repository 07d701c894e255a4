"""Converted graphs on disk: used, rebuilt when damaged, and never needed."""

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from t2g_ros.runtimes import Runtime, cache, load_runtime

pytest.importorskip("openvino")
IMAGE = np.kron(np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("T2G_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(model: Path) -> Runtime:
    return load_runtime(model, runtime="openvino", precision="f32", input_size=(64, 128), threads=1)


def mask(runtime: Runtime) -> np.ndarray:
    runtime.encode(IMAGE, 2)
    return runtime.decode(2, np.zeros(5, np.float32), np.float32([0, 0, 1, 0, 0]))[0]


def test_the_second_start_needs_no_torch(random_model: Path, cache_dir: Path) -> None:
    expected = mask(load(random_model))
    written = {file: file.stat().st_mtime_ns for file in cache_dir.glob("*/*")}
    assert {"encode.xml", "decode.xml", "encode.blob", "decode.blob"} <= {file.name for file in written}
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from pathlib import Path\n"
        "from t2g_ros.runtimes import load_runtime\n"
        f"runtime = load_runtime(Path({str(random_model)!r}), runtime='openvino', precision='f32',\n"
        "                       input_size=(64, 128), threads=1)\n"
        f"runtime.encode(np.load({str(cache_dir.parent / 'image.npy')!r}), 2)\n"
        "labels, _ = runtime.decode(2, np.zeros(5, np.float32), np.float32([0, 0, 1, 0, 0]))\n"
        f"np.save({str(cache_dir.parent / 'mask.npy')!r}, labels)\n"
    )
    np.save(cache_dir.parent / "image.npy", IMAGE)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
    np.testing.assert_array_equal(np.load(cache_dir.parent / "mask.npy"), expected)
    assert {file: file.stat().st_mtime_ns for file in cache_dir.glob("*/*")} == written


def test_scores_are_converted_at_first_use_and_cached(random_model: Path, cache_dir: Path) -> None:
    runtime = load(random_model)
    mask(runtime)
    # Whoever asks for masks only, as the live node does, pays for no third graph.
    assert {file.name for file in cache_dir.glob("*/*.xml")} == {"encode.xml", "decode.xml"}
    offsets_s, valid = np.zeros(5, np.float32), np.float32([0, 0, 1, 0, 0])
    expected = runtime.decode_scores(2, offsets_s, valid)
    (scores,) = cache_dir.glob("*/scores.xml")
    assert len(list(cache_dir.iterdir())) == 4  # the graphs, and what was compiled of them
    converted = scores.stat().st_mtime_ns
    again = load(random_model)
    again.encode(IMAGE, 2)
    np.testing.assert_array_equal(again.decode_scores(2, offsets_s, valid), expected)
    assert scores.stat().st_mtime_ns == converted


@pytest.mark.parametrize("damaged", [["encode.blob"], ["encode.blob", "encode.bin"]])
def test_what_is_damaged_is_compiled_and_converted_again(
    random_model: Path, cache_dir: Path, caplog: pytest.LogCaptureFixture, damaged: list[str]
) -> None:
    expected = mask(load(random_model))
    files = [next(cache_dir.glob(f"*/{name}")) for name in damaged]
    size = [file.stat().st_size for file in files]
    for file, length in zip(files, size, strict=True):
        file.write_bytes(bytes(length))  # what some file systems leave after a power cut
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(mask(load(random_model)), expected)
    assert caplog.text.count(": damaged") == len(files)
    for file in files:
        assert f"model cache {file.parent}: damaged" in caplog.text
        assert any(file.read_bytes())
    caplog.clear()
    cache.forget_trouble()  # what was told is told anew
    np.testing.assert_array_equal(mask(load(random_model)), expected)
    assert "damaged" not in caplog.text


def test_a_blob_that_openvino_will_not_have_is_compiled_anew(
    random_model: Path, cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = mask(load(random_model))
    entry = next(cache_dir.glob("*/encode.blob")).parent
    (entry / "encode.blob").write_bytes(b"of some other release")
    (entry / cache.CHECKSUM).write_text(cache._checksum(entry))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(mask(load(random_model)), expected)
    assert f"model cache {entry}: cannot be imported" in caplog.text
    caplog.clear()
    cache.forget_trouble()
    for _ in range(2):
        np.testing.assert_array_equal(mask(load(random_model)), expected)
    assert not caplog.text  # in its place is what was compiled since
    assert (entry / "encode.blob").stat().st_size > 1000


def test_masks_do_not_depend_on_whether_there_is_a_cache(
    random_model: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [mask(load(random_model)) for _ in range(2)]
    (tmp_path / "file").touch()
    monkeypatch.setenv("T2G_CACHE_DIR", str(tmp_path / "file" / "cache"))
    for found in kept:
        np.testing.assert_array_equal(found, mask(load(random_model)))


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "added", "no checksum", "empty"])
def test_a_damaged_entry_is_built_again(cache_dir: Path, damage: str) -> None:
    builds = []

    def build(folder: Path) -> None:
        builds.append(folder)
        (folder / "a").write_bytes(b"first")
        (folder / "b").write_bytes(b"second")

    entry = cache.cached_folder("key", build)
    assert entry is not None
    assert cache.cached_folder("key", build) == entry
    assert len(builds) == 1
    if damage == "truncated":
        (entry / "b").write_bytes(b"sec")
    elif damage == "changed":
        (entry / "b").write_bytes(bytes(6))
    elif damage == "added":
        (entry / "c").touch()
    else:
        names = {"missing": ["a"], "no checksum": [cache.CHECKSUM], "empty": ["a", "b", cache.CHECKSUM]}
        for name in names[damage]:
            (entry / name).unlink()
    assert cache.cached_folder("key", build) == entry
    assert len(builds) == 2
    assert (entry / "b").read_bytes() == b"second"
    assert not (entry / "c").exists()
    assert cache.cached_folder("key", build) == entry
    assert len(builds) == 2


def test_a_cache_that_cannot_be_written_is_gone_without(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("T2G_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        labels = mask(load(random_model))
    assert "not writable; the model is converted at every start" in caplog.text
    assert str(tmp_path / "file" / "cache") in caplog.text
    assert f"{tmp_path / 'file' / 'cache'}: not writable" in (cache.trouble() or "")
    monkeypatch.setenv("T2G_CACHE_DIR", str(tmp_path / "cache"))
    assert cache.trouble() is None
    assert labels.shape == (32, 64)
    assert len(np.unique(labels)) > 1


def test_a_cache_where_one_may_not_even_look_is_gone_without(tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if not os.geteuid() and setpriv is None:
        pytest.skip("root may look everywhere; needs setpriv, or another user")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    code = (
        "from t2g_ros.runtimes import cache\n"
        "assert cache.cached_folder('a' * 32, lambda folder: None) is None\n"
        "cache.not_kept(1)\n"
        f"assert cache.trouble().startswith('model cache {closed}/cache: not writable')\n"
    )
    gone = "-dac_override,-dac_read_search"
    rights = [] if os.geteuid() else [str(setpriv), f"--bounding-set={gone}", f"--inh-caps={gone}"]
    environment = os.environ | {"T2G_CACHE_DIR": str(closed / "cache")}
    subprocess.run([*rights, sys.executable, "-c", code], env=environment, check=True, timeout=100)


@pytest.fixture
def full_cache(cache_dir: Path) -> Iterator[Path]:
    """A cache on a disk of its own that is too small for any model."""
    cache_dir.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", cache_dir], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    yield cache_dir
    subprocess.run(["umount", cache_dir], check=True)


def test_a_cache_on_a_full_disk_is_gone_without_and_left_clean(
    random_model: Path, full_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        labels = mask(load(random_model))
    assert caplog.text.count("not writable; the model is converted at every start") == 1
    assert len(np.unique(labels)) > 1
    assert list(full_cache.iterdir()) == []
    assert re.search(r"0\.\d MiB left on its disk, \d+\.\d needed", cache.trouble() or "")
    subprocess.run(["mount", "-o", "remount,size=100m", full_cache], check=True)
    assert cache.trouble() is None
    expected = mask(load(random_model))
    (blob,) = full_cache.glob("*/encode.blob")
    graphs = sum(file.stat().st_size for file in full_cache.glob("*/*.*") if file.suffix != ".blob")
    shutil.rmtree(blob.parent)
    # Room for the graphs that are there, not for what is compiled of them.
    subprocess.run(["mount", "-o", f"remount,size={graphs + 200_000}", full_cache], check=True)
    np.testing.assert_array_equal(mask(load(random_model)), expected)
    assert not list(full_cache.glob("*/*.blob"))
    assert "MiB left on its disk" in (cache.trouble() or "")
    assert len(list(full_cache.glob("*/encode.xml"))) == 1


def test_what_is_told_of_the_cache_is_told_once(
    random_model: Path, cache_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_dir.write_text("no folder")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            load(random_model)
    assert caplog.text.count("not writable; the model is converted at every start") == 1


def test_two_processes_that_start_at_once_both_work(random_model: Path, cache_dir: Path) -> None:
    code = (
        "from pathlib import Path; from t2g_ros.runtimes import load_runtime\n"
        f"load_runtime(Path({str(random_model)!r}), runtime='openvino', precision='f32', input_size=(64, 128))\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in started:
        _, told = process.communicate(timeout=100)
        assert (process.returncode, "model cache" in told) == (0, False), told
    assert sorted(file.name for file in cache_dir.glob("*/*.blob")) == ["decode.blob", "encode.blob"]
    assert not [entry for entry in cache_dir.iterdir() if entry.name.startswith(".")]


def test_whatever_a_conversion_depends_on_is_in_the_key(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(file.name)
    keys = [cache.content_key(files, "x", "y"), cache.content_key(files, "xy"), cache.content_key(files[:1], "x", "y")]
    files[1].write_text("changed")
    keys.append(cache.content_key(files, "x", "y"))
    assert len(set(keys)) == 4
    files[1].write_text("b")
    assert cache.content_key(files, "x", "y") == keys[0]


def test_a_build_that_fails_leaves_nothing_behind(cache_dir: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        cache.cached_folder("key", build)
    assert list(cache_dir.iterdir()) == []


def test_the_process_that_was_first_wins(cache_dir: Path) -> None:
    def slow(folder: Path) -> None:
        cache.cached_folder("key", lambda other: (other / "name").write_text("first") and None)
        (folder / "name").write_text("second")

    folder = cache.cached_folder("key", slow)
    assert folder == cache_dir / "key"
    assert (folder / "name").read_text() == "first"
    assert [entry.name for entry in cache_dir.iterdir()] == ["key"]


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("T2G_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / "t2g_ros"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_dir() == tmp_path / ".cache" / "t2g_ros"
    monkeypatch.setenv("T2G_CACHE_DIR", str(tmp_path / "mine"))
    assert cache.cache_dir() == tmp_path / "mine"


def test_what_an_aborted_build_left_is_removed_and_a_running_build_is_not(cache_dir: Path) -> None:
    aborted = (
        "import os; from t2g_ros.runtimes import cache\n"
        "cache.cached_folder('a' * 32, lambda folder: (folder / 'half').touch() or os._exit(0))"
    )
    subprocess.run([sys.executable, "-c", aborted], check=True, timeout=100)
    (left,) = cache_dir.glob(".*")
    (cache_dir / ".users-own").mkdir()
    assert (left / "half").exists()

    def build(folder: Path) -> None:
        assert not left.exists()
        cache.cached_folder("c" * cache.KEY_LENGTH, lambda other: (other / "graph").touch())
        assert folder.exists()  # swept by nobody while it is built

    cache.cached_folder("b" * cache.KEY_LENGTH, build)
    assert {folder.name for folder in cache_dir.iterdir()} == {".users-own", "b" * 32, "c" * 32}
