"""The figures that the paper reports, in percent: Zhou et al., "Weakly Supervised Instance Segmentation using
Class Peak Response", CVPR 2018, arXiv:1804.00880.

"""

from __future__ import annotations

from dataclasses import dataclass

from prm_evaluation.tables.rows import NONE

BASIS = "the paper's figures: VOC 2012 val, official masks, MCG proposals, ResNet50 unless named"


@dataclass(frozen=True)
class PaperRow:
    """A line of one of the paper's tables.

    Attributes:
        name: As the paper calls it; numbers in brackets are the paper's references.
        figures: In percent.
        aggregation: With which of our aggregations a bundle has to be trained to stand beside it; None where
            there is nothing of ours to stand there.
    """

    name: str
    figures: tuple[float, ...]
    aggregation: str | None = None


POINTWISE_LOCALISATION = (
    PaperRow("DeepMIL [21]", (74.5,), "max"),
    PaperRow("WSLoc [2]", (79.7,)),
    PaperRow("WILDCAT [9]", (82.9,), "maxmin"),
    PaperRow("SPN [48]", (82.9,), "spn"),
    PaperRow("Ours, without peak stimulation", (81.5,), "average"),
    PaperRow("Ours, full approach", (85.5,), "peak"),
)
"""Table 1 (Sec. 4.1), column VOC 2012: mAP of pointwise localisation, ResNet50."""

PRM_QUALITY = (
    PaperRow("CAM [47], global average pooling", (55.7,), "average"),
    PaperRow("DeepMIL [21], global max pooling", (60.9,), "max"),
    PaperRow("WILDCAT [9], global max-min pooling", (62.4,), "maxmin"),
    PaperRow("PRM (Ours), peak stimulation", (64.0,), "peak"),
)
"""Table 2 (Sec. 4.1): mAP of Peak Response Maps, ResNet50."""

ENERGY_BY_CROWDING = {"1 object": 78.0, "2-5 objects": 67.0}
"""Sec. 4.1, beside Fig. 6: mean share of a PRM's energy inside an instance."""

SEMANTIC = (
    PaperRow("MIL+ILP+SP-seg [26]", (42.0,)),
    PaperRow("WILDCAT [9]", (43.7,)),
    PaperRow("SEC [14]", (50.7,)),
    PaperRow("Check mask [34]", (51.5,)),
    PaperRow("Combining [33]", (52.8,)),
    PaperRow("PRM (Ours)", (53.4,), "peak"),
)
"""Table 3 (Sec. 4.2): mean IoU of semantic segmentation."""

WAYS = ("Rect", "Ellipse", "MCG")
"""The paper's three ways from a box to a mask (Sec. 4.3)."""

TRUTH_BOXES = ((78.3, 30.2, 4.5, 47.4), (81.6, 41.1, 6.6, 51.9), (69.7, 38.0, 12.3, 53.3))
"""Table 4 (Sec. 4.3), ground-truth boxes: mAP^r at 0.25, 0.5, 0.75 and ABO, one of ``WAYS`` after another."""

LOCALISED_BOXES = (
    PaperRow("CAM [47]", (18.7, 2.5, 0.1, 18.9, 22.8, 3.9, 0.1, 20.8, 20.4, 7.8, 2.5, 23.0), "average"),
    PaperRow("SPN [48]", (29.2, 5.2, 0.3, 23.0, 32.0, 6.1, 0.3, 24.0, 26.4, 12.7, 4.4, 27.1), "spn"),
)
"""Table 4 (Sec. 4.3), boxes from image-level labels only: figures of all ``WAYS`` in a row."""

MELM = (
    PaperRow("MELM [39], Rect", (36.0, 14.6, 1.9, 26.4)),
    PaperRow("MELM [39], Ellipse", (36.8, 19.3, 2.4, 27.5)),
    PaperRow("MELM [39], MCG", (36.9, 22.9, 8.4, 32.9)),
)
"""Table 4 (Sec. 4.3), boxes of a detector trained from image-level labels and object proposals."""

INSTANCES = (PaperRow("PRM (Ours)", (44.3, 26.8, 9.0, 37.6), "peak"),)
"""Table 4 (Sec. 4.3): mAP^r at 0.25, 0.5, 0.75 and ABO."""

ABLATION = {
    "without instance-aware term": (13.3, NONE),
    "without class-aware term": (16.5, NONE),
    "without boundary-aware term": (24.3, NONE),
    "full": (26.8, 22.0),
}
"""Table 5 (Sec. 4.3): mAP^r at 0.5 with ResNet50 and VGG16, both trained with peak stimulation."""

WITHOUT_STIMULATION = (22.8, 11.9)
"""Table 5 (Sec. 4.3): as in ``ABLATION``, all terms of Eq. 6 but no peak stimulation."""

GALLERIES = {
    "proposals": {"GT mask": 26.0, "GT box": 12.3, "SPN": 4.4, "PRM": 9.0},
    "proposals + GT masks": {"GT mask": 100.0, "GT box": 29.2, "SPN": 10.4, "PRM": 26.9},
    "GT masks": {"GT mask": 100.0, "GT box": 93.0, "SPN": 50.0, "PRM": 73.3},
}
"""Table 6 (Sec. 4.3): mAP^r at 0.75, by gallery and by what retrieves from it."""
