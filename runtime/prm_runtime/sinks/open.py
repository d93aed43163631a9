"""From options to sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType

from prm_runtime.sinks.base import Sink, SinkError
from prm_runtime.sinks.callback import Callback
from prm_runtime.sinks.coco import CocoDataset, CocoIds, CocoResults
from prm_runtime.sinks.json_lines import JsonLines
from prm_runtime.sinks.labelme import LabelmeFolder
from prm_runtime.sinks.pictures import Overlays, PrmHeatMaps
from prm_runtime.sinks.video import VideoFile
from prm_runtime.sinks.videos import VideoPerSource
from prm_runtime.sinks.yolo import YoloDataset
from prm_runtime.sources import Source


class LabelFormat(StrEnum):
    """Formats of data sets of pseudo-labels."""

    COCO = "coco"
    YOLO = "yolo"
    LABELME = "labelme"


@dataclass(frozen=True)
class Outputs:
    """Where results go; None stands for nowhere.

    Attributes:
        json: File of JSON lines, or ``-``.
        video: H.264 video of the overlays.
        images: Folder of overlays.
        prm: Folder of heat maps.
        labels: Folder of a data set of pseudo-labels.
        label_format: Its format.
        coco: File of COCO results.
        coco_ids: COCO annotations whose numbers the results take.
        mcap: MCAP recording.
        callback: ``MODULE:FUNCTION`` that is called with each result.
    """

    json: str | None = None
    video: str | None = None
    images: str | None = None
    prm: str | None = None
    labels: str | None = None
    label_format: LabelFormat = LabelFormat.COCO
    coco: str | None = None
    coco_ids: Path | None = None
    mcap: str | None = None
    callback: str | None = None

    @property
    def files(self) -> tuple[str | None, ...]:
        """The files that are overwritten."""
        return (self.json, self.video, self.coco, self.mcap)


def open_sinks(outputs: Outputs, sources: Sequence[Source], classes: Sequence[str]) -> list[Sink]:
    """Open all sinks, or none if one cannot be.

    Args:
        outputs: Where results go.
        sources: What is processed.
        classes: Names of all classes of the model.

    Raises:
        PrmError: If one cannot be written, or needs a package that is not installed.
    """
    ids = None if outputs.coco_ids is None else CocoIds(outputs.coco_ids)
    wanted: list[tuple[str | None, Callable[[str], Sink]]] = [
        (outputs.json, JsonLines),
        (outputs.video, lambda path: _video(path, sources)),
        (outputs.images, Overlays),
        (outputs.prm, PrmHeatMaps),
        (outputs.labels, lambda folder: _labels(folder, outputs.label_format, classes)),
        (outputs.coco, lambda path: CocoResults(path, classes, ids)),
        (outputs.mcap, _mcap),
        (outputs.callback, Callback.named),
    ]
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for where, opens in wanted:
            if where:
                sinks.append(opens(where))
                stack.callback(sinks[-1].close)
        stack.pop_all()
    return sinks


def _video(path: str, sources: Sequence[Source]) -> Sink:
    if len(sources) == 1 and not sources[0].is_live:
        return VideoFile(path, sources[0].fps)
    return VideoPerSource(path, sources)


def _labels(folder: str, label_format: LabelFormat, classes: Sequence[str]) -> Sink:
    if label_format == LabelFormat.COCO:
        return CocoDataset(folder, classes)
    if label_format == LabelFormat.YOLO:
        return YoloDataset(folder, classes)
    return LabelmeFolder(folder)


def _mcap(path: str) -> Sink:
    sink: Sink = load_mcap().McapFile(path)
    return sink


def load_mcap() -> ModuleType:
    """The module of the MCAP sink, whose packages are no part of the base install.

    Raises:
        SinkError: If they are missing.
    """
    try:
        return import_module("prm_runtime.sinks.mcap")
    except ImportError as error:
        raise SinkError(f'MCAP needs {error.name}; run: pip install "prm-edge[robotics]"') from None
