"""Tallies and rows of the tables on hand-made pictures with known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.fixtures.evidence import random_evidence

from prm_evaluation.tables import paper
from prm_evaluation.tables.beside import beside
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.classes import confusion_table
from prm_evaluation.tables.localisation import LocalisationTally
from prm_evaluation.tables.picture import MeasuredPicture, Predicted, Truth
from prm_evaluation.tables.quality import QualityTally, figure_6
from prm_evaluation.tables.report import all_tables, as_json, markdown
from prm_evaluation.tables.rows import NONE, Row, Table, side_by_side, side_by_side_columns
from prm_evaluation.tables.semantic import SemanticTally
from prm_evaluation.tables.sizes import SizeTally
from prm_evaluation.tables.tallies import Tallies
from prm_proposals.settings import RetrievalSettings

SIZE = (40, 50)


def squares(*corners: tuple[int, int, int]):
    """Masks of squares (x, y, side), bool [n, 40, 50]."""
    masks = np.zeros((len(corners), *SIZE), bool)
    for mask, (x, y, side) in zip(masks, corners, strict=True):
        mask[y : y + side, x : x + side] = True
    return masks


def picture(
    masks, class_ids, *, prms=None, peak_classes=(), found=None, boxes=(), maps=None
) -> MeasuredPicture:
    """A picture with these objects; PRMs and found instances as given."""
    class_mask = np.zeros(SIZE, np.uint8)
    for mask, class_id in zip(masks, class_ids, strict=True):
        class_mask[mask] = 1 + class_id
    truth = Truth(
        masks,
        np.array(class_ids, np.int64),
        class_mask,
        np.array([box for box, _ in boxes], np.int64).reshape(-1, 4),
        np.array([class_id for _, class_id in boxes], np.int64),
    )
    prms = np.zeros((0, *SIZE), np.float32) if prms is None else prms
    peaks = np.array([(class_id, 0, 0) for class_id in peak_classes], np.int64).reshape(-1, 3)
    evidence = replace(
        random_evidence(0),
        class_maps=np.zeros((3, 4, 5), np.float32) if maps is None else maps,
        class_scores=np.zeros(3, np.float32),
        peaks=peaks,
        peak_scores=np.zeros(len(peaks), np.float32),
        prms=prms,
    )
    return MeasuredPicture(np.zeros((*SIZE, 3), np.uint8), truth, evidence, RetrievalSettings(), found or {})


def split_energy(masks, shares):
    """A PRM with ``shares[i]`` of its energy in ``masks[i]`` and the rest in the last row of the picture."""
    prm = np.zeros(SIZE, np.float32)
    for mask, share in zip(masks, shares, strict=True):
        prm[mask] = share / mask.sum()
    prm[-1] = (1 - sum(shares)) / SIZE[1]
    return prm


def bundle(name: str, aggregation: str | None = "peak", tallies: Tallies | None = None) -> Measured:
    return Measured(name, aggregation, "net", tallies or Tallies(3, RetrievalSettings()))


def test_energy_is_sorted_by_crowding_and_by_size():
    tally = QualityTally(3)
    one = squares((0, 0, 30))  # 45 % of the picture
    tally.update(picture(one, [0], prms=split_energy(one, [0.8])[None], peak_classes=[0]))
    two = squares((0, 0, 4), (10, 10, 10))  # 0.8 % and 5 %
    prms = np.stack(
        [split_energy(two, [0.3, 0.6]), split_energy(two, [0.0, 0.0]), split_energy(two, [0.5, 0.5])]
    )
    # class 2 has no object here: its PRM says nothing about crowding or size
    tally.update(picture(two, [1, 1], prms=prms, peak_classes=[1, 1, 2]))
    six = squares(*((8 * i, 0, 7) for i in range(6)))  # 2.45 % each
    tally.update(picture(six, [0] * 6, prms=split_energy(six, [0.1] * 5 + [0.4])[None], peak_classes=[0]))

    crowding = {name: shares.tolist() for name, shares in tally.by_crowding().items()}
    assert crowding == {
        "1 object": pytest.approx([0.8]),
        "2-5 objects": pytest.approx([0.6, 0]),
        "6 objects or more": pytest.approx([0.4]),
    }
    sizes = {name: shares.tolist() for name, shares in tally.by_size().items()}
    assert sizes == {
        "area < 1 %": [],
        "area 1-5 %": pytest.approx([0.4]),
        "area 5-15 %": pytest.approx([0.6]),
        "area 15-40 %": [],
        "area > 40 %": pytest.approx([0.8]),
    }


def test_figure_6_stands_beside_the_papers_two_numbers():
    tallies = Tallies(3, RetrievalSettings())
    one = squares((0, 0, 30))
    tallies.quality.update(picture(one, [0], prms=split_energy(one, [0.75])[None], peak_classes=[0]))
    rows = {row.name: row.cells for row in figure_6([bundle("mine", tallies=tallies)]).rows}
    assert rows["mine: 1 object"] == pytest.approx((1, 75, 78))
    assert rows["mine: 2-5 objects"][0] == 0
    assert rows["mine: 2-5 objects"][2] == 67


def test_tolerance_makes_a_near_miss_a_hit():
    tally = LocalisationTally(3)
    maps = np.zeros((3, 4, 5), np.float32)
    maps[1, 0, 0] = 5  # its centre is at (5, 5)
    nothing = squares()
    tally.update(picture(nothing, [], maps=maps, boxes=[((20, 0, 30, 10), 1)]))
    assert tally.compute() == (100, 0)
    tally.update(picture(nothing, [], maps=maps, boxes=[((24, 0, 30, 10), 1)]))  # 19 px away
    assert tally.compute() == (50, 0)


def test_merged_instances_are_measured_with_the_background():
    masks = squares((0, 0, 20))
    half = masks.copy()
    half[0, :, 10:] = False
    tally = SemanticTally(1)
    found = {"eq6": Predicted(half, np.ones(1), np.zeros(1, np.int64))}
    tally.update(picture(masks, [0], found=found), "eq6")
    background = SIZE[0] * SIZE[1] - 400
    assert tally.compute() == pytest.approx(100 * (0.5 + background / (background + 200)) / 2)


def test_small_and_large_objects_are_told_apart():
    masks = squares((0, 0, 4), (10, 5, 30), (45, 0, 4))  # 0.8, 45 and 0.8 % of the picture
    half = masks.copy()
    half[1, :, 25:] = False  # 15 of 30 columns
    found = Predicted(half, np.ones(3), np.array([0, 1, 0], np.int64))  # the last under another class
    tally = SizeTally()
    tally.update(picture(masks, [0, 1, 1], found={"walk": found}), "walk")
    results = tally.compute()
    assert results[0] == pytest.approx((2, 50, 50))
    assert results[4] == pytest.approx((1, 50, 100))
    assert results[2][0] == 0
    assert math.isnan(results[2][1])


def test_confusions_are_listed_by_how_often_they_occur():
    tallies = Tallies(3, RetrievalSettings())
    masks = squares((0, 0, 10), (20, 0, 10), (0, 20, 10), (20, 20, 10))
    found = Predicted(masks[:3], np.ones(3), np.array([1, 1, 2], np.int64))
    tallies.confusions["walk"].update(picture(masks, [0, 0, 2, 2], found={"walk": found}), "walk")
    table = confusion_table(bundle("mine", tallies=tallies), "walk", ("red", "green", "blue"))
    assert {row.name: row.cells for row in table.rows} == {
        "found as their own class": (1, 25),
        "found as another class": (2, 50),
        "not found": (1, 25),
        "red found as green": (2, 100),
    }


def test_bundles_stand_beside_the_line_of_their_aggregation():
    lines = (
        paper.PaperRow("CAM", (1.0,), "average"),
        paper.PaperRow("SPN", (2.0,)),
        paper.PaperRow("PRM", (3.0,), "peak"),
    )
    a, b, c, d = bundle("a"), bundle("b"), bundle("c", "lse"), bundle("d", None)
    result = list(beside(lines, [a, b, c, d]))
    assert [(name, measured) for name, measured, _ in result] == [
        ("CAM", None),
        ("SPN", None),
        ("PRM: a", a),
        ("PRM: b", b),
        ("c", c),
        ("d", d),
    ]
    assert [figures for _, _, figures in result[:4]] == [(1.0,), (2.0,), (3.0,), (3.0,)]
    assert all(math.isnan(figure) for _, _, figures in result[4:] for figure in figures)
    assert len(list(beside(lines, [a, b, c, d], others=False))) == 4


def test_the_papers_tables_agree_with_each_other():
    map25, map50, map75, abo = paper.INSTANCES[0].figures
    assert paper.ABLATION["full"][0] == map50
    assert paper.GALLERIES["proposals"]["PRM"] == map75
    spn = next(row for row in paper.LOCALISED_BOXES if row.aggregation == "spn")
    assert paper.GALLERIES["proposals"]["SPN"] == spn.figures[10]  # MCG, mAP75
    assert paper.GALLERIES["proposals"]["GT box"] == paper.TRUTH_BOXES[2][2]
    # Sec. 4.3: 26.8 to 13.3 without the instance-aware term, 2.5 % by the boundary-aware term
    assert paper.ABLATION["without instance-aware term"][0] == 13.3
    assert map50 - paper.ABLATION["without boundary-aware term"][0] == pytest.approx(2.5)
    assert (map25, abo) == (44.3, 37.6)
    assert max(row.figures for row in paper.POINTWISE_LOCALISATION) == (85.5,)
    assert max(row.figures for row in paper.PRM_QUALITY) == (64.0,)
    assert max(row.figures for row in paper.SEMANTIC) == (53.4,)


def test_without_pictures_every_figure_of_ours_is_missing():
    tables = {table.key: table for table in all_tables([bundle("mine", "max")], ("red", "green", "blue"))}
    assert list(tables)[:7] == ["1", "2", "fig6", "3", "4", "5", "6"]
    first = {row.name: row.cells for row in tables["1"].rows}
    assert first["DeepMIL [21]: mine"][2] == 74.5
    assert math.isnan(first["DeepMIL [21]: mine"][0])
    assert first["Ours, full approach"][2] == 85.5
    fifth = [row.name for row in tables["5"].rows]
    assert fifth == ["without peak stimulation", *paper.ABLATION, "full: mine (net)"]


def test_reports_print_dashes_and_null_where_there_is_no_figure():
    rows = (Row("some", (12.345, NONE)), Row("counted", (3, 4.0)))
    table = Table("4", "Masks", ("mAP50", "paper mAP50"), rows, "As measured.")
    text = markdown([table], "drawn pictures")
    assert "### Table 4. Masks, in percent" in text
    assert "| some | 12.3 | - |" in text
    assert "| counted | 3 | 4.0 |" in text
    assert text.rstrip().endswith("*drawn pictures.* As measured.")
    report = as_json([table], "drawn pictures", ["a.prm"])
    assert report["tables"]["4"]["rows"] == [
        {"name": "some", "mAP50": 12.345, "paper mAP50": None},
        {"name": "counted", "mAP50": 3, "paper mAP50": 4.0},
    ]


def test_a_row_must_fill_its_table():
    with pytest.raises(ValueError, match="row 'short' has 1 of 2 cells"):
        Table("1", "T", ("a", "b"), (Row("short", (1.0,)),), "")


def test_our_figures_and_the_papers_alternate():
    assert side_by_side([1.0, 2.0], [10.0, 20.0]) == (1, 10, 2, 20)
    assert side_by_side_columns(["x", "y"]) == ("x", "paper x", "y", "paper y")
