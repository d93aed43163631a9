"""Table 2 and Fig. 6 (Sec. 4.1): how much of a Peak Response Map's energy lies inside an instance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.datasets.sample import VOID
from prm_evaluation.metrics import mean_over_classes
from prm_evaluation.metrics.prm_quality import PrmQuality, best_energy, energy_inside
from prm_evaluation.tables import paper
from prm_evaluation.tables.beside import beside
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.picture import MeasuredPicture
from prm_evaluation.tables.rows import NONE, Row, Table
from prm_evaluation.tables.sizes import SIZE_NAMES, size_bins

CROWDING_NAMES = ("1 object", "2-5 objects", "6 objects or more")


class QualityTally:
    """mAP of PRMs, and the mean of their energy inside an instance by crowding and by size of the instance.

    Attributes:
        quality: The accumulator behind Table 2.
        without_void: The same with the energy on void pixels left out.
    """

    def __init__(self, num_classes: int) -> None:
        self.quality = PrmQuality(num_classes)
        self.without_void = PrmQuality(num_classes)
        self._by_crowding: list[list[float]] = [[] for _ in CROWDING_NAMES]
        self._by_size: list[list[float]] = [[] for _ in SIZE_NAMES]

    def update(self, picture: MeasuredPicture) -> None:
        """Add one picture."""
        evidence, truth = picture.evidence, picture.truth
        class_ids = evidence.peaks[:, 0]
        energy = energy_inside(evidence.prms, truth.masks)
        strength = evidence.peak_strength(picture.settings)
        self.quality.update(energy, strength, class_ids, truth.class_ids)
        seen = energy_inside(evidence.prms, truth.masks, truth.class_mask == VOID)
        self.without_void.update(seen, strength, class_ids, truth.class_ids)

        best = best_energy(energy, class_ids, truth.class_ids)
        visible = np.isin(class_ids, truth.class_ids)
        if visible.any():
            crowding = 0 if len(truth.masks) == 1 else 1 if len(truth.masks) <= 5 else 2
            self._by_crowding[crowding] += best[visible].tolist()
        same_class = class_ids[:, None] == truth.class_ids[None, :]
        bins = size_bins(truth.shares)
        for prm in np.flatnonzero(best > 0):
            instance = np.where(same_class[prm], energy[prm], -1).argmax()
            self._by_size[bins[instance]].append(float(best[prm]))

    def by_crowding(self) -> dict[str, NDArray[np.float64]]:
        """Shares of energy of all PRMs whose class is in the picture, by how many objects that has."""
        return {
            name: np.array(shares) for name, shares in zip(CROWDING_NAMES, self._by_crowding, strict=True)
        }

    def by_size(self) -> dict[str, NDArray[np.float64]]:
        """Shares of energy of all PRMs that touch an instance of their class, by the instance's size."""
        return {name: np.array(shares) for name, shares in zip(SIZE_NAMES, self._by_size, strict=True)}


def table_2(measured: Sequence[Measured]) -> Table:
    """Rows by aggregation, one for each bundle."""
    rows = []
    for name, bundle, figures in beside(paper.PRM_QUALITY, measured):
        ours = (NONE, NONE, NONE)
        if bundle:
            tally = bundle.tallies.quality
            every, seen, once = (
                tally.quality.over_prms(),
                tally.without_void.over_prms(),
                tally.quality.over_objects(),
            )
            ours = (_percent(every), _percent(seen), _percent(once))
        rows.append(Row(name, (*ours, *figures)))
    return Table(
        key="2",
        title="Quality of Peak Response Maps by response aggregation, mAP",
        columns=("every PRM", "void left out", "objects once", "paper"),
        rows=tuple(rows),
        protocol="The score of a PRM R is its largest ΣR⊙G / ΣR over the masks G of its class; every PRM "
        "above 0.5 is a true positive (Sec. 4.1). The paper does not say how PRMs are ranked nor what recall "
        "counts: here by the strength of their peak, and the true positives that there are. 'Every PRM' "
        "is so the nearest to the paper's words; 'void left out' is the same without the energy on void "
        "pixels, the borders that VOC annotates as neither object nor background; 'objects once' credits "
        "each object with one PRM and counts all objects, as mAP^r does. PRMs are those of the peaks "
        "that the bundle's thresholds let live.",
    )


def figure_6(measured: Sequence[Measured]) -> Table:
    """Mean energy inside an instance of each bundle."""
    rows = []
    for bundle in measured:
        tally = bundle.tallies.quality
        for name, shares in {**tally.by_crowding(), **tally.by_size()}.items():
            mean = 100 * float(shares.mean()) if len(shares) else NONE
            cells = (len(shares), mean, paper.ENERGY_BY_CROWDING.get(name, NONE))
            rows.append(Row(f"{bundle.name}: {name}", cells))
    return Table(
        key="fig6",
        title="Fig. 6: energy of Peak Response Maps inside an instance",
        columns=("PRMs", "mean energy", "paper"),
        rows=tuple(rows),
        protocol="Mean of ΣR⊙G / ΣR with the best instance G of the PRM's class: by the number of objects "
        "in the picture, over the PRMs whose class the picture has; and by the area of the best "
        "instance as a share of the picture, over the PRMs that touch one. The paper gives two "
        "numbers and says that more than half of the energy lies inside with more than six "
        "objects.",
    )


def _percent(per_class: NDArray[np.float64]) -> float:
    return 100 * mean_over_classes(per_class)
