"""Fig. 6 of the paper as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_evaluation.tables.bundles import Measured
from prm_runtime.console import PrmError


def load_matplotlib() -> Any:
    """The figures of matplotlib, which need no display.

    Raises:
        PrmError: If matplotlib is not installed.
    """
    try:
        from matplotlib import figure
    except ImportError:
        raise PrmError('drawing needs matplotlib: pip install "prm-edge[plots]"') from None
    return figure


def plot_figure_6(measured: Sequence[Measured], folder: Path) -> list[Path]:
    """Draw the mean energy of PRMs inside an instance by crowding and by size, one picture per bundle.

    Bars are means, whiskers quartiles; under each stands how many PRMs it is of.

    Args:
        measured: The bundles.
        folder: Where the pictures go; made if missing.

    Returns:
        The files ``fig6-<n>.png``, n being the bundle's place.

    Raises:
        PrmError: If matplotlib is not installed.
    """
    matplotlib = load_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, bundle in enumerate(measured, start=1):
        figure = matplotlib.Figure(figsize=(11, 4), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        tally = bundle.tallies.quality
        _bars(left, tally.by_crowding(), "objects in the picture")
        _bars(right, tally.by_size(), "size of the instance, share of the picture")
        left.set_ylabel("energy of a PRM inside an instance (%)")
        figure.suptitle(bundle.name)
        path = folder / f"fig6-{number}.png"
        figure.savefig(path, dpi=120)
        paths.append(path)
    return paths


def _bars(axes: Any, shares: Mapping[str, NDArray[np.float64]], title: str) -> None:
    filled = {name: 100 * values for name, values in shares.items() if len(values)}
    means = [values.mean() for values in filled.values()]
    lower, upper = (
        np.array([np.percentile(values, quartile) for values in filled.values()]) for quartile in (25, 75)
    )
    whiskers = np.clip([means - lower, upper - means], 0, None)
    names = [f"{name}\nn = {len(values)}" for name, values in filled.items()]
    axes.bar(names, means, yerr=whiskers, capsize=4)
    axes.set_ylim(0, 100)
    axes.set_title(title)
