"""How well tracks keep identities: share of frames in which an object carries its most common id.

``python -m benchmarks.tracking VIDEO [--truth benchmarks/truth/dog.json] [--min-score 0.2]``

With boxes of the objects (``--truth``) an object is *found* in a frame if an instance of its class has at
least half of its mask inside the object's box; of several, the one with most of its mask there counts. Boxes
between annotated frames are interpolated; an object is not judged where it is out of the picture at either
end.

Without them there is no saying which object an instance shows. Then the largest instance of each label that
is in a tenth of the frames stands for one object, which is wrong wherever another one of its class is larger.

An instance without an id, as any in its first frame, counts as one that lost it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import Frame, open_source
from prm_runtime.tracking import TrackSettings, open_tracks

Objects = dict[str, dict[int, list[float] | None]]
"""By label: the box (x0, y0, x1, y1) in annotated frames, None where the object is out of the picture."""
_MAIN = 0.1  # share of frames from which on a label is one of the main ones


def main(
    video: str,
    truth: Annotated[Path | None, typer.Option(help="Boxes of the objects, JSON.")] = None,
    model: Annotated[Path | None, typer.Option(help="Bundle; default: the shipped one.")] = None,
    min_score: float = 0.2,
    threads: int = 2,
) -> None:
    """Track a video; prints a line per object."""
    objects = read_objects(truth) if truth else None
    seen: dict[str, list[int]] = defaultdict(list)
    frames = 0
    judged: Counter[str] = Counter()
    for frame, instances in tracked(video, model, min_score, threads):
        frames += 1
        if objects is None:
            found = largest(instances)
        else:
            boxes = {label: box_at(keys, frame.index) for label, keys in objects.items()}
            found = {label: inside(instances, label, box) for label, box in boxes.items() if box is not None}
            judged.update(found.keys())
        for label, n in found.items():
            if n is not None:
                seen[label].append(-1 if (track := instances.track_id(n)) is None else track)
    table = Table("object", "frames with it", "found in", "ids", "most common id in", title=f"{video}")
    for label, ids in seen.items():
        if objects is None and len(ids) < _MAIN * frames:
            continue
        common = Counter(track for track in ids if track >= 0).most_common(1)
        share = 100 * common[0][1] / len(ids) if common else 0.0
        with_it = "" if objects is None else str(judged[label])
        table.add_row(label, with_it, str(len(ids)), str(len(set(ids) - {-1})), f"{share:.1f} %")
    Console().print(table)


def tracked(
    video: str, model: Path | None, min_score: float, threads: int
) -> Iterator[tuple[Frame, Instances]]:
    """The frames of a video with their tracked instances."""
    settings = TrackSettings(min_score=min_score)
    segmenter = Segmenter.open(model, threads=threads, min_score=settings.detection_score)
    tracks = open_tracks(settings)
    for frame in open_source(video):
        yield frame, tracks(frame, segmenter(frame.image))


def read_objects(path: Path) -> Objects:
    """Boxes by label and frame, as ``benchmarks/truth`` has them."""
    content: dict[str, dict[str, Any]] = json.loads(path.read_text())["objects"]
    return {label: {int(n): box for n, box in boxes.items()} for label, boxes in content.items()}


def box_at(keys: dict[int, list[float] | None], index: int) -> list[float] | None:
    """The box in a frame, interpolated; None where it is not known to be in the picture."""
    before = max((n for n in keys if n <= index), default=None)
    after = min((n for n in keys if n >= index), default=None)
    if before is None or after is None:
        return None
    first, last = keys[before], keys[after]
    if first is None or last is None:
        return None
    t = 0.0 if before == after else (index - before) / (after - before)
    return [(1 - t) * a + t * b for a, b in zip(first, last, strict=True)]


def inside(instances: Instances, label: str, box: list[float]) -> int | None:
    """The instance of a label that has at least half of its mask in a box, and most of all pixels there."""
    x0, y0, x1, y1 = (round(value) for value in box)
    best, most = None, 0
    for n in np.flatnonzero(np.array(instances.labels) == label):
        mask = instances.masks[n]
        pixels = int(mask[y0:y1, x0:x1].sum())
        if 2 * pixels >= mask.sum() and pixels > most:
            best, most = int(n), pixels
    return best


def largest(instances: Instances) -> dict[str, int | None]:
    """The largest instance of each label."""
    order = np.argsort(instances.masks.sum(axis=(1, 2)))
    return {instances.labels[n]: int(n) for n in order}


if __name__ == "__main__":
    typer.run(main)
