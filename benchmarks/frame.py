"""Time per frame of the shipped model, stage by stage and per engine, beside what a user would pick instead.

``python -m benchmarks.frame [--source demo/bikes.mp4] [--rounds 30] [--threads 2] [--json FILE]
[--yolo-python VENV/bin/python [--yolo-weights yolo11n-seg.pt]]``

All variants see the same frames and take turns frame by frame: quote the ratios. The bare forward is the
part of ``forward.onnx`` that makes the class maps, in the same engine, without preparing the frame.
YOLO11n-seg runs in an environment of its own (``pip install -r benchmarks/requirements-yolo.txt``) and is
left out without one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's threads must not spin while others are timed
import prm_runtime.blas  # noqa: F401 (must come before numpy)

# isort: split
import numpy as np
import typer
from benchmarks.clip import DEFAULT, Pictures, cropped, decoding, exactly, spread_frames, without_objects
from benchmarks.limits import bare_classifier, graph_work, measure
from benchmarks.machine import pin_threads
from benchmarks.published import PROPOSALS, PublishedInference
from benchmarks.report import command_line
from benchmarks.timing import Run, Samples, interleave, timed
from benchmarks.variant import backends_that_run, segmenter_of, segmenting
from benchmarks.yolo import Yolo, rectangle, square
from numpy.typing import NDArray

from benchmarks import frame_report
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.preprocess import preprocess

PEAKS = 8
SHOWN_FROM = 0.2  # prm-run's default --min-score


def main(
    source: str = DEFAULT,
    model: Annotated[Path | None, typer.Option(help="Bundle; default: the shipped one.")] = None,
    rounds: Annotated[int, typer.Option(help="Frames that count, spread over the first 250.")] = 30,
    published_rounds: Annotated[int, typer.Option(help="... beside the published inference.")] = 8,
    threads: int = 2,
    aspect: Annotated[str | None, typer.Option(metavar="W:H", help="Crop frames to this aspect.")] = None,
    yolo_python: Annotated[
        str | None, typer.Option(help="Interpreter with benchmarks/requirements-yolo.txt.")
    ] = None,
    yolo_weights: Annotated[Path | None, typer.Option(help="yolo11n-seg.pt; default: random.")] = None,
    yolo_folder: Annotated[Path, typer.Option(help="Where exported networks are kept.")] = Path("runs/yolo"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the report as JSON.")] = None,
) -> None:
    """Time frames; prints tables of medians in milliseconds with quartiles."""
    pin_threads(threads)
    bundle = Bundle.open(model or shipped_bundle())
    pictures = spread_frames(source, rounds)
    pictures = cropped(pictures, aspect) if aspect else pictures
    backends = backends_that_run()
    machine = measure(threads)
    with ExitStack() as stack:
        runs = {"decode": decoding(source)}
        for name in backends:
            runs |= our_runs(bundle, name, threads, pictures)
        yolo = None
        if yolo_python:
            yolo = Yolo(yolo_python, pictures, yolo_folder, yolo_weights)
            stack.callback(yolo.close)
            runs |= yolo_runs(yolo, backends, pictures[0])
        processes = [yolo.pid] if yolo else []
        samples = interleave(runs, rounds, processes=processes)
        published = beside_published(
            bundle, backends, threads, pictures[:: max(1, rounds // published_rounds)]
        )
    work = graph_work(bundle, pictures[0].shape[:2], PEAKS, machine)
    height, width = pictures[0].shape[:2]
    frame_report.build(
        frame_report.Measured(samples, published, work, machine, yolo and yolo.about),
        backends,
        command=command_line("frame", sys.argv[1:]),
        clip=f"{len(pictures)} frames of {source} ({'cropped to ' if aspect else ''}{width} x {height})",
        aspect=aspect,
        model=f"{bundle.manifest.name} at {bundle.manifest.preprocessing.size} px",
        threads=threads,
    ).finish(json_file)


def our_runs(bundle: Bundle, backend: str, threads: int, pictures: Pictures) -> dict[str, Run]:
    """What is timed of one engine."""
    engine = create_backend(backend, threads)
    settings = exactly(bundle.manifest.retrieval, PEAKS)
    full = segmenter_of(bundle, backend, threads, settings)
    shipped = segmenter_of(bundle, backend, threads, min_score=SHOWN_FROM)
    bare = engine.compile(bare_classifier(bundle).SerializeToString())
    images = [preprocess(picture, bundle.manifest.preprocessing) for picture in pictures]
    return {
        f"{backend}, bare forward": timed(lambda n: bare.run({"image": images[n]})),
        f"{backend}, {PEAKS} peaks": segmenting(full, pictures, PEAKS),
        f"{backend}, as shipped": segmenting(shipped, pictures),
        f"{backend}, no objects": segmenting(shipped, without_objects(shipped, pictures)),
    }


def yolo_runs(yolo: Yolo, backends: Sequence[str], picture: NDArray[np.uint8]) -> dict[str, Run]:
    """YOLO11n-seg's predict in the engines that both have."""
    shapes = dict.fromkeys((square(), rectangle(picture)))
    return {
        f"{name}, YOLO {height} x {width}": yolo.run(name, (height, width))
        for name in backends
        if name in ("onnxruntime", "openvino")
        for height, width in shapes
    }


def beside_published(bundle: Bundle, backends: Sequence[str], threads: int, pictures: Pictures) -> Samples:
    """Ours and the published inference in turn, on the same peaks and proposals."""
    settings = exactly(bundle.manifest.retrieval, PEAKS)
    segmenters = {name: segmenter_of(bundle, name, threads, settings) for name in backends}
    published = PublishedInference(bare_classifier(bundle), settings.eq6)
    evidences = [next(iter(segmenters.values())).evidence(picture) for picture in pictures]
    given = [(found.peaks, found.gallery.masks(range(PROPOSALS))) for found in evidences]

    def run(number: int) -> dict[str, float]:
        image = preprocess(pictures[number], bundle.manifest.preprocessing)
        return published(image, *given[number])[1]

    ours = {f"{name}, {PEAKS} peaks": segmenting(each, pictures, PEAKS) for name, each in segmenters.items()}
    return interleave(ours | {"published": run}, len(pictures), warm_up=1)


if __name__ == "__main__":
    typer.run(main)
