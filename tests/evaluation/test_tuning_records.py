"""Ground truth on superpixels and the records that tuning keeps, against the masks themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prm_evaluation.metrics import SemanticIoU, mask_iou, merge_instances
from prm_evaluation.tuning.record import Record
from prm_evaluation.tuning.truth import RegionTruth
from prm_proposals.evidence import Evidence, Retrieved
from prm_proposals.gallery import Gallery
from prm_proposals.peaks import live_peaks
from prm_proposals.regions import region_graph
from prm_proposals.settings import RetrievalSettings

CLASSES = ("red", "green", "blue")


@pytest.fixture
def evidence() -> Evidence:
    """Noise on superpixels of 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    tiles = np.arange(48, dtype=np.int32).reshape(6, 8)
    labels = tiles.repeat(8, axis=0).repeat(8, axis=1)
    graph = region_graph(rng.integers(0, 255, (*labels.shape, 3), dtype=np.uint8), labels)
    class_maps = rng.normal(size=(3, 6, 8)).astype(np.float32)
    cells = [(c, y, x) for c in range(3) for y, x in ((0, 1), (3, 4), (5, 7))]
    peak_scores = np.array([class_maps[cell] for cell in cells], np.float32)
    order = np.argsort(-peak_scores)
    prms = rng.gamma(0.5, size=(9, 24, 32)).astype(np.float32)
    return Evidence(
        class_maps=class_maps,
        class_scores=rng.normal(size=3).astype(np.float32),
        peaks=np.array(cells, np.int64)[order],
        peak_scores=peak_scores[order],
        prms=prms / prms.sum(axis=(1, 2), keepdims=True),
        graph=graph,
        gallery=Gallery(labels, rng.random((20, 48)) < 0.3),
    )


def truth_masks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three objects at the size of the label grid, their classes and the class mask with some void."""
    class_ids = np.array([0, 2, 2])
    masks = np.zeros((3, 48, 64), dtype=bool)
    masks[0, 5:30, 3:21] = True
    masks[1, 10:44, 25:50] = True
    masks[2, 2:9, 40:60] = True
    class_mask = merge_instances(masks, np.ones(3), class_ids)
    class_mask[rng.random(class_mask.shape) < 0.05] = 255
    return masks, class_ids, class_mask


def retrieved(rng: np.random.Generator) -> Retrieved:
    count = 4
    return Retrieved(
        class_ids=np.array([0, 2, 2, 1]),
        scores=np.array([0.9, 0.7, 0.8, 0.6], np.float32),
        peak_indices=np.zeros(count, np.int64),
        members=rng.random((count, 48)) < 0.4,
        owners=np.zeros(9, np.int64),
    )


def test_counts_on_superpixels_equal_the_masks(evidence):
    rng = np.random.default_rng(1)
    masks, class_ids, class_mask = truth_masks(rng)
    found = retrieved(rng)
    truth = RegionTruth.count(evidence.graph, masks, class_ids, class_mask, len(CLASSES))
    predicted = found.members[:, evidence.graph.labels]
    np.testing.assert_allclose(truth.iou(evidence.graph, found), mask_iou(predicted, masks), atol=1e-6)

    on_regions, on_pixels = SemanticIoU(3), SemanticIoU(3)
    on_regions.add(truth.confusion(found))
    on_pixels.update(merge_instances(predicted, found.scores, found.class_ids), class_mask)
    np.testing.assert_array_equal(on_regions.compute(), on_pixels.compute())


def test_a_picture_without_objects(evidence):
    nothing = np.zeros((0, 48, 64), bool)
    empty = np.zeros((48, 64), np.uint8)
    truth = RegionTruth.count(evidence.graph, nothing, np.zeros(0, int), empty, len(CLASSES))
    assert truth.iou(evidence.graph, retrieved(np.random.default_rng(0))).shape == (4, 0)


def test_a_record_survives_the_disk(evidence, tmp_path):
    truth = RegionTruth.count(evidence.graph, *truth_masks(np.random.default_rng(1)), len(CLASSES))
    Record(evidence, truth).save(tmp_path / "a.npz")
    loaded = Record.load(tmp_path / "a.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    for name in ("class_maps", "class_scores", "peaks", "peak_scores"):
        np.testing.assert_array_equal(getattr(loaded.evidence, name), getattr(evidence, name))
    for name, value in vars(evidence.graph).items():
        np.testing.assert_array_equal(getattr(loaded.evidence.graph, name), value)
    for name, value in vars(truth).items():
        np.testing.assert_array_equal(getattr(loaded.truth, name), value)
    np.testing.assert_array_equal(loaded.evidence.gallery.members, evidence.gallery.members)
    np.testing.assert_allclose(loaded.evidence.prms, evidence.prms, rtol=1e-3, atol=1e-9)  # half precision


def test_a_mask_heads_logits_survive_the_disk_too(evidence, tmp_path):
    truth = RegionTruth.count(evidence.graph, *truth_masks(np.random.default_rng(1)), len(CLASSES))
    logits = np.random.default_rng(2).normal(size=(48, 4)).astype(np.float32)
    for name, expected in (("with", logits), ("without", None)):
        Record(replace(evidence, mask_logits=expected), truth).save(tmp_path / f"{name}.npz")
    record = Record.load(tmp_path / "with.npz")
    np.testing.assert_array_equal(record.evidence.mask_logits, logits)
    np.testing.assert_array_equal(record.evidence_for(RetrievalSettings()).mask_logits, logits)
    assert Record.load(tmp_path / "without.npz").evidence.mask_logits is None


def test_evidence_for_settings_holds_the_live_peaks(evidence):
    truth = RegionTruth.count(evidence.graph, *truth_masks(np.random.default_rng(1)), len(CLASSES))
    settings = RetrievalSettings(presence=0.5, peak_floor=0.0, peak_ratio=0.2, max_peaks=3)
    live = live_peaks(
        evidence.peaks, evidence.peak_scores, evidence.class_maps, evidence.class_scores, settings
    )
    assert 0 < len(live) < len(evidence.peaks)
    thinned = Record(evidence, truth).evidence_for(settings)
    np.testing.assert_array_equal(thinned.peaks, evidence.peaks[live])
    np.testing.assert_array_equal(thinned.prms, evidence.prms[live])
    assert thinned.graph is evidence.graph
