"""What a bundle is made from, wherever the network came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
from torch import Tensor

from prm_export.errors import ExportError
from prm_export.share_kernels import FittedShares
from prm_proposals.generator import ProposalGenerator
from prm_proposals.settings import ProposalSettings, RetrievalSettings
from prm_runtime.bundle import Bundle
from prm_runtime.manifest import Preprocessing, Provenance

Reference = Callable[[Tensor], tuple[Tensor, Mapping[str, Tensor]]]
"""Class maps and features for a normalised image, by other means than the graphs."""


@dataclass(frozen=True)
class Material:
    """Everything about a bundle but its graphs.

    Attributes:
        classifier: Input ``image`` float32 [1, 3, H, W], outputs ``class_maps`` and any features;
            ``class_scores`` too where ``aggregation`` is None.
        reference: What computes the same independently of the ONNX model.
        reference_name: How messages call it.
        shares: Kernels that were fitted to the network's walk; for walks of another kind they are left out.
        classes: Names of the classes.
        preprocessing: How pictures become the input.
        aggregation: What makes class scores of the maps: its ``name`` and options; None where the
            classifier does.
        provenance: Where the network comes from.
        proposals: Settings of the proposals.
        retrieval: Settings of the retrieval.
        max_peaks: Rows of the peak table that suit the number of classes.
        window: Side of the peak window that suits the network.
    """

    classifier: onnx.ModelProto
    reference: Reference
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    aggregation: Mapping[str, Any] | None
    provenance: Provenance
    proposals: ProposalSettings
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    max_peaks: int = 64
    window: int = 3
    reference_name: str = "torch"
    shares: FittedShares | None = None


def with_settings(material: Material, path: Path) -> Material:
    """The material with the proposal and retrieval settings of another bundle.

    Proposals that are made of features which the network does not have stay as they are.

    Raises:
        ExportError: If that bundle knows other classes.
    """
    manifest = Bundle.open(path).manifest
    if manifest.classes != material.classes:
        raise ExportError(
            f"--settings-from {path}: its classes are not those of the network; take a bundle of the same one"
        )
    own, others = (set(ProposalGenerator(s).feature_names) for s in (material.proposals, manifest.proposals))
    proposals = manifest.proposals if others <= own else material.proposals
    return replace(material, proposals=proposals, retrieval=manifest.retrieval)
