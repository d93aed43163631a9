"""``prm-export fit-shares SOURCE PICTURES -o FILE``: how peaks share their way, from pictures."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from prm_export.assemble import Variant, graph_options
from prm_export.calibration import pictures_of
from prm_export.commands.options import StopEarly, StopStride
from prm_export.commands.source import check_output, network_of
from prm_export.fit_shares import STEPS, PeakWalker, Walks, fit_shares, misplaced
from prm_export.pipeline import build_graphs
from prm_export.reverse_path import SPREAD
from prm_export.share_kernels import FittedShares, gaussian
from prm_runtime.console import stderr
from prm_runtime.preprocess import preprocess

HELD_OUT = 10
"""Of so many pictures one is left out of the fit, to measure on."""


def fit_shares_command(
    source: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint, or a bundle NAME.prm (or the name of a shipped one).", show_default=False
        ),
    ],
    pictures: Annotated[
        Path,
        typer.Argument(
            help="Folder with pictures like those the network was trained on; labels are not needed.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, NAME.safetensors.")],
    stop_stride: Annotated[
        StopStride, typer.Option(help="As the export will have it.")
    ] = StopStride.sixteenth,
    stop_early: StopEarly = False,
    split_reach: Annotated[int, typer.Option(min=1, help="As the export will have it.")] = 1,
    count: Annotated[int, typer.Option(min=HELD_OUT, help="How many of the pictures to take.")] = 300,
    steps: Annotated[int, typer.Option(min=1, help="How often the kernels are improved.")] = STEPS,
) -> None:
    """Fit how peaks share their way to exact maps, for prm-export --prm shared --shares FILE.

    Peaks of one picture that are walked together have their maps split by where each of them was when the
    walks joined. How far it would have gone from there differs between networks; unless that was fitted, a
    Gaussian stands for it. Takes a few minutes: peaks are walked one by one. Those of a tuned
    bundle are the ones that will be live.
    """
    check_output(output, "NAME.safetensors")
    material = network_of(source)
    variant = Variant(stop_stride=int(stop_stride), stop_early=stop_early, split_reach=split_reach)
    options = graph_options(material, variant)
    with stderr.status("building the graphs"):
        graphs = build_graphs(material.classifier, options)
        walk_peaks = PeakWalker(graphs, options, material.retrieval)
    frames = pictures_of(pictures, count, str(pictures))
    walked: list[Walks] = []
    for frame in track(frames, "walking peaks", console=stderr, transient=True):
        walks = walk_peaks(preprocess(frame, material.preprocessing))
        walked += [] if walks is None else [walks]
    held_out, rest = walked[::HELD_OUT], [walks for n, walks in enumerate(walked) if n % HELD_OUT]
    fitting = track(fit_shares(rest, steps), "fitting", steps, console=stderr, transient=True)
    kernels = deque(fitting, maxlen=1).pop()
    before, after = (100 * misplaced(held_out, each) for each in (gaussian(SPREAD), kernels))
    FittedShares(kernels, split_reach, int(stop_stride), stop_early).write(output)
    peaks = sum(len(walks.at_stop) for walks in held_out)
    stderr.print(
        f"of a peak's probability {before:.1f} % goes to others by a Gaussian, {after:.1f} % by these "
        f"kernels ({peaks} peaks of {len(held_out)} pictures that were held out)",
        highlight=False,
    )
    stderr.print(f"wrote {output}", highlight=False)
