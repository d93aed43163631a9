"""Table 3 (Sec. 4.2): semantic segmentation from merged instances."""

from __future__ import annotations

from collections.abc import Sequence

from prm_evaluation.methods import Method
from prm_evaluation.metrics import SemanticIoU, mean_over_classes, merge_instances
from prm_evaluation.tables import paper
from prm_evaluation.tables.beside import beside
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.picture import MeasuredPicture
from prm_evaluation.tables.rows import NONE, Row, Table


class SemanticTally:
    """IoU of merged instances of one retrieval method.

    Attributes:
        iou: The accumulator.
    """

    def __init__(self, num_classes: int) -> None:
        self.iou = SemanticIoU(num_classes)

    def update(self, picture: MeasuredPicture, method: Method) -> None:
        """Add one picture."""
        found = picture.found[method]
        merged = merge_instances(found.masks, found.scores, found.class_ids)
        self.iou.update(merged, picture.truth.class_mask)

    def compute(self) -> float:
        """Mean IoU of classes and background in percent."""
        return 100 * mean_over_classes(self.iou.compute())


def table_3(measured: Sequence[Measured]) -> Table:
    """The paper's rows; ours once for each retrieval method."""
    rows = []
    for name, bundle, figures in beside(paper.SEMANTIC, measured):
        if bundle is None:
            rows.append(Row(name, (NONE, *figures)))
            continue
        rows.append(Row(f"{name}, Eq. 6", (bundle.tallies.semantic["eq6"].compute(), *figures)))
        rows.append(Row(f"{name}, random walk", (bundle.tallies.semantic["walk"].compute(), NONE)))
    return Table(
        key="3",
        title="Semantic segmentation from merged instances, mIoU",
        columns=("mIoU", "paper mIoU"),
        rows=tuple(rows),
        protocol="Instances are merged to one class a pixel, the higher score winning (Sec. 4.2). IoU from "
        "one confusion matrix over all pictures, mean over the classes and the background; void "
        "pixels are left out.",
    )
