"""Causes of failures on drawn masks, and ``prm-eval failures`` on a drawn data set."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, Blob
from tests.fixtures.voc_tree import write_voc_tree
from typer.testing import CliRunner

from prm_evaluation.cli import app
from prm_evaluation.failures.causes import Cause, explain
from prm_evaluation.metrics import InstancePrecision, mask_iou

SIZE = (60, 100)
Box = tuple[int, int, int, int]


def boxes(*corners: Box):
    """Masks of boxes x0, y0, x1, y1, bool [n, 60, 100]."""
    masks = np.zeros((len(corners), *SIZE), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def causes(found: list[tuple[int, Box]], truth: list[tuple[int, Box]]):
    """Causes by object and by prediction, of boxes with their class; predictions by falling score."""
    explained = explain(
        boxes(*(box for _, box in found)),
        np.arange(len(found), 0, -1.0),
        np.array([class_id for class_id, _ in found], np.int64),
        boxes(*(box for _, box in truth)),
        np.array([class_id for class_id, _ in truth], np.int64),
    )
    return explained.missed, explained.wrong


OBJECT: Box = (10, 10, 30, 30)
RIGHT_OF_IT: Box = (30, 10, 50, 30)
FAR: Box = (70, 30, 90, 50)


def test_what_is_found_has_no_cause():
    assert causes([(0, OBJECT)], [(0, OBJECT)]) == ({}, {})
    assert causes([], []) == ({}, {})


@pytest.mark.parametrize(
    ("found", "truth", "missed"),
    [
        ([(1, OBJECT)], [(0, OBJECT)], {0: Cause.M_OTHER_CLASS}),
        ([], [(0, OBJECT)], {0: Cause.M_CLASS}),
        ([(1, FAR)], [(0, OBJECT)], {0: Cause.M_CLASS}),
        ([(0, FAR)], [(0, OBJECT), (0, FAR)], {0: Cause.M_UNTOUCHED}),
        ([(0, (29, 10, 60, 30))], [(0, OBJECT)], {0: Cause.M_UNTOUCHED}),  # a twentieth of it
        (
            [(0, (10, 10, 50, 31))],
            [(0, OBJECT), (0, RIGHT_OF_IT)],
            {0: Cause.M_MERGED, 1: Cause.M_MERGED},
        ),
        ([(0, (18, 10, 50, 30))], [(0, OBJECT), (0, RIGHT_OF_IT)], {0: Cause.M_MERGED}),
        ([(0, (10, 10, 19, 30)), (0, (21, 10, 30, 30))], [(0, OBJECT)], {0: Cause.M_SPLIT}),
        ([(0, (0, 0, 60, 50))], [(0, OBJECT)], {0: Cause.M_TOO_BIG}),
        ([(0, (10, 10, 30, 15))], [(0, OBJECT)], {0: Cause.M_PARTIAL}),
    ],
)
def test_causes_of_missed_objects(found, truth, missed):
    assert causes(found, truth)[0] == missed


@pytest.mark.parametrize(
    ("found", "truth", "wrong"),
    [
        ([(0, OBJECT), (0, (10, 10, 30, 29))], [(0, OBJECT)], {1: Cause.F_DUPLICATE}),
        ([(0, (10, 10, 50, 31))], [(0, OBJECT), (0, RIGHT_OF_IT)], {0: Cause.F_MERGED}),
        ([(0, (10, 10, 30, 15))], [(0, OBJECT)], {0: Cause.F_PARTIAL}),
        ([(0, (0, 0, 60, 50))], [(0, OBJECT)], {0: Cause.F_TOO_BIG}),
        ([(1, OBJECT)], [(0, OBJECT)], {0: Cause.F_OTHER_CLASS}),
        ([(0, (10, 10, 30, 15))], [(1, OBJECT), (0, FAR)], {0: Cause.F_OTHER_CLASS}),
        ([(0, FAR)], [(0, OBJECT)], {0: Cause.F_BACKGROUND}),
        (
            [(0, (22, 10, 60, 30))],
            [(0, OBJECT)],
            {0: Cause.F_BACKGROUND},
        ),  # two fifths, and a fifth of itself
        ([(0, FAR)], [], {0: Cause.F_BACKGROUND}),
    ],
)
def test_causes_of_wrong_predictions(found, truth, wrong):
    assert causes(found, truth)[1] == wrong


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.75])
def test_what_failed_is_what_average_precision_counts_as_wrong(seed: int, threshold: float):
    rng = np.random.default_rng(seed)

    def draw(count: int):
        corners = np.sort(rng.integers(0, 50, (count, 2, 2)), axis=1)
        masks = boxes(*((x0, y0, x1 + 4, y1 + 4) for (x0, y0), (x1, y1) in corners))
        return masks, rng.integers(0, 2, count)

    (masks, class_ids), (truth, truth_ids) = draw(8), draw(5)
    scores = rng.random(8)
    explained = explain(masks, scores, class_ids, truth, truth_ids, threshold)
    precision = InstancePrecision(2, [threshold])
    precision.update(mask_iou(masks, truth), scores, class_ids, truth_ids)
    hits = int(precision.predictions([0, 1])[1].sum())
    assert len(masks) - len(explained.wrong) == len(truth) - len(explained.missed) == hits
    assert all(cause.of_object for cause in explained.missed.values())
    assert not any(cause.of_object for cause in explained.wrong.values())


def test_the_outlines_beside_a_failure_are_the_nearest():
    explained = explain(
        boxes((10, 10, 30, 15), FAR),
        np.array([0.9, 0.8]),
        np.array([0, 1]),
        boxes(OBJECT, (0, 50, 5, 55), FAR),
        np.array([0, 0, 0]),
    )
    assert explained.best.tolist() == [0, -1, -1]
    assert explained.nearest.tolist() == [0, 2]


def test_the_command_counts_draws_and_writes_one_page(colour_bundle: Path, tmp_path: Path):
    pictures = {"fine": BLOBS, "distracted": (Blob("blue", 330, 200, 70),), "empty": ()}
    root = write_voc_tree(tmp_path / "voc", pictures, {"distracted": (Blob("red", 90, 90, 60),), "empty": ()})
    # an object that nothing shows: the left half of the noise
    mask = np.zeros((336, 448), np.uint8)
    mask[:, :150] = 2
    cv2.imwrite(str(root / "SegmentationClass" / "empty.png"), mask)
    cv2.imwrite(str(root / "SegmentationObject" / "empty.png"), mask // 2)
    out = tmp_path / "failures"
    arguments = ["failures", str(colour_bundle), "--data", str(root), "--out", str(out), "--processes", "1"]
    result = CliRunner().invoke(app, [*arguments, "--masks-note", "drawn <masks>"], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    counted = dict(re.findall(r"((?:missed|wrong): [a-z ]+?) +│ +(\d+)", result.output))
    failed = {title: int(count) for title, count in counted.items() if count != "0"}
    assert failed == {"missed: class not found": 1, "wrong: background": 1}
    assert set(counted) == {cause.title for cause in Cause}
    names = sorted(path.name for path in out.iterdir())
    assert names == ["f-background-01.jpg", "index.html", "m-class-01.jpg"]

    page = (out / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "drawn &lt;masks&gt;" in page
    assert re.search(r'alt="red \d+% wrong: background \(distracted.jpg\)"', page)
    drawn = cv2.imread(str(out / "f-background-01.jpg"))
    assert drawn.shape[0] > 336  # the caption stands below the picture
    assert drawn.shape[1] == 448
    on_the_outline = drawn[90, 28:33].astype(int)  # of the distractor: x = 90 - 60
    assert (on_the_outline[:, 2] - on_the_outline[:, 0] > 100).any()


def test_pictures_are_limited_by_cause(colour_bundle: Path, tmp_path: Path):
    root = write_voc_tree(tmp_path / "voc", {"a": (), "b": ()}, {"a": BLOBS, "b": BLOBS})
    (root / "Annotations" / "a.xml").write_text(
        "<annotation><object><name>blue</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
        "<ymax>9</ymax></bndbox></object></annotation>"
    )
    out = tmp_path / "failures"
    result = CliRunner().invoke(
        app, ["failures", str(colour_bundle), "--data", str(root), "--out", str(out), "--per-cause", "2"]
    )
    assert result.exit_code == 0, result.output
    assert len(list(out.glob("f-background-*.jpg"))) == 2
    best = re.findall(r'alt="\w+ (\d+)% wrong', (out / "index.html").read_text())
    assert [int(score) for score in best] == sorted(map(int, best), reverse=True)
