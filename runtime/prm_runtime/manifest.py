"""The manifest of a bundle: what a device has to know to run it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from prm_proposals.settings import ProposalSettings, RetrievalSettings

SCHEMA_VERSION: Final = 1

MASK_LOGITS: Final = "mask_logits"
"""Output of the forward graph, float32 [1, 1 + C, h, w], of models that have a mask head."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Preprocessing(_Model):
    """How a frame becomes the network's input: resized keeping its aspect, then ``(RGB - mean) / std``.

    The long side becomes ``size`` pixels and each side is rounded to the nearest multiple of ``multiple``
    (at least one), so the image is stretched by at most ``multiple / 2`` pixels.
    """

    size: Annotated[int, Field(gt=0)] = 448
    multiple: Annotated[int, Field(gt=0)] = 32
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class TensorSpec(_Model):
    """A graph input or output; a string in ``shape`` is a free dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class GraphSpec(_Model):
    """One compiled graph: its file in the bundle and its signature."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class PeakSettings(_Model):
    """How peaks are found and back-propagated (Sec. 3.2, 3.3 of the paper).

    ``rules`` says what each layer does with P: the paper's equations, or the code published with it.
    """

    window: int = 3
    max_peaks: int = 64
    stop_stride: int = 2
    rule: Literal["exact"] = "exact"
    rules: Literal["paper", "reference"] = "paper"


class Provenance(_Model):
    """Where a model comes from and what it was measured to do."""

    prm_edge_version: str
    created: str
    git_commit: str | None = None
    backbone: str | None = None
    data: str | None = None
    recipe: dict[str, Any] | None = None
    metrics: dict[str, float] = {}
    metrics_protocol: str | None = None


class Manifest(_Model):
    """Everything about a bundle except its weights (``manifest.json``)."""

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    forward: GraphSpec
    backprop: GraphSpec
    peaks: PeakSettings = PeakSettings()
    proposals: ProposalSettings = ProposalSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    provenance: Provenance
    sha256: dict[str, str] = {}

    @property
    def has_mask_head(self) -> bool:
        """Whether the forward graph says where background and classes are."""
        return any(spec.name == MASK_LOGITS for spec in self.forward.outputs)
