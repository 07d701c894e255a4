"""Where converted graphs are kept between starts: by content, written atomically, never trusted to be writable."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from t2g_ros import __version__
from t2g_ros.model.files import sha256

log = logging.getLogger(__name__)

CHECKSUM = "sha256"
KEY_LENGTH = 32
_unkept_bytes = 0
"""Size of the largest thing that this process made and could not keep."""


def cache_dir() -> Path:
    """`$T2G_CACHE_DIR`, else `$XDG_CACHE_HOME/t2g_ros`, else `~/.cache/t2g_ros`."""
    if "T2G_CACHE_DIR" in os.environ:
        return Path(os.environ["T2G_CACHE_DIR"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "t2g_ros"


@functools.cache
def tell_once(text: str) -> None:
    """Warn of what would be told again whenever an engine is loaded."""
    log.warning(text)


def not_kept(size: int) -> None:
    """Note that so many bytes were made which could not be kept here."""
    global _unkept_bytes
    _unkept_bytes = max(size, _unkept_bytes)


def forget_trouble() -> None:
    """Note that what was made until now is of no use any more, and tell anew what was told."""
    global _unkept_bytes
    _unkept_bytes = 0
    tell_once.cache_clear()


def trouble() -> str | None:
    """Why what this process made could not be kept; None if it could, or once it can be kept at the next start."""
    if not _unkept_bytes:
        return None
    why = _hindrance(_unkept_bytes)
    if why is None:
        forget_trouble()
        return None
    return f"model cache {cache_dir()}: {why}; what is made of the model is made anew at every start"


def _hindrance(size: int) -> str | None:
    """What keeps this process from writing so many bytes to the cache; None if nothing does."""
    folder = cache_dir()
    there = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        return "not writable"
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return str(error)
    return None if free >= size else f"{free / 2**20:.1f} MiB left on its disk, {size / 2**20:.1f} needed"


def content_key(files: list[Path], *facts: str) -> str:
    """Hash of files and of whatever else the cached thing depends on (engine version, shape, precision)."""
    digest = hashlib.sha256(__version__.encode())
    for file in files:
        digest.update(sha256(file))
    for fact in facts:
        digest.update(b"\0" + fact.encode())
    return digest.hexdigest()[:KEY_LENGTH]


def cached_folder(key: str, build: Callable[[Path], None]) -> Path | None:
    """Return the folder of `key`, built by `build(folder)` if it is not there yet or is damaged.

    The folder is built beside its final place and renamed, so other processes see all of it or nothing; its
    checksum tells what a power cut leaves behind. What a process that ended while it built left is removed.
    Returns None when the cache cannot be written; then the caller builds in memory.
    """
    final = cache_dir() / key
    if os.path.isdir(final):  # unlike Path's, also where one may not look
        if _intact(final):
            return final
        tell_once(f"model cache {final}: damaged; building it again")
        shutil.rmtree(final, ignore_errors=True)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _locked(final.parent):  # so that no folder is swept between its making and its locking
            _sweep(final.parent)
            partial = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=final.parent))
            building = os.open(partial, os.O_RDONLY)
            _lock(building)
    except OSError:
        return None
    try:
        build(partial)
        (partial / CHECKSUM).write_text(_checksum(partial))
        partial.rename(final)
    except OSError:
        # Full or read-only, or another process was first.
        return final if _intact(final) else None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(building)
    return final


def _sweep(cache: Path) -> None:
    """Remove the folders in which nobody builds any more."""
    for folder in cache.glob(f".{'[0-9a-f]' * KEY_LENGTH}-*"):  # no others: users choose where the cache lies
        try:
            with _locked(folder, wait=False):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process builds there, or is done with it
            continue


@contextmanager
def _locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder, which the system takes back from a process however it ends.

    Raises:
        OSError: there is no such folder, or it is locked and this should not wait.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if wait:
            _lock(descriptor)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    with suppress(OSError):  # a network's file system without locks: nothing is swept there
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _intact(folder: Path) -> bool:
    try:
        return (folder / CHECKSUM).read_text() == _checksum(folder)
    except (OSError, UnicodeDecodeError):
        return False


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.name != CHECKSUM:
            digest.update(file.name.encode() + b"\0" + sha256(file))
    return digest.hexdigest()
