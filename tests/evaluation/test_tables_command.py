"""``prm-eval tables`` on a tiny VOC tree, with a model whose answers are known."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, CLASSES, Blob
from tests.fixtures.voc_tree import write_voc_tree
from typer.testing import CliRunner

from prm_evaluation.cli import app
from prm_evaluation.evaluate import evaluate
from prm_evaluation.ground_truth import open_ground_truth
from prm_evaluation.methods import METHODS, open_segmenters
from prm_evaluation.parallel import CHUNK
from prm_runtime.bundle import Bundle, with_manifest
from prm_runtime.console import PrmError

PICTURES = {
    "three": BLOBS,
    "blue_left": (Blob("blue", 200, 160, 80), Blob("green", 380, 60, 40)),
    "two_red": (Blob("red", 100, 200, 60), Blob("red", 330, 120, 70)),
    "nothing": (),
}
DISTRACTOR = {"blue_left": (Blob("red", 60, 60, 40),)}  # drawn, but no object


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voc_tree(tmp_path_factory.mktemp("voc") / "blobs", PICTURES, DISTRACTOR)


def trained_with(bundle: Path, aggregation: str, path: Path) -> Path:
    """The same bundle, said to be trained with another aggregation."""
    opened = Bundle.open(bundle)
    changed = {"recipe": {"aggregation": aggregation}, "backbone": "blobs"}
    provenance = opened.manifest.provenance.model_copy(update=changed)
    manifest = opened.manifest.model_copy(update={"name": path.stem, "provenance": provenance})
    with_manifest(opened, manifest, path)
    return path


@pytest.fixture(scope="module")
def bundles(colour_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [trained_with(colour_bundle, name, folder / f"of-{name}.prm") for name in ("peak", "average")]


def run(*arguments: object):
    return CliRunner().invoke(app, ["tables", *map(str, arguments)])


@pytest.fixture(scope="module")
def report(bundles: list[Path], tree: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("report")
    result = run(*bundles, "--data", tree, "--json", folder / "t.json", "--markdown", folder / "t.md")
    assert result.exit_code == 0, result.output
    return result.stdout, json.loads((folder / "t.json").read_text()), (folder / "t.md").read_text()


def rows(report, key: str) -> dict[str, dict[str, float]]:
    return {row["name"]: row for row in report[1]["tables"][key]["rows"]}


def test_figures_are_those_of_prm_eval(bundles, tree, report):
    opened = Bundle.open(bundles[0])
    dataset = open_ground_truth(tree, "val", CLASSES)
    figures = evaluate(open_segmenters(opened, opened.manifest.retrieval, METHODS, "onnxruntime"), dataset)
    for method, name in (("eq6", "Eq. 6"), ("walk", "random walk")):
        summary = figures[method].summary()
        row = rows(report, "4")[f"PRM (Ours): of-peak, {name}"]
        for measure in ("mAP25", "mAP50", "mAP75", "ABO"):
            assert row[measure] == pytest.approx(summary[measure], abs=1e-3)
        semantic = rows(report, "3")[f"PRM (Ours): of-peak, {name}"]
        assert semantic["mIoU"] == pytest.approx(summary["mIoU"], abs=1e-3)
        reds = rows(report, f"classes {method}")["red"]
        assert reds["IoU"] == pytest.approx(figures[method].per_class()["mIoU"][0], abs=1e-3)
        assert reds["mAP75"] == pytest.approx(figures[method].per_class()["mAP75"][0], abs=1e-3)
        assert rows(report, "1")["Ours, full approach: of-peak"]["18 px"] == pytest.approx(
            summary["localisation"], abs=1e-3
        )


def test_every_bundle_has_its_line(report):
    first, second, fifth = (rows(report, key) for key in ("1", "2", "5"))
    assert first["Ours, full approach: of-peak"]["0 px"] == 100
    assert first["Ours, without peak stimulation: of-average"]["paper"] == 81.5
    assert first["SPN [48]"] == {"name": "SPN [48]", "18 px": None, "0 px": None, "paper": 82.9}
    # a PRM of the drawn model is its colour near the peak: all of its energy lies inside
    assert second["PRM (Ours), peak stimulation: of-peak"]["objects once"] > 90
    assert second["CAM [47], global average pooling: of-average"]["every PRM"] > 90
    assert second["DeepMIL [21], global max pooling"]["objects once"] is None
    assert list(fifth) == [
        "without peak stimulation: of-average (blobs)",
        "without instance-aware term: of-peak (blobs)",
        "without class-aware term: of-peak (blobs)",
        "without boundary-aware term: of-peak (blobs)",
        "full: of-peak (blobs)",
    ]
    full = fifth["full: of-peak (blobs)"]
    assert (full["mAP50"], full["paper ResNet50"], full["paper VGG16"]) == (
        rows(report, "4")["PRM (Ours): of-peak, Eq. 6"]["mAP50"],
        26.8,
        22.0,
    )


def test_discs_fill_their_boxes_by_pi_quarters(report):
    boxes = rows(report, "4")
    # a drawn disc is 2 r + 1 pixels wide
    filled = {label: [] for label in CLASSES}
    for blob in sum(PICTURES.values(), ()):
        filled[blob.label].append(math.pi * blob.radius**2 / (2 * blob.radius + 1) ** 2)
    expected = 100 * np.mean([np.mean(shares) for shares in filled.values()])
    assert boxes["Ground-truth boxes, Rect"]["ABO"] == pytest.approx(expected, abs=0.5)
    assert boxes["Ground-truth boxes, Ellipse"]["ABO"] > 97
    assert boxes["Ground-truth boxes, MCG"]["ABO"] > 85
    assert boxes["Class map boxes, CAM [47]: of-average, Rect"]["paper mAP25"] == 18.7
    assert boxes["Class map boxes, of-peak, Rect"]["paper mAP25"] is None
    spn = boxes["Class map boxes, SPN [48], MCG"]
    assert (spn["mAP25"], spn["paper mAP25"], spn["paper ABO"]) == (None, 26.4, 27.1)
    assert boxes["Class map boxes, SPN [48], Ellipse"]["paper mAP25"] == 32.0


def test_the_ground_truth_retrieves_itself(report):
    galleries = rows(report, "6")
    assert galleries["GT mask: of-peak"]["proposals + GT masks"] == 100
    assert galleries["GT box: of-peak"]["GT masks"] == 100
    assert galleries["PRM (Ours), Eq. 6: of-peak"]["GT masks"] > 90
    assert galleries["PRM (Ours), regions: of-peak"]["GT masks"] > 90
    assert galleries["PRM (Ours), Eq. 6: of-peak"]["paper GT masks"] == 73.3
    instances = rows(report, "4")["PRM (Ours): of-peak, Eq. 6"]
    assert galleries["PRM (Ours), Eq. 6: of-peak"]["proposals"] == instances["mAP75"]


def test_a_protocol_stands_under_every_table(report):
    printed, data, text = report
    basis = "blobs val, 4 pictures, instance masks of SegmentationObject; of-peak: blobs, trained with peak; "
    assert basis in text
    assert data["protocol"].startswith(basis)
    assert data["bundles"] == ["of-peak.prm", "of-average.prm"]
    assert all(table["protocol"] for table in data["tables"].values())
    assert text.count("*blobs val, 4 pictures") == len(data["tables"])
    for heading in ("Table 1.", "Table 6.", "Fig. 6", "Confusion of classes"):
        assert heading in printed
        assert heading in text


def test_no_table_loses_columns_where_the_output_is_narrow(report):
    # every number that Table 6 has from the paper
    lines = [line for line in report[0].splitlines() if line.strip().startswith("SPN [48]")]
    assert any(line.split()[2:] == ["-", "4.4", "-", "10.4", "-", "50.0"] for line in lines)


def test_an_object_of_no_data_is_found_as_nothing(report):
    walk = rows(report, "confusion walk")
    assert walk["found as their own class"]["objects"] == 7
    assert walk["not found"]["objects"] == 0


def test_a_bundle_of_unknown_training_has_a_line_of_its_own(colour_bundle, tree, tmp_path):
    result = run(colour_bundle, "--data", tree, "--limit", 1, "--json", tmp_path / "t.json")
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "t.json").read_text())
    first = {row["name"]: row for row in data["tables"]["1"]["rows"]}
    assert first["colour-blobs"]["0 px"] == 100
    assert first["colour-blobs"]["paper"] is None
    assert first["Ours, full approach"]["18 px"] is None
    assert "colour-blobs: of unknown training" in data["protocol"]


def test_bundles_of_other_classes_are_refused(colour_bundle, bundles, tree, tmp_path):
    opened = Bundle.open(colour_bundle)
    other = tmp_path / "other.prm"
    with_manifest(opened, opened.manifest.model_copy(update={"classes": ("red", "blue", "green")}), other)
    result = run(bundles[0], other, "--data", tree)
    assert isinstance(result.exception, PrmError)
    assert "other.prm knows other classes than the data" in str(result.exception)


def test_masks_of_another_size_are_refused(colour_bundle, tmp_path):
    root = write_voc_tree(tmp_path / "voc", {"a": BLOBS})
    cv2.imwrite(str(root / "JPEGImages" / "a.jpg"), np.full((100, 90, 3), 128, np.uint8))
    result = run(colour_bundle, "--data", root)
    assert isinstance(result.exception, PrmError)
    assert "a.jpg is (100, 90) (height, width) and its mask (336, 448)" in str(result.exception)


def test_plots_without_matplotlib_fail_before_anything_is_measured(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as where it is not installed
    result = run(tmp_path / "missing.prm", "--data", tmp_path, "--plots", tmp_path / "plots")
    assert isinstance(result.exception, PrmError)
    assert str(result.exception) == 'drawing needs matplotlib: pip install "prm-edge[plots]"'


def test_figures_do_not_depend_on_the_number_of_processes(bundles, tree, tmp_path):
    names = [f"{name}-{n}" for n in range(3) for name in PICTURES]
    root = write_voc_tree(tmp_path / "many", {name: PICTURES[name.rsplit("-", 1)[0]] for name in names})
    reports = []
    for processes in (1, 3):
        file = tmp_path / f"{processes}.json"
        result = run(bundles[0], "--data", root, "--processes", processes, "--json", file)
        assert result.exit_code == 0, result.output
        reports.append(file.read_text())
    assert reports[0] == reports[1]
    assert len(names) > CHUNK


def test_a_bundle_trained_with_spn_stands_in_its_lines(colour_bundle, tree, tmp_path):
    spn = trained_with(colour_bundle, "spn", tmp_path / "soft.prm")
    result = run(spn, "--data", tree, "--limit", 1, "--json", tmp_path / "t.json")
    assert result.exit_code == 0, result.output
    report = ("", json.loads((tmp_path / "t.json").read_text()))
    assert rows(report, "1")["SPN [48]: soft"]["paper"] == 82.9
    assert rows(report, "1")["SPN [48]: soft"]["18 px"] == 100
    assert rows(report, "4")["Class map boxes, SPN [48]: soft, Rect"]["mAP25"] > 0
    assert rows(report, "6")["SPN [48]: soft"]["paper GT masks"] == 50


def test_plots_are_drawn_for_every_bundle_and_stand_in_the_document(bundles, tree, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'plots' is not installed")
    document = tmp_path / "results.md"
    document.write_text("# Results\n<!-- figures -->\n<!-- /figures -->\n")
    result = run(
        *bundles, "--data", tree, "--limit", 1, "--plots", tmp_path / "plots", "--markdown", document
    )
    assert "(plots/fig6-2.png)\n" in document.read_text()
    assert result.exit_code == 0, result.output
    drawn = sorted((tmp_path / "plots").iterdir())
    assert [path.name for path in drawn] == ["fig6-1.png", "fig6-2.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_only_some_tables_have_the_figures_of_all(
    report, bundles: list[Path], tree: Path, tmp_path: Path
) -> None:
    result = run(*bundles, "--data", tree, "--only", "2,fig6", "--only", "1", "--json", tmp_path / "t.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "t.json").read_text())["tables"]
    assert set(found) == {"1", "2", "fig6"}
    for key, table in found.items():
        assert table == report[1]["tables"][key]


def test_unknown_tables_are_refused(bundles: list[Path], tree: Path) -> None:
    result = run(*bundles, "--data", tree, "--only", "7")
    assert isinstance(result.exception, PrmError)
    assert "there is no table '7'; choose among 1, 2" in str(result.exception)
