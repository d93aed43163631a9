"""Table 1 (Sec. 4.1): pointwise localisation."""

from __future__ import annotations

from collections.abc import Sequence

from prm_evaluation.metrics import PointwiseLocalisation, mean_over_classes
from prm_evaluation.metrics.localisation import strongest_positions
from prm_evaluation.tables import paper
from prm_evaluation.tables.beside import beside
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.picture import MeasuredPicture
from prm_evaluation.tables.rows import NONE, Row, Table

TOLERANCES = (18, 0)
"""Pixels: of Oquab et al. [21], whose metric it is, and none, as the paper's text reads."""


class LocalisationTally:
    """Mean AP of pointwise localisation at each of ``TOLERANCES``."""

    def __init__(self, num_classes: int) -> None:
        self.metrics = [PointwiseLocalisation(num_classes, tolerance) for tolerance in TOLERANCES]

    def update(self, picture: MeasuredPicture) -> None:
        """Add one picture."""
        evidence, truth = picture.evidence, picture.truth
        positions = strongest_positions(evidence.class_maps, truth.size, picture.settings.map_shift)
        for metric in self.metrics:
            metric.update(evidence.class_scores, positions, truth.boxes, truth.box_class_ids)

    def compute(self) -> tuple[float, ...]:
        """The mAP in percent, one per tolerance."""
        return tuple(100 * mean_over_classes(metric.compute()) for metric in self.metrics)


def table_1(measured: Sequence[Measured]) -> Table:
    """Rows by aggregation, one for each bundle."""
    rows = [
        Row(
            name,
            (*(bundle.tallies.localisation.compute() if bundle else (NONE,) * len(TOLERANCES)), *figures),
        )
        for name, bundle, figures in beside(paper.POINTWISE_LOCALISATION, measured)
    ]
    return Table(
        key="1",
        title="Pointwise localisation, mAP",
        columns=(*(f"{tolerance} px" for tolerance in TOLERANCES), "paper"),
        rows=tuple(rows),
        protocol="For each class all pictures are ranked by class score (Eq. 2). A picture is a true "
        "positive if the maximum of the bilinear class map lies in an annotated box of the class, "
        "widened on each side by the tolerance of the column: 18 px in Oquab et al. [21]; the "
        "paper states none.",
    )
