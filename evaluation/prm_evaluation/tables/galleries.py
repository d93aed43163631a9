"""Table 6 (Sec. 4.3): mAP^r at 0.75 by gallery, with ground-truth masks among the proposals or alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.tables import paper
from prm_evaluation.tables.beside import beside
from prm_evaluation.tables.boxes import Boxes, class_map_boxes, nearest_proposals, rectangles, truth_boxes
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.figures import MEASURES, MaskFigures
from prm_evaluation.tables.paper import PaperRow
from prm_evaluation.tables.picture import MeasuredPicture, Predicted, in_frame, unions_in_frame
from prm_evaluation.tables.rows import NONE, Row, Table, side_by_side
from prm_proposals.eq6 import eq6_scores, top_proposals
from prm_proposals.evidence import Evidence
from prm_proposals.gallery import Gallery
from prm_proposals.maps import nearest
from prm_proposals.refine import RefinedRetrieval
from prm_proposals.regions import region_graph
from prm_proposals.settings import RetrievalSettings
from prm_proposals.walk import WalkRetrieval

_MAP75 = MEASURES.index("mAP75")
REGIONS = "regions"
_QUERIES = ("GT mask", "GT box", "class map box", "PRM", REGIONS)
PROPOSALS, BOTH, TRUTH = paper.GALLERIES


@dataclass(frozen=True)
class TruthGalleries:
    """Ground-truth masks in galleries, on superpixels of the picture's own size that are cut along them.

    Attributes:
        by_name: The evidence with them beside the proposals, and with them alone.
        origin: For each superpixel the one of the plain evidence that it was cut from, int64 [K].
    """

    by_name: dict[str, Evidence]
    origin: NDArray[np.int64]


def galleries_with_truth(
    evidence: Evidence, frame: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> TruthGalleries:
    """Galleries in which the ground-truth masks are exact.

    Args:
        evidence: One picture's; its label grid covers the picture.
        frame: RGB, uint8 [H, W, 3].
        masks: Ground truth, bool [G, H, W].
    """
    truth = Gallery.from_masks(masks)
    height, width = truth.labels.shape
    superpixel = nearest(evidence.gallery.labels, (height, width)).astype(np.int64)
    parts = truth.members.shape[1]
    pairs, pieces = np.unique(superpixel * parts + truth.labels, return_inverse=True)
    labels: NDArray[np.int32] = pieces.reshape(superpixel.shape).astype(np.int32)
    origin = pairs // parts
    proposals = evidence.gallery.members[:, origin]
    exact = truth.members[:, pairs % parts]
    galleries = {BOTH: np.concatenate([proposals, exact]), TRUTH: exact}
    graph = region_graph(frame, labels)
    logits = None if evidence.mask_logits is None else evidence.mask_logits[origin]
    made = {
        name: replace(evidence, graph=graph, gallery=Gallery(labels, members), mask_logits=logits)
        for name, members in galleries.items()
    }
    return TruthGalleries(made, origin)


def contour_width_on(settings: RetrievalSettings, coarse: tuple[int, ...], fine: tuple[int, ...]) -> int:
    """``Eq6Settings.contour_width`` for another grid (h, w): odd, and as wide in the picture as on coarse."""
    width = settings.eq6.contour_width * math.sqrt(math.prod(fine) / math.prod(coarse))
    return max(3, 2 * int(width / 2) + 1)


class GalleryTally:
    """What ground-truth masks, boxes, PRMs (Eq. 6) and regions (walk, PRMs, spots) retrieve from each.

    Attributes:
        figures: By gallery and by what retrieves from it.
    """

    def __init__(self, num_classes: int) -> None:
        self.figures = {
            gallery: {query: MaskFigures(num_classes) for query in _QUERIES} for gallery in paper.GALLERIES
        }

    def update(self, picture: MeasuredPicture) -> None:
        """Add one picture."""
        truth, settings = picture.truth, picture.settings
        with_truth = galleries_with_truth(picture.evidence, picture.frame, truth.masks)
        evidences = {PROPOSALS: picture.evidence, **with_truth.by_name}
        boxes, map_boxes = truth_boxes(truth), class_map_boxes(picture)
        masks = {
            "GT mask": (truth.masks, boxes),
            "GT box": (rectangles(boxes.corners, truth.size), boxes),
            "class map box": (rectangles(map_boxes.corners, truth.size), map_boxes),
        }
        for name, evidence in evidences.items():
            for query, (wanted, given) in masks.items():
                self.figures[name][query].update(_nearest(wanted, given, evidence.gallery, truth.size), truth)
        self.figures[PROPOSALS]["PRM"].update(picture.found["eq6"], truth)
        grids = (evidences[PROPOSALS].graph.labels.shape, evidences[BOTH].graph.labels.shape)
        eq6 = replace(settings.eq6, contour_width=contour_width_on(settings, *grids))
        likeness = eq6_scores(evidences[BOTH], eq6, settings.map_shift)
        # the exact masks are the last of both galleries
        exact = likeness[:, len(evidences[PROPOSALS].gallery) :]
        for name, scores in ((BOTH, likeness), (TRUTH, exact)):
            found = top_proposals(evidences[name], scores, settings)
            predicted = in_frame(found, evidences[name], settings, truth.size)
            self.figures[name]["PRM"].update(predicted, truth)
        self._choose_by_regions(picture, with_truth)

    def _choose_by_regions(self, picture: MeasuredPicture, with_truth: TruthGalleries) -> None:
        self.figures[PROPOSALS][REGIONS].update(picture.found["walk"], picture.truth)
        # ground-truth masks come in no order
        settings = replace(picture.settings, refine=replace(picture.settings.refine, rank=0.0))
        retrieval = RefinedRetrieval(WalkRetrieval(settings), settings)
        regions = retrieval.regions(picture.evidence)
        on_cuts = regions.on(with_truth.origin)
        for name, evidence in with_truth.by_name.items():
            if len(evidence.gallery) == 0:
                continue
            found = retrieval.choose(on_cuts, evidence.gallery, evidence.graph.sizes)
            predicted = in_frame(found, evidence, picture.settings, picture.truth.size)
            self.figures[name][REGIONS].update(predicted, picture.truth)

    def compute(self, query: str) -> tuple[float, ...]:
        """mAP^r at 0.75 in percent, one per gallery."""
        return tuple(queries[query].compute()[_MAP75] for queries in self.figures.values())


def _nearest(masks: NDArray[np.bool_], boxes: Boxes, gallery: Gallery, size: tuple[int, int]) -> Predicted:
    members = nearest_proposals(masks, gallery)
    return unions_in_frame(members, gallery.labels, size, boxes.scores, boxes.class_ids)


def table_6(measured: Sequence[Measured]) -> Table:
    """Rows by what retrieves, columns by gallery."""
    first = measured[0].tallies.galleries
    rows = [
        Row(f"{query}: {measured[0].name}", side_by_side(first.compute(query), _paper(query)))
        for query in ("GT mask", "GT box")
    ]
    spn = PaperRow("SPN [48]", _paper("SPN"), "spn")
    prm = PaperRow("PRM (Ours), Eq. 6", _paper("PRM"), "peak")
    regions = PaperRow("PRM (Ours), regions", _paper("PRM"), "peak")
    queries = ((spn, "class map box", False), (prm, "PRM", True), (regions, REGIONS, True))
    for line, query, others in queries:
        for name, bundle, figures in beside([line], measured, others=others):
            ours = bundle.tallies.galleries.compute(query) if bundle else (NONE,) * len(paper.GALLERIES)
            rows.append(Row(name, side_by_side(ours, figures)))
    return Table(
        key="6",
        title="Instance segmentation by proposal gallery, mAP^r at IoU 0.75",
        columns=tuple(f"{who}{gallery}" for gallery in paper.GALLERIES for who in ("", "paper ")),
        rows=tuple(rows),
        protocol="PRMs retrieve by Eq. 6 or as regions: of the walk, of single peaks and, if the bundle asks "
        "for them, spots of its mask head, all as the bundle sets them; masks and boxes take the "
        "proposal of the highest IoU with the mask or the filled box. 'proposals' are the bundle's "
        "own (the paper's: MCG). Where ground-truth masks are in the gallery they are exact: superpixels "
        "have the picture's own size and are cut along the ground truth, and the contour of Eq. 6 "
        "is widened to match.",
    )


def _paper(query: str) -> tuple[float, ...]:
    return tuple(figures[query] for figures in paper.GALLERIES.values())
