from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.precision import agreement
from benchmarks.report import Report, Table, Target
from benchmarks.yolo import Yolo, rectangle

from benchmarks import render
from prm_runtime.console import PrmError
from prm_runtime.instances import Instances, mask_boxes


def report(name: str) -> Report:
    ms = {f"onnxruntime, {value}": {"total": [1.0, value, 40.0]} for value in (1, 2)}
    return Report(
        name,
        f"python -m benchmarks.{name}",
        "Everything takes turns.",
        [Table("Along peaks", ["peaks", "ms"], [["1", "10 (9 to 11)"]])],
        [Target("32 peaks against 8", "≤ 1.3 ×", "2.00 ×", False)],
        ["A loss."],
        {"ms_25_50_75": ms},
    )


def test_a_report_survives_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "scaling-peaks.json"
    written = report("scaling-peaks")
    written.finish(path)
    assert Report.read(path) == written
    assert "to reach: ≤ 1.3 × no" in capsys.readouterr().out


def test_the_page_says_what_was_missed_and_what_was_not_measured(tmp_path: Path) -> None:
    report("scaling-peaks").finish(tmp_path / "scaling-peaks.json")
    page = tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    page.write_text("by hand\n<!-- figures -->\nold\n<!-- /figures -->\nbelow\n")
    render.main(page, tmp_path)
    text = page.read_text()
    assert text.startswith("by hand\n")
    assert text.endswith("<!-- /figures -->\nbelow\n")
    assert "old" not in text
    assert "| 32 peaks against 8 | ≤ 1.3 × | 2.00 × | no |" in text
    assert "| start-up to first mask | ≤ 1.5 s | - | not measured |" in text
    assert "- A loss." in text
    assert "![scaling-peaks](images/performance-scaling.png)" in text
    assert (page.parent / "images" / "performance-scaling.png").stat().st_size > 1000


def instances(masks: list[list[int]], class_ids: list[int]) -> Instances:
    array = np.array(masks, bool).reshape(len(masks), 1, -1)
    count = len(masks)
    return Instances(
        classes=("cat", "dog"),
        class_ids=np.array(class_ids, np.int64),
        scores=np.full(count, 0.5, np.float32),
        peaks=np.zeros((count, 2), np.float32),
        boxes=mask_boxes(array),
        masks=array,
        prms=np.zeros((count, 1, 1), np.float32),
    )


def test_masks_agree_by_class_and_overlap() -> None:
    ours = instances([[1, 1, 0, 0], [0, 0, 1, 1]], [0, 1])
    assert agreement([ours], [ours]) == 1
    assert agreement([ours], [instances([[1, 1, 0, 0], [0, 0, 1, 1]], [0, 0])]) == 0.5
    assert agreement([ours], [instances([[1, 0, 0, 0]], [0])]) == 0


def test_an_interpreter_without_ultralytics_is_explained(tmp_path: Path) -> None:
    if __import__("importlib.util").util.find_spec("ultralytics"):
        pytest.skip("ultralytics is installed")
    with pytest.raises(PrmError, match=r"the YOLO worker ended: .*ultralytics.*requirements-yolo\.txt"):
        Yolo(sys.executable, [np.zeros((8, 8, 3), np.uint8)], tmp_path, None)


def test_the_rectangle_holds_the_frame() -> None:
    assert rectangle(np.zeros((272, 640, 3), np.uint8)) == (288, 640)
    assert rectangle(np.zeros((720, 1280, 3), np.uint8)) == (384, 640)
    assert rectangle(np.zeros((640, 480, 3), np.uint8)) == (640, 480)
