"""Evaluations as tables for people and JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.table import Table

from prm_evaluation.evaluate import Evaluation


def summary_table(evaluations: Mapping[str, Evaluation], title: str) -> Table:
    """One row per figure, one column per retrieval method, in percent."""
    table = Table("metric (%)", title=title)
    for method in evaluations:
        table.add_column(method, justify="right")
    summaries = [evaluation.summary() for evaluation in evaluations.values()]
    for name in summaries[0]:
        table.add_row(name, *(_percent(summary[name]) for summary in summaries))
    return table


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
                "per_class": {
                    name: dict(zip(evaluation.classes, map(_plain, values), strict=True))
                    for name, values in evaluation.per_class().items()
                },
            }
            for method, evaluation in evaluations.items()
        },
    }


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 3)
