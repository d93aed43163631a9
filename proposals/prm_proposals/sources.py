"""Where segment proposals come from: the choice by name, behind one interface."""

from __future__ import annotations

from pathlib import Path

from prm_proposals.gallery_folder import GalleryFolder
from prm_proposals.generator import ProposalGenerator
from prm_proposals.onnx_masks import OnnxMasks
from prm_proposals.picture import Picture, ProposalError, ProposalSource
from prm_proposals.presets import LIVE, NO_NETWORK, OFFLINE, for_network_of
from prm_proposals.selective_search import SelectiveSearch
from prm_proposals.settings import ProposalSettings

__all__ = ["DEFAULT", "Picture", "ProposalSource", "create_source"]

DEFAULT = "default"
_PRESETS = {"no-network": NO_NETWORK, "live": LIVE, "offline": OFFLINE}
_SELECTIVE_SEARCH = "selective-search"


def create_source(name: str, settings: ProposalSettings, threads: int | None = None) -> ProposalSource:
    """The proposal source that ``name`` stands for.

    Args:
        name: ``default`` (the generator with ``settings``), ``no-network``, ``live`` or ``offline`` (with
            that preset, on the features that ``settings`` name), ``selective-search``, the path of an
            ``.onnx`` file of masks, or of a folder of galleries.
        settings: Proposal settings of the model in use.
        threads: CPU threads of an ``.onnx`` file; None leaves the choice to ONNX Runtime.

    Raises:
        ProposalError: If there is no such source, it cannot be used, or what it needs is not installed.

    Example:
        >>> create_source("live", ProposalSettings()).feature_names
        ('block4', 'block10', 'block15', 'block14')
    """
    if name == DEFAULT:
        return ProposalGenerator(settings)
    if name in _PRESETS:
        return ProposalGenerator(for_network_of(settings, _PRESETS[name]))
    if name == _SELECTIVE_SEARCH:
        return SelectiveSearch(settings)
    path = Path(name)
    if path.suffix.lower() == ".onnx":
        return OnnxMasks(path, threads)
    if path.is_dir():
        return GalleryFolder(path)
    known = ", ".join((DEFAULT, *_PRESETS, _SELECTIVE_SEARCH))
    raise ProposalError(f"no proposals {name!r}; choose {known}, an .onnx file or a folder of galleries")
