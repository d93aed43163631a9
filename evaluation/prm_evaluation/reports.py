"""Evaluations as tables for people and JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.table import Table

from prm_evaluation.evaluate import Evaluation


def summary_table(evaluations: Mapping[str, Evaluation], title: str) -> Table:
    """One row per figure, one column per retrieval method, in percent."""
    return _side_by_side({method: evaluation.summary() for method, evaluation in evaluations.items()}, title)


def coco_table(evaluations: Mapping[str, Evaluation], title: str) -> Table:
    """COCO's AP and AR, one row each, one column per retrieval method, in percent."""
    figures = {method: evaluation.coco_summary() for method, evaluation in evaluations.items()}
    return _side_by_side(figures, title)


def class_table(evaluation: Evaluation, title: str) -> Table:
    """One row per class, one column per figure, in percent; ``-`` where the data have no such object."""
    columns = evaluation.per_class()
    table = Table("class", title=title)
    for name in columns:
        table.add_column(name, justify="right")
    for class_id, class_name in enumerate(evaluation.classes):
        table.add_row(class_name, *(_percent(values[class_id]) for values in columns.values()))
    return table


def as_json(evaluations: Mapping[str, Evaluation], protocol: str, bundle: str) -> dict[str, object]:
    """All figures in percent as plain types; ``null`` where there is nothing to measure."""
    some = next(iter(evaluations.values()))
    return {
        "bundle": bundle,
        "protocol": protocol,
        "pictures": some.pictures,
        "objects": some.objects,
        "results": {
            method: {
                **{name: _plain(value) for name, value in evaluation.summary().items()},
                "coco": {name: _plain(value) for name, value in evaluation.coco_summary().items()},
                "per_class": {
                    name: dict(zip(evaluation.classes, map(_plain, values), strict=True))
                    for name, values in evaluation.per_class().items()
                },
            }
            for method, evaluation in evaluations.items()
        },
    }


def _side_by_side(figures: Mapping[str, Mapping[str, float]], title: str) -> Table:
    table = Table("metric (%)", title=title)
    for method in figures:
        table.add_column(method, justify="right")
    for name in next(iter(figures.values())):
        table.add_row(name, *(_percent(column[name]) for column in figures.values()))
    return table


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 3)
