"""Bundles of every schema version so far keep loading, from files that were written when it was current."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fixtures.colour_blobs import BLOBS, CLASSES, draw_blobs

from prm_runtime.bundle import Bundle, with_manifest
from prm_runtime.manifest import SCHEMA_VERSION
from prm_runtime.segmenter import Segmenter

FOLDER = Path(__file__).parents[1] / "fixtures" / "bundles"


def committed(version: int) -> Path:
    """The colour blobs' bundle as that version's code wrote it: commit one before raising the version."""
    return FOLDER / f"schema-{version}.prm"


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_it_still_loads_and_finds_the_same(version: int) -> None:
    segmenter = Segmenter.open(committed(version), threads=1)
    assert segmenter.classes == CLASSES
    assert sorted(segmenter(draw_blobs()[0]).labels) == sorted(blob.label for blob in BLOBS)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_rewriting_it_brings_it_up_to_date(version: int, tmp_path: Path) -> None:
    old = Bundle.open(committed(version))
    assert old.manifest.schema_version == version
    with_manifest(old, old.manifest, tmp_path / "new.prm")
    new = Bundle.open(tmp_path / "new.prm")
    assert new.manifest == old.manifest.model_copy(update={"schema_version": SCHEMA_VERSION})
