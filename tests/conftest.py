"""Fixtures that several components' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.fixtures.colour_blobs import write_colour_bundle

from prm_runtime.segmenter import Segmenter

ROOT = Path(__file__).parents[1]

os.environ.setdefault("PRM_BACKEND", "onnxruntime")  # so that no test depends on how fast its machine is


@pytest.fixture(scope="session", autouse=True)
def _own_engine_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests compile is not left in the user's cache."""
    os.environ.setdefault("PRM_ENGINE_CACHE", str(tmp_path_factory.mktemp("engines")))


@pytest.fixture(scope="session")
def voc_root() -> Path:
    """Root of the VOC 2012 subset; skips the test where it is absent."""
    root = Path(os.environ.get("PRM_VOC_ROOT") or ROOT.parent / "shared" / "voc2012")
    if not (root / "JPEGImages").is_dir():
        pytest.skip(f"no VOC tree at {root}; set PRM_VOC_ROOT to the folder that holds JPEGImages")
    return root


@pytest.fixture(scope="session")
def colour_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that detects red, green and blue blobs; see :mod:`tests.fixtures.colour_blobs`."""
    return write_colour_bundle(tmp_path_factory.mktemp("bundle") / "colour-blobs.prm")


@pytest.fixture(scope="session")
def colour_segmenter(colour_bundle: Path) -> Segmenter:
    """A segmenter of :func:`colour_bundle`."""
    return Segmenter.open(colour_bundle)
