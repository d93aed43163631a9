"""Everything about proposals and retrieval that a bundle's manifest can set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TreeSettings:
    """One merge tree: which cues its region distance adds up (see :mod:`prm_proposals.merging`).

    Attributes:
        boundary: Weight of the mean boundary strength between two regions.
        features: Names of the network feature maps whose distance is added.
        lab: Weight of the distance of mean Lab colours.
        size_power: Exponent of the size factor; 0 ignores sizes.
    """

    boundary: float
    features: tuple[str, ...] = ()
    lab: float = 0.0
    size_power: float = 0.5


@dataclass(frozen=True)
class ProposalSettings:
    """The proposal generator.

    Attributes:
        long_side: Long side in pixels of the grid that superpixels live on.
        max_proposals: Most proposals of one picture, best first.
        trees: The merge trees whose nodes and pairs are the candidates.
        superpixel_scale: Felzenszwalb and Huttenlocher's k: larger means fewer superpixels.
        superpixel_min_size: Smallest superpixel in pixels of the grid.
        min_area: Smallest proposal as a share of the picture.
        max_area: Largest proposal as a share of the picture.
        suppression_iou: Proposals that overlap a better one more than this are dropped.
    """

    long_side: int = 320
    max_proposals: int = 1000
    trees: tuple[TreeSettings, ...] = (
        TreeSettings(boundary=1.0),
        TreeSettings(boundary=0.7, lab=0.1),
    )
    superpixel_scale: float = 150.0
    superpixel_min_size: int = 20
    min_area: float = 0.001
    max_area: float = 0.9
    suppression_iou: float = 0.9


@dataclass(frozen=True)
class Eq6Settings:
    """Free parameters of Eq. 6.

    Attributes:
        alpha: Weight of the instance-aware term (PRM mass inside the proposal).
        beta: Weight of the class-aware term (background inside the proposal, as a share of the picture).
        background_bias: Pixels whose response is below this times the mean of their class map are background.
        contour_width: Side in pixels of the square that the morphological gradient uses; odd.
        boundary: Weight of the boundary-aware term: 1 in the paper's equation, 0 to do without it.
    """

    alpha: float = 1.0
    beta: float = 1.0
    background_bias: float = 1.0
    contour_width: int = 5
    boundary: float = 1.0


@dataclass(frozen=True)
class WalkSettings:
    """Free parameters of the random walk from the class maps, split by grouped peaks.

    Attributes:
        foreground_level: Response relative to the class's maximum where foreground and background balance.
        foreground_scale: Relative response per logit of the foreground prior.
        background: Logits added to the background where a mask head says what a superpixel shows; class maps,
            and with them the two fields above, then have no say in the prior.
        boundary_scale: Boundary strength over which a connection falls to 1/e.
        lab_scale: Lab distance over which a connection falls to 1/e.
        restart: Weight of a superpixel's own prior per pixel, against its connections.
        group_ratio: Peaks whose response is below this times that of the best of their class found no region
            of their own and split none; what they retrieve alone is left to them.
        peak_similarity: Weight of two PRMs' Bhattacharyya overlap when peaks are grouped.
        peak_distance: Distance of two peaks in class-map cells that counts 1 against grouping them.
        least_part: Parts of a region that are apart and below this share of the picture are left out.
    """

    foreground_level: float = 0.15
    foreground_scale: float = 0.1
    background: float = 3.0
    boundary_scale: float = 1.0
    lab_scale: float = 6.0
    restart: float = 0.01
    group_ratio: float = 0.7
    peak_similarity: float = 5.0
    peak_distance: float = 24.0
    least_part: float = 0.001


@dataclass(frozen=True)
class RefineSettings:
    """How the regions of the random walk choose among the proposals, and what that says about their scores.

    Attributes:
        tightness: Weight of a proposal's size against its region's; the larger, the smaller the proposal that
            is taken of two that miss equally much.
        rank: Fit by which the last proposal of a gallery is behind its first.
        agreement: Logits of score per logarithm of an instance's fit.
        area: Logits of score per logarithm of an instance's share of the picture.
        single_peak: Logits of score that what a single peak retrieves is behind a region of the walk.
        least_score: Raw score that an instance has to exceed where there is one proposal; None asks for none.
        chance: Logits that ``least_score`` rises by with the logarithm of the number of proposals: of many,
            the best one fits a region by chance.
    """

    tightness: float = 2.0
    rank: float = 0.2
    agreement: float = 30.0
    area: float = 4.0
    single_peak: float = 40.0
    least_score: float | None = None
    chance: float = 30.0


@dataclass(frozen=True)
class SpotSettings:
    """Spots of a mask head: where it sees a class that no peak may have told apart (``prm_proposals.spots``).

    Attributes:
        levels: A spot is the highest place of all that are connected with it and reach this share of it; its
            region is these. Empty: no spots are looked for.
        presence: Strength in logits that a class has to exceed to have spots.
        prior: Weight of the logarithm of a class's chance to be present, beside what the mask head says.
        least: Smallest posterior of a spot.
        posterior: Logits of score per logarithm of the mean posterior inside the proposal that a spot takes.
        agreement: Logits of score per logarithm of its fit.
        area: Logits of score per logarithm of its share of the picture.
        offset: Score of a spot that is certain, fits and fills the picture.
    """

    levels: tuple[float, ...] = ()
    presence: float = -4.0
    prior: float = 0.7
    least: float = 0.005
    posterior: float = 15.0
    agreement: float = 10.0
    area: float = 13.0
    offset: float = -60.0


@dataclass(frozen=True)
class RetrievalSettings:
    """How masks are retrieved from peaks, class maps and proposals.

    Attributes:
        method: ``"walk"`` or ``"eq6"``.
        presence_from: What the strength of a class is made of: ``"maps"`` is ``max M_c + s_c``, for networks
            that were trained on several classes a picture; ``"softmax"`` is the log-odds of c in the softmax
            over s, for networks that were trained on one class a picture.
        presence: Strength in logits that a class has to exceed to be taken as present.
        peak_floor: Response that a peak has to exceed to count.
        peak_ratio: Smallest response of a peak relative to the best peak of its class; 0 asks for none.
        map_shift: Cells by which class maps are moved down and right. A cell need not see the picture around
            its own place: SAME padding at an even size adds one more pixel after than before.
        max_peaks: Most peaks that are back-propagated per frame, best first.
        nms_iou: Masks of one class that overlap more are duplicates.
        merge_prms: Add the PRMs of suppressed or grouped peaks to that of their instance's best peak.
        score_offset: Raw score that maps to 0.5.
        score_scale: Logits per unit of the logistic score.
        class_offsets: ``max M_c + s_c`` at which class c is as likely present as not, by class id. Networks
            give each class a range of its own; empty takes the network's logits as they are.
        class_scales: What one logit of strength is on that range, by class id; empty stands for 1.
        eq6: Free parameters of Eq. 6.
        walk: Free parameters of the random walk.
        refine: How the walk's regions choose among the proposals.
        spots: Spots of a mask head that choose among the proposals beside them.
    """

    method: Literal["eq6", "walk"] = "walk"
    presence_from: Literal["maps", "softmax"] = "maps"
    presence: float = 6.0
    peak_floor: float = 2.0
    peak_ratio: float = 0.15
    map_shift: float = 0.0
    max_peaks: int = 32
    nms_iou: float = 0.5
    merge_prms: bool = False
    score_offset: float = 6.0
    score_scale: float = 2.0
    class_offsets: tuple[float, ...] = ()
    class_scales: tuple[float, ...] = ()
    eq6: Eq6Settings = Eq6Settings()
    walk: WalkSettings = WalkSettings()
    refine: RefineSettings = RefineSettings()
    spots: SpotSettings = SpotSettings()
