"""The manifest of a bundle: what a device has to know to run it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prm_proposals.settings import ProposalSettings, RetrievalSettings

SCHEMA_VERSION: Final = 2
"""2 adds share splitting, size profiles, batches, precisions and the fused graph; 1 has none of them."""

MASK_LOGITS: Final = "mask_logits"
"""Output of the forward graph, float32 [1, 1 + C, h, w], of models that have a mask head."""


PRMS: Final = "prms"
"""Output of the reverse graph and of a fused one, float32 [P, h, w]."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


Size = tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
"""Height and width in pixels."""


class SizeProfile(_Model):
    """The input sizes that a bundle is made for: each side may lie between ``min`` and ``max``.

    ``opt`` is what engines tune themselves for. Where all three are equal the graphs take no other size.
    """

    min: Size
    opt: Size
    max: Size

    @model_validator(mode="after")
    def _in_order(self) -> SizeProfile:
        for low, usual, high in zip(self.min, self.opt, self.max, strict=True):
            if not low <= usual <= high:
                raise ValueError(f"expected min <= opt <= max, found {self.min}, {self.opt}, {self.max}")
        return self

    @property
    def is_fixed(self) -> bool:
        """Whether there is but one size."""
        return self.min == self.max


class Preprocessing(_Model):
    """How a frame becomes the network's input: resized keeping its aspect, then ``(RGB - mean) / std``.

    The long side becomes ``size`` pixels and each side is rounded to the nearest multiple of ``multiple``
    (at least one), so the image is stretched by at most ``multiple / 2`` pixels; then each side is brought
    into ``profile``, if there is one. A fixed size stretches every frame to it.
    """

    size: Annotated[int, Field(gt=0)] = 448
    multiple: Annotated[int, Field(gt=0)] = 32
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    profile: SizeProfile | None = None


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

    The walk ends at the last layer of ``stop_stride`` that it reaches, with ``stop_early`` at the first.
    With ``prm`` shared, peaks are walked apart down to ``split_stride`` only, or as far as ``split_reach``
    cells of the class response maps around them, and share the rest of the way.
    ``rules`` says what each layer does with P: the paper's equations, or the code published with it.
    """

    window: int = 3
    max_peaks: int = 64
    stop_stride: int = 2
    stop_early: bool = False
    rule: Literal["exact"] = "exact"
    prm: Literal["exact", "shared"] = "exact"
    split_stride: int | None = None
    split_reach: int | None = None
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
    """Everything about a bundle except its weights (``manifest.json``).

    ``fused``, where there is one, is both graphs in one: peaks are back-propagated inside it.
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    forward: GraphSpec
    backprop: GraphSpec
    fused: GraphSpec | None = None
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    peaks: PeakSettings = PeakSettings()
    proposals: ProposalSettings = ProposalSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    provenance: Provenance
    sha256: dict[str, str] = {}

    @property
    def batch(self) -> int:
        """Frames that the forward graph takes at once."""
        shape = self.forward.inputs[0].shape if self.forward.inputs else ()
        return shape[0] if shape and isinstance(shape[0], int) else 1

    @property
    def graphs(self) -> tuple[GraphSpec, ...]:
        """All graphs of the bundle."""
        return (
            (self.forward, self.backprop) if self.fused is None else (self.forward, self.backprop, self.fused)
        )

    @property
    def has_mask_head(self) -> bool:
        """Whether the forward graph says where background and classes are."""
        return any(spec.name == MASK_LOGITS for spec in self.forward.outputs)
