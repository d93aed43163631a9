"""Which of our bundles stands beside which line of the paper."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.paper import PaperRow


def beside(
    rows: Sequence[PaperRow], measured: Sequence[Measured], *, others: bool = True
) -> Iterator[tuple[str, Measured | None, tuple[float, ...]]]:
    """Each line of the paper once for every bundle trained with its aggregation, or once alone.

    Args:
        rows: Lines of one of the paper's tables.
        measured: The bundles.
        others: Whether bundles whose aggregation no line has follow at the end.

    Yields:
        The name of the line, the bundle or None, and the paper's figures (``nan`` for the others).
    """
    for row in rows:
        alike = [
            bundle for bundle in measured if bundle.aggregation and bundle.aggregation == row.aggregation
        ]
        for bundle in alike:
            yield f"{row.name}: {bundle.name}", bundle, row.figures
        if not alike:
            yield row.name, None, row.figures
    if others:
        known = {row.aggregation for row in rows if row.aggregation}
        for bundle in measured:
            if bundle.aggregation not in known:
                yield bundle.name, bundle, (math.nan,) * len(rows[0].figures)
