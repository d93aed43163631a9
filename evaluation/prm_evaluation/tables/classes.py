"""Figures per class, and which classes are taken for one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.methods import Method
from prm_evaluation.metrics import mask_iou
from prm_evaluation.metrics.confusion import InstanceConfusion
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.figures import MEASURES
from prm_evaluation.tables.picture import MeasuredPicture
from prm_evaluation.tables.rows import Row, Table

_SHOWN = 15


class ConfusionTally:
    """Classes under which the objects were found by one retrieval method.

    Attributes:
        confusion: The accumulator.
    """

    def __init__(self, num_classes: int) -> None:
        self.confusion = InstanceConfusion(num_classes)

    def update(self, picture: MeasuredPicture, method: Method) -> None:
        """Add one picture."""
        found, truth = picture.found[method], picture.truth
        iou = mask_iou(found.masks, truth.masks)
        self.confusion.update(iou, found.scores, found.class_ids, truth.class_ids)


def class_table(bundle: Measured, method: Method, classes: Sequence[str]) -> Table:
    """All per-class figures of one bundle and retrieval method."""
    tallies = bundle.tallies
    figures = tallies.instances[method]
    columns = dict(
        zip(MEASURES, [*figures.precision.compute().values(), figures.best_overlap.compute()], strict=True)
    )
    columns["IoU"] = tallies.semantic[method].iou.compute()[1:]
    columns["PRM quality"] = tallies.quality.quality.over_prms()
    columns["localisation"] = tallies.localisation.metrics[0].compute()
    rows = [
        Row(name, tuple(100 * float(values[class_id]) for values in columns.values()))
        for class_id, name in enumerate(classes)
    ]
    return Table(
        key=f"classes {method}",
        title=f"Per class, {method}: {bundle.name}",
        columns=tuple(columns),
        rows=tuple(rows),
        protocol="The classes behind the means of Tables 1 (18 px), 2 (every PRM), 3 and 4.",
    )


def confusion_table(bundle: Measured, method: Method, classes: Sequence[str]) -> Table:
    """The most frequent confusions, and how many objects of a true class were found under its own name."""
    counts = bundle.tallies.confusions[method].confusion.compute()
    rows = [
        Row(f"{true} found as {found}", (count, 100 * count / objects))
        for true, found, count, objects in _most_frequent(counts, classes)
    ]
    objects = int(counts[:-1].sum())
    right = int(np.trace(counts[:-1, :-1]))
    wrong = int(counts[:-1, :-1].sum()) - right
    summary = {
        "found as their own class": right,
        "found as another class": wrong,
        "not found": objects - right - wrong,
    }
    totals = [Row(name, (count, 100 * count / max(objects, 1))) for name, count in summary.items()]
    return Table(
        key=f"confusion {method}",
        title=f"Confusion of classes, {method}: {bundle.name}",
        columns=("objects", "% of the class"),
        rows=(*totals, *rows),
        protocol="By falling score each prediction, whatever its class, goes to the object that it overlaps "
        "most and finds it at IoU 0.25 or more unless it is found already. First all classes together, then "
        f"the {_SHOWN} most frequent confusions.",
    )


def _most_frequent(counts: NDArray[np.int64], classes: Sequence[str]) -> list[tuple[str, str, int, int]]:
    """True class, found class, how often, and of how many objects; most frequent first."""
    wrong = counts[:-1, :-1] - np.diag(np.diag(counts)[:-1])
    order = np.argsort(-wrong, axis=None, kind="stable")[:_SHOWN]
    cells = [divmod(int(cell), len(classes)) for cell in order]
    return [
        (classes[true], classes[found], int(wrong[true, found]), int(counts[true].sum()))
        for true, found in cells
        if wrong[true, found]
    ]
