"""Bundles on their way through the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prm_runtime.manifest import Manifest

if TYPE_CHECKING:  # tallies live in the modules of the tables, which name their bundles by this one
    from prm_evaluation.tables.tallies import Tallies


@dataclass(frozen=True, eq=False)
class Measured:
    """A bundle and what was counted on it.

    Attributes:
        name: Of the manifest.
        aggregation: What it was trained with ("peak", "average", "max", "maxmin", "lse" or "spn"), None if
            unknown.
        backbone: Of what network it is, None if unknown.
        tallies: What was counted.
    """

    name: str
    aggregation: str | None
    backbone: str | None
    tallies: Tallies

    @classmethod
    def of(cls, manifest: Manifest, tallies: Tallies) -> Measured:
        """Name a bundle by its manifest; the aggregation stands in the recipe of its provenance."""
        recipe = manifest.provenance.recipe or {}
        aggregation = recipe.get("aggregation")
        known = aggregation if isinstance(aggregation, str) else None
        return cls(manifest.name, known, manifest.provenance.backbone, tallies)

    @property
    def description(self) -> str:
        """The bundle with its backbone and aggregation, as far as its manifest says.

        Example:
            ``"voc20-lite0: efficientnet_lite0, trained with peak"``
        """
        parts = [self.backbone, self.aggregation and f"trained with {self.aggregation}"]
        return f"{self.name}: {', '.join(filter(None, parts)) or 'of unknown training'}"
