"""Table 4 (Sec. 4.3): instance masks, against masks made of boxes."""

from __future__ import annotations

from collections.abc import Sequence

from prm_evaluation.tables import paper
from prm_evaluation.tables.beside import beside
from prm_evaluation.tables.boxes import Boxes, ellipses, nearest_proposals, rectangles
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.figures import MEASURES, MaskFigures
from prm_evaluation.tables.picture import MeasuredPicture, Predicted, unions_in_frame
from prm_evaluation.tables.rows import NONE, Row, Table, side_by_side, side_by_side_columns

_NOTHING = (NONE,) * len(MEASURES)


class BoxTally:
    """Masks made of boxes in the paper's three ways.

    Attributes:
        figures: By the paper's name of the way: Rect, Ellipse, MCG (here: our own proposals).
    """

    def __init__(self, num_classes: int) -> None:
        self.figures = {way: MaskFigures(num_classes) for way in paper.WAYS}

    def update(self, picture: MeasuredPicture, boxes: Boxes) -> None:
        """Add the boxes of one picture."""
        truth, gallery = picture.truth, picture.evidence.gallery
        filled = rectangles(boxes.corners, truth.size)
        inscribed = ellipses(boxes.corners, truth.size)
        proposals = nearest_proposals(filled, gallery)
        made = {
            "Rect": Predicted(filled, boxes.scores, boxes.class_ids),
            "Ellipse": Predicted(inscribed, boxes.scores, boxes.class_ids),
            "MCG": unions_in_frame(proposals, gallery.labels, truth.size, boxes.scores, boxes.class_ids),
        }
        for way, predicted in made.items():
            self.figures[way].update(predicted, truth)


def table_4(measured: Sequence[Measured]) -> Table:
    """Boxes of the ground truth, of MELM, of class maps; and our instances by each retrieval method."""
    truth = zip(measured[0].tallies.truth_boxes.figures.items(), paper.TRUTH_BOXES, strict=True)
    rows = [
        Row(f"Ground-truth boxes, {way}", side_by_side(figures.compute(), numbers))
        for (way, figures), numbers in truth
    ]
    rows += [Row(row.name, side_by_side(_NOTHING, row.figures)) for row in paper.MELM]
    for name, bundle, numbers in beside(paper.LOCALISED_BOXES, measured):
        for place, way in enumerate(paper.WAYS):
            ours = bundle.tallies.map_boxes.figures[way].compute() if bundle else _NOTHING
            theirs = numbers[place * len(MEASURES) :][: len(MEASURES)]
            rows.append(Row(f"Class map boxes, {name}, {way}", side_by_side(ours, theirs)))
    for name, bundle, numbers in beside(paper.INSTANCES, measured):
        if bundle is None:
            rows.append(Row(name, side_by_side(_NOTHING, numbers)))
            continue
        instances = bundle.tallies.instances
        rows.append(Row(f"{name}, Eq. 6", side_by_side(instances["eq6"].compute(), numbers)))
        rows.append(Row(f"{name}, random walk", side_by_side(instances["walk"].compute(), _NOTHING)))
    return Table(
        key="4",
        title="Weakly supervised instance segmentation, mAP^r and ABO",
        columns=side_by_side_columns(MEASURES),
        rows=tuple(rows),
        protocol="mAP^r as chainercv computes it, ABO as the mean over a class's objects, then over "
        "classes. Rect is the filled box, Ellipse the largest ellipse inside it, MCG the proposal "
        "of the highest IoU with the filled box: the paper's from MCG, ours from the bundle's own "
        "proposals. Ground-truth boxes are the tight boxes of the masks, with equal scores. Class "
        "maps give one box for each present class, around the largest connected part above 20 % "
        "of the map's maximum, as in CAM [47].",
    )
