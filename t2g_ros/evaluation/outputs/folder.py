"""Where an evaluation's files lie, and that no one else's are touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2g_ros.errors import InputError, T2GError
from t2g_ros.evaluation.outputs.mask_bag import MaskBagWriter
from t2g_ros.evaluation.outputs.moments import WorstMoments
from t2g_ros.evaluation.outputs.overlay_video import OverlayVideo
from t2g_ros.evaluation.outputs.showing import Showing
from t2g_ros.evaluation.report import Moment, write_report
from t2g_ros.labels import LabelSpace
from t2g_ros.sources import Source

UNKNOWN_RATE_HZ = 10.0
"""Pictures per second of the overlay video of a recording that does not say its own."""


@dataclass(frozen=True)
class OutputFolder:
    """The files that an evaluation of these recordings writes."""

    out: Path
    """Folder of metrics.json, report.html and overlay.mp4."""
    names: Sequence[str]
    """Of the recordings; with several, the overlays and bags have them in theirs."""
    overlay: bool
    masks_bag: Path | None

    def prepare(self, sources: Iterable[Source]) -> None:
        """Make the folder and remove what an earlier evaluation of the same recordings left in it.

        Raises:
            InputError: a bag of masks exists, which is never overwritten, or a file to write is one to read.
            T2GError: the folder cannot be written.
        """
        for name in self.names:
            bag = self._masks_path(name)
            if bag is not None and bag.exists():
                raise InputError(f"masks bag {bag}: exists already; choose another name or remove it")
        files = [self.out / "metrics.json", self.out / "report.html"]
        if self.overlay:
            files += [self._overlay_path(name) for name in self.names]
        read = {source.path.resolve() for source in sources}
        for path in files:
            if path.resolve() in read:
                raise InputError(f"output {path}: would overwrite the recording to evaluate; choose another --out")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            for path in files:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    @contextmanager
    def showing(self, source: Source, name: str, labels: LabelSpace, moments: WorstMoments) -> Iterator[Showing]:
        """Open what one recording's masks are shown in; nothing half done is left if its replay fails."""
        overlay = self._overlay_path(name) if self.overlay else None
        bag = self._masks_path(name)
        try:
            with ExitStack() as files:
                video = masks = None
                if overlay is not None:
                    video = files.enter_context(OverlayVideo(overlay, labels, source.fps or UNKNOWN_RATE_HZ))
                if bag is not None:
                    masks = files.enter_context(MaskBagWriter(bag, source.camera, space=labels))
                yield Showing(moments, video, masks)
        except BaseException:
            if overlay is not None:
                overlay.unlink(missing_ok=True)
            if bag is not None:
                shutil.rmtree(bag, ignore_errors=True)
            raise

    def write(self, results: dict[str, Any], moments: Sequence[Moment]) -> None:
        """Write metrics.json and report.html.

        Raises:
            T2GError: they cannot be written.
        """
        text = json.dumps(results, indent=1, allow_nan=False)
        try:
            (self.out / "metrics.json").write_text(text + "\n", encoding="utf-8")
            write_report(results, moments, self.out / "report.html")
        except OSError as error:
            raise self._unwritable(error) from error

    def _overlay_path(self, name: str) -> Path:
        return self._of(self.out / "overlay.mp4", name)

    def _masks_path(self, name: str) -> Path | None:
        return None if self.masks_bag is None else self._of(self.masks_bag, name)

    def _of(self, path: Path, name: str) -> Path:
        return path if len(self.names) == 1 else path.with_name(f"{path.stem}_{name}{path.suffix}")

    def _unwritable(self, error: OSError) -> T2GError:
        return T2GError(f"output {self.out}: cannot be written ({error}); choose another --out")
