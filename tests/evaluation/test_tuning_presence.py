"""The calibration of classes by image-level labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.colour_blobs import Blob
from tests.fixtures.voc_tree import write_voc_tree

from prm_evaluation.datasets import open_dataset
from prm_evaluation.tuning.presence import calibrate_classes, gather_strengths
from prm_proposals.evidence import class_strength, raw_strength
from prm_proposals.settings import RetrievalSettings
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture


def test_strength_becomes_the_logit_of_presence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (5000, 2))
    present = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    offsets, scales = np.array([20.0, -1.0]), np.array([9.0, 0.5])
    settings = calibrate_classes(RetrievalSettings(), (logits * scales + offsets).astype(np.float32), present)
    np.testing.assert_allclose((settings.class_offsets - offsets) / scales, 0, atol=0.15)
    np.testing.assert_allclose(settings.class_scales, scales, rtol=0.1)
    assert settings.presence == 0  # as likely as not


def test_a_class_that_no_picture_has_takes_the_curve_of_all() -> None:
    rng = np.random.default_rng(1)
    strengths = rng.normal(0, 3, (200, 2)).astype(np.float32)
    present = strengths + rng.normal(0, 1, strengths.shape) > 1
    present[:, 1] = False
    settings = calibrate_classes(RetrievalSettings(), strengths, present)
    assert settings.class_offsets[0] != settings.class_offsets[1]
    assert np.isfinite(settings.class_offsets).all()
    assert min(settings.class_scales) > 0


@pytest.mark.parametrize("everywhere", [True, False])
def test_labels_that_tell_nothing_leave_the_settings_alone(everywhere: bool) -> None:
    start = RetrievalSettings(presence=4.0)
    assert calibrate_classes(start, np.ones((3, 2), np.float32), np.full((3, 2), everywhere)) == start


def test_strengths_are_those_that_peaks_are_judged_by(colour_segmenter: Segmenter, tmp_path: Path) -> None:
    pictures = {
        "a": (Blob("red", 100, 100, 50),),
        "b": (Blob("green", 150, 120, 40), Blob("blue", 330, 90, 45)),
    }
    samples = open_dataset(
        write_voc_tree(tmp_path / "voc", pictures), "val", colour_segmenter.classes
    ).samples
    strengths, present = gather_strengths(colour_segmenter, samples)
    assert [[colour_segmenter.classes[c] for c in np.flatnonzero(row)] for row in present] == [
        ["red"],
        ["green", "blue"],
    ]
    assert (strengths[present].min()) > strengths[~present].max()
    evidence = colour_segmenter.evidence(read_picture(samples[1].image_path))
    maps, scores = evidence.class_maps, evidence.class_scores
    np.testing.assert_array_equal(strengths[1], raw_strength(maps, scores))
    np.testing.assert_array_equal(strengths[1], class_strength(maps, scores, RetrievalSettings()))
