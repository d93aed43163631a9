"""Comparing a bundle with itself and with one that finds less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from tests.fixtures.colour_blobs import BLOBS, draw_blobs
from tests.fixtures.voc_tree import write_voc_tree

from prm_export.comparison import Tally, compare, same_masks
from prm_runtime.bundle import Bundle, with_manifest
from prm_runtime.instances import SHOWN
from prm_runtime.segmenter import Segmenter


def test_a_bundle_loses_nothing_against_itself(colour_bundle: Path, tmp_path: Path) -> None:
    tree = write_voc_tree(tmp_path / "voc", {"three": BLOBS, "one": BLOBS[:1]})
    bundle = Bundle.open(colour_bundle)
    coarse = bundle.manifest.preprocessing.model_copy(update={"size": 96})
    with_manifest(
        bundle, bundle.manifest.model_copy(update={"preprocessing": coarse}), tmp_path / "coarse.prm"
    )
    same, other = compare(colour_bundle, [colour_bundle, tmp_path / "coarse.prm"], tree, "val")
    assert same.same == same.same_shown == {"walk": 1, "eq6": 1}
    assert same.found["walk"].summary()["mAP50"] == same.reference["walk"].summary()["mAP50"] == 100
    assert other.same["walk"] < 1
    assert other.found["walk"].summary()["mIoU"] < same.found["walk"].summary()["mIoU"]
    console = Console(width=120)
    with console.capture() as capture:
        console.print(same.table("itself"))
    assert any("walk mAP50" in line and "+0.00" in line for line in capture.get().splitlines())
    provenance = same.recorded_in(bundle.manifest).provenance
    assert provenance.metrics["walk mAP50"] == 100
    assert provenance.metrics_protocol == same.protocol


def test_masks_are_the_same_pixel_by_pixel_and_once_each(colour_segmenter: Segmenter) -> None:
    found = colour_segmenter(draw_blobs()[0])
    assert same_masks(found, found) == len(found) == 3
    other = replace(found, masks=found.masks.copy())
    other.masks[0, 0, 0] ^= True
    assert same_masks(found, other) == 2
    assert same_masks(found, found.select(found.class_ids == 0)) == 2
    twice = found.select(np.array([0, 0]))
    assert same_masks(twice, found.select(np.array([0]))) == 1


def test_instances_that_are_shown_are_counted_apart(colour_segmenter: Segmenter) -> None:
    found = colour_segmenter(draw_blobs()[0])
    found = replace(found, scores=np.float32([0.9, SHOWN, 0.1]))
    tally = Tally()
    tally.add(found, found.select(np.array([0, 1])))
    assert (tally.share, tally.share_shown) == (2 / 3, 1)
    tally.add(found, found.select(np.array([0])))
    assert (tally.share, tally.share_shown) == (3 / 6, 3 / 4)
