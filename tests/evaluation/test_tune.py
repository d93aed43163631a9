"""``prm-eval tune`` on a tiny VOC tree with blobs that are no objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, CLASSES, Blob
from tests.fixtures.voc_tree import write_voc_tree
from typer.testing import CliRunner

from prm_evaluation.cli import app
from prm_evaluation.ground_truth import open_ground_truth
from prm_evaluation.metrics import InstancePrecision, mask_iou
from prm_evaluation.tuning.gather import capture_settings, gather
from prm_evaluation.tuning.record import Record, cache_key
from prm_evaluation.tuning.search import get_setting
from prm_evaluation.tuning.trial import figures, measure_record, open_trials
from prm_evaluation.tuning.tune import calibrated, parameters, tune
from prm_proposals.settings import RetrievalSettings
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture

PICTURES = {
    "three": BLOBS,
    "blue_left": (Blob("blue", 200, 160, 80), Blob("green", 380, 60, 40)),
    "two_red": (Blob("red", 100, 200, 60), Blob("red", 330, 120, 70)),
    "one_green": (Blob("green", 100, 100, 50),),
}
UNLABELLED = {
    "three": (Blob("blue", 180, 250, 22),),
    "blue_left": (Blob("red", 60, 60, 26),),
    "two_red": (Blob("green", 200, 60, 24),),
    "one_green": (Blob("red", 250, 200, 24),),
}
START = RetrievalSettings(presence=12.0)  # above the unlabelled blobs
CAPTURED = RetrievalSettings(presence=5.0)  # below them


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voc_tree(tmp_path_factory.mktemp("voc") / "blobs", PICTURES, UNLABELLED)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def records(colour_bundle: Path, tree: Path, cache: Path) -> list[Path]:
    dataset = open_ground_truth(tree, "val", CLASSES)
    return gather(Bundle.open(colour_bundle), CAPTURED, dataset, dataset.samples, cache, "onnxruntime")


@pytest.mark.parametrize("method", ["walk", "eq6"])
@pytest.mark.parametrize("presence", [3.0, 9.0])
def test_a_record_gives_what_the_segmenter_gives(colour_bundle, tree, records, method, presence):
    settings = RetrievalSettings(method=method, presence=presence)
    segmenter = Segmenter.open(colour_bundle, retrieval=settings)
    dataset = open_ground_truth(tree, "val", CLASSES)
    for sample, path in zip(dataset.samples, records, strict=True):
        found = segmenter(read_picture(sample.image_path))
        truth, truth_ids = dataset.instance_masks(sample)
        recorded = measure_record(Record.load(path), settings)
        np.testing.assert_array_equal(recorded.class_ids, found.class_ids)
        np.testing.assert_array_equal(recorded.truth_class_ids, truth_ids)
        # the label grid is 320 pixels wide, the picture 448
        np.testing.assert_allclose(recorded.iou, mask_iou(found.masks, truth), atol=0.03)


@pytest.mark.parametrize("mask_head", [False, True])
@pytest.mark.parametrize("method", ["walk", "eq6"])
def test_capture_keeps_every_peak_that_a_candidate_may_want(method, mask_head):
    capture = capture_settings(START)
    for parameter in parameters(method, START, mask_head=mask_head):
        if parameter.path in ("presence", "peak_floor", "peak_ratio"):
            assert get_setting(capture, parameter.path) <= min(parameter.values)


def test_gathering_goes_on_where_it_stopped(colour_bundle, tree, records, cache):
    times = [path.stat().st_mtime_ns for path in records]
    records[0].unlink()
    dataset = open_ground_truth(tree, "val", CLASSES)
    again = gather(Bundle.open(colour_bundle), CAPTURED, dataset, dataset.samples, cache, "onnxruntime")
    assert again == records
    assert records[0].is_file()
    assert [path.stat().st_mtime_ns for path in again[1:]] == times[1:]


def test_records_are_kept_for_settings_that_do_not_decide_which_peaks_live(colour_bundle, tmp_path):
    bundle = Bundle.open(colour_bundle)

    def key(settings):
        return cache_key(bundle, settings, "onnxruntime", tmp_path)

    walk = replace(START.walk, restart=0.02)
    assert key(replace(START, walk=walk, nms_iou=0.1, map_shift=0.25)) == key(START)
    threshold = {"presence": 9.0, "peak_floor": 9.0, "peak_ratio": 0.9, "max_peaks": 9}
    changed = [replace(START, **{name: value}) for name, value in threshold.items()]
    changed.append(replace(START, class_offsets=(1.0,) * 3))
    changed.append(replace(START, class_scales=(2.0,) * 3))
    assert len({key(settings) for settings in [START, *changed]}) == 7


def test_workers_measure_what_one_process_measures(records):
    settings = RetrievalSettings(presence=5.0)
    alone = figures([measure_record(Record.load(path), settings) for path in records], len(CLASSES))
    with open_trials(records, len(CLASSES), processes=2) as trials:
        assert trials.figures(settings) == alone


def test_tuning_mends_a_bad_start(records):
    bad = replace(START, walk=replace(START.walk, foreground_level=0.0, foreground_scale=0.3, restart=0.005))
    tuned = tune(records, len(CLASSES), bad, max_evaluations=8, processes=1)
    walk, eq6 = tuned.gains["walk"], tuned.gains["eq6"]
    assert walk.after.objective > walk.before.objective
    assert eq6.after.objective >= eq6.before.objective
    assert walk.held_out_after.objective > walk.held_out_before.objective
    better = max(tuned.gains, key=lambda method: tuned.gains[method].held_out_after.map50)
    assert tuned.settings.method == better


def test_scores_without_a_false_positive_stay_as_they_were(records):
    tuned = tune(records, len(CLASSES), START, max_evaluations=1, processes=1)
    assert "predictions that do not" in (tuned.not_calibrated or "")
    assert tuned.settings == START


def test_calibrated_scores_are_the_share_of_matches(records):
    settings = RetrievalSettings(presence=3.0)
    results = [measure_record(Record.load(path), settings) for path in records]
    scores = np.concatenate([result.scores for result in results])
    precision = InstancePrecision(len(CLASSES), [0.5])
    for result in results:
        precision.update(result.iou, result.scores, result.class_ids, result.truth_class_ids)
    matches = precision.predictions(range(len(CLASSES)))[1]
    fitted = calibrated(settings, results, len(CLASSES))
    chance = 1 / (1 + np.exp(-(scores - fitted.score_offset) / fitted.score_scale))
    assert 0 < matches.mean() < 1
    assert chance.mean() == pytest.approx(matches.mean(), abs=0.02)  # maximum likelihood keeps the mean


def test_one_picture_is_too_few(records):
    with pytest.raises(PrmError, match="at least two pictures"):
        tune(records[:1], len(CLASSES), START, 1, 1)


def test_the_command_writes_a_bundle_with_settings_and_figures(colour_bundle, tree, cache, tmp_path):
    out = tmp_path / "tuned.prm"
    arguments = ["tune", colour_bundle, "--data", tree, "--out", out, "--cache", cache]
    options = ["--evaluations", "3", "--processes", "1"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments] + options)
    assert result.exit_code == 0, result.output
    assert "held out" in result.stdout

    before, after = Bundle.open(colour_bundle), Bundle.open(out)
    assert after.manifest.sha256 == before.manifest.sha256
    assert after.manifest.retrieval.score_offset != before.manifest.retrieval.score_offset
    assert after.manifest.provenance.metrics["walk mAP50"] > 80  # two pictures to search on are few
    assert "blobs val, 4 pictures" in (after.manifest.provenance.metrics_protocol or "")
    assert len(Segmenter.open(out)(read_picture(tree / "JPEGImages" / "three.jpg"))) >= 3
