"""Table 5 (Sec. 4.3): what the instance masks of Eq. 6 lose without one of its terms or peak stimulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prm_evaluation.tables import paper
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.figures import MEASURES, MaskFigures
from prm_evaluation.tables.picture import MeasuredPicture, in_frame
from prm_evaluation.tables.rows import NONE, Row, Table
from prm_proposals.eq6 import eq6_terms, top_proposals
from prm_proposals.settings import Eq6Settings, RetrievalSettings

_MAP50 = MEASURES.index("mAP50")


def ablations(eq6: Eq6Settings) -> dict[str, Eq6Settings]:
    """Weights of Eq. 6 by the paper's name for what they leave out."""
    return {
        "without instance-aware term": replace(eq6, alpha=0.0),
        "without class-aware term": replace(eq6, beta=0.0),
        "without boundary-aware term": replace(eq6, boundary=0.0),
    }


class AblationTally:
    """Instances of Eq. 6 with each of its terms removed; with all of them they are those of Table 4.

    Attributes:
        figures: By the name of the ablation.
    """

    def __init__(self, num_classes: int, settings: RetrievalSettings) -> None:
        self._settings = settings
        self.figures = {name: MaskFigures(num_classes) for name in ablations(settings.eq6)}

    def update(self, picture: MeasuredPicture) -> None:
        """Add one picture."""
        evidence, settings = picture.evidence, self._settings
        terms = eq6_terms(evidence, settings.eq6, settings.map_shift)
        for name, weights in ablations(settings.eq6).items():
            found = top_proposals(evidence, terms.scores(weights), settings)
            self.figures[name].update(in_frame(found, evidence, settings, picture.truth.size), picture.truth)


def table_5(measured: Sequence[Measured]) -> Table:
    """All ablations of bundles with peak stimulation, of others the full Eq. 6 only."""
    stimulated = [bundle for bundle in measured if bundle.aggregation == "peak"]
    plain = [bundle for bundle in measured if bundle.aggregation == "average"]
    rows = [
        Row(f"without peak stimulation: {_named(bundle)}", (_full(bundle), *paper.WITHOUT_STIMULATION))
        for bundle in plain
    ] or [Row("without peak stimulation", (NONE, *paper.WITHOUT_STIMULATION))]
    for name, figures in paper.ABLATION.items():
        if not stimulated:
            rows.append(Row(name, (NONE, *figures)))
        for bundle in stimulated:
            tally = bundle.tallies.ablation.figures
            ours = tally[name].compute()[_MAP50] if name in tally else _full(bundle)
            rows.append(Row(f"{name}: {_named(bundle)}", (ours, *figures)))
    rows += [
        Row(f"full: {_named(bundle)}", (_full(bundle), NONE, NONE))
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
        "peak stimulation stands a bundle trained with global average pooling. In brackets stands the "
        "backbone of the bundle; the paper's are those of its columns.",
    )


def _full(bundle: Measured) -> float:
    return bundle.tallies.instances["eq6"].compute()[_MAP50]


def _named(bundle: Measured) -> str:
    return f"{bundle.name} ({bundle.backbone or 'unknown backbone'})"
