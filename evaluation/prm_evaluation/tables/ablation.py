"""Table 5 (Sec. 4.3): what the instance masks of Eq. 6 lose without one of its terms or peak stimulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prm_evaluation.tables import paper
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.figures import MEASURES, MaskFigures
from prm_evaluation.tables.picture import MeasuredPicture, retrieve
from prm_evaluation.tables.rows import NONE, Row, Table
from prm_proposals.settings import RetrievalSettings

_MAP50 = MEASURES.index("mAP50")


def ablations(settings: RetrievalSettings) -> dict[str, RetrievalSettings]:
    """Settings of Eq. 6 by the paper's name for what they leave out."""
    eq6 = settings.eq6
    changed = {
        "without instance-aware term": replace(eq6, alpha=0.0),
        "without class-aware term": replace(eq6, beta=0.0),
        "without boundary-aware term": replace(eq6, boundary=0.0),
    }
    return {name: replace(settings, method="eq6", eq6=each) for name, each in changed.items()}


class AblationTally:
    """Instances of Eq. 6 with each of its terms removed; with all of them they are those of Table 4.

    Attributes:
        figures: By the name of the ablation.
    """

    def __init__(self, num_classes: int, settings: RetrievalSettings) -> None:
        self._settings = ablations(settings)
        self.figures = {name: MaskFigures(num_classes) for name in self._settings}

    def update(self, picture: MeasuredPicture) -> None:
        """Add one picture."""
        for name, settings in self._settings.items():
            self.figures[name].update(retrieve(picture.evidence, settings, picture.truth.size), picture.truth)


def table_5(measured: Sequence[Measured]) -> Table:
    """All ablations of bundles with peak stimulation, of others the full Eq. 6 only."""
    stimulated = [bundle for bundle in measured if bundle.aggregation == "peak"]
    plain = [bundle for bundle in measured if bundle.aggregation == "average"]
    rows = [
        Row(f"without peak stimulation: {bundle.name}", (_full(bundle), *paper.WITHOUT_STIMULATION))
        for bundle in plain
    ] or [Row("without peak stimulation", (NONE, *paper.WITHOUT_STIMULATION))]
    for name, figures in paper.ABLATION.items():
        if not stimulated:
            rows.append(Row(name, (NONE, *figures)))
        for bundle in stimulated:
            tally = bundle.tallies.ablation.figures
            ours = tally[name].compute()[_MAP50] if name in tally else _full(bundle)
            rows.append(Row(f"{name}: {bundle.name}", (ours, *figures)))
    rows += [
        Row(f"full: {bundle.name}", (_full(bundle), NONE, NONE))
        for bundle in measured
        if bundle not in (*stimulated, *plain)
    ]
    return Table(
        key="5",
        title="Ablation of Eq. 6 and of peak stimulation, mAP^r at IoU 0.5",
        columns=("mAP50", "paper ResNet50", "paper VGG16"),
        rows=tuple(rows),
        protocol="Eq. 6 with α = 0 (instance-aware), β = 0 (class-aware) or the contour term left out "
        "(boundary-aware), everything else as the bundle sets it; nothing is tuned again. Without "
        "peak stimulation stands a bundle trained with global average pooling. Backbones are "
        "those of the bundles.",
    )


def _full(bundle: Measured) -> float:
    return bundle.tallies.instances["eq6"].compute()[_MAP50]
