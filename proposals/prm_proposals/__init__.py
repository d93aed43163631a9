"""Segment proposals and the retrieval of instance masks from them."""

from prm_proposals.gallery import Gallery, GalleryError
from prm_proposals.generator import ProposalGenerator
from prm_proposals.picture import Picture, ProposalError, ProposalSource
from prm_proposals.regions import RegionGraph, region_graph
from prm_proposals.retrieval import Evidence, Retrieval, Retrieved, create_retrieval, probability
from prm_proposals.settings import ProposalSettings, RetrievalSettings
from prm_proposals.sources import create_source

__all__ = [
    "Evidence",
    "Gallery",
    "GalleryError",
    "Picture",
    "ProposalError",
    "ProposalGenerator",
    "ProposalSettings",
    "ProposalSource",
    "RegionGraph",
    "Retrieval",
    "RetrievalSettings",
    "Retrieved",
    "create_retrieval",
    "create_source",
    "probability",
    "region_graph",
]
