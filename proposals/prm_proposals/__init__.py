"""Segment proposals and the retrieval of instance masks from them."""

from prm_proposals.gallery import Gallery, GalleryError
from prm_proposals.generator import ProposalError, ProposalGenerator
from prm_proposals.regions import RegionGraph, region_graph
from prm_proposals.retrieval import Evidence, Retrieval, Retrieved, create_retrieval, probability
from prm_proposals.settings import ProposalSettings, RetrievalSettings

__all__ = [
    "Evidence",
    "Gallery",
    "GalleryError",
    "ProposalError",
    "ProposalGenerator",
    "ProposalSettings",
    "RegionGraph",
    "Retrieval",
    "RetrievalSettings",
    "Retrieved",
    "create_retrieval",
    "probability",
    "region_graph",
]
