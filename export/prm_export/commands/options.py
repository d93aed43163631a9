"""Options of ``prm-export`` that say what becomes of a network."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from prm_export.precision import Precision as PrecisionChoice


class StopStride(StrEnum):
    """Strides at which the reverse pass can end."""

    pixels = "1"
    half = "2"
    quarter = "4"
    eighth = "8"
    sixteenth = "16"


class Prm(StrEnum):
    """How several peaks are back-propagated."""

    exact = "exact"
    shared = "shared"


class SplitStride(StrEnum):
    """Strides at which peaks can begin to share their way."""

    quarter = "4"
    eighth = "8"
    sixteenth = "16"
    thirty_second = "32"


Mode = Annotated[
    Prm,
    typer.Option(
        "--prm",
        help="exact walks each peak down to the stop. shared walks them apart only to --split-stride or "
        "--split-reach, then together, and splits the result: nearly the same maps, and further peaks cost "
        "little.",
    ),
]
Split = Annotated[
    SplitStride,
    typer.Option(
        "--split-stride",
        help="Image pixels per cell where shared peaks join; 16 and 32 are cheaper and coarser than 8.",
    ),
]
SplitReach = Annotated[
    int | None,
    typer.Option(
        "--split-reach",
        min=1,
        help="In place of --split-stride: shared peaks join before a walk reaches farther than this many "
        "cells of the class map around its peak. 1 is the cheapest.",
        show_default=False,
    ),
]
Shares = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What prm-export fit-shares wrote for this network and walk: shared maps come much closer to "
        "exact ones. A bundle that is exported again keeps its own.",
        show_default=False,
    ),
]
StopEarly = Annotated[
    bool,
    typer.Option(
        "--stop-early",
        help="Stop at the first layer of --stop-stride that the walk reaches, not at the last: quicker, "
        "and a little rougher.",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        help="Long side of the pictures the network gets; with --fixed also HEIGHTxWIDTH.",
        show_default="the checkpoint's, with --onnx 448",
    ),
]
Dynamic = Annotated[
    bool,
    typer.Option(
        "--dynamic/--fixed",
        help="Frames keep their aspect and the graphs take any height and width, or all frames are stretched "
        "to one size, for engines that want to know it.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="MIN,OPT,MAX",
        help="Sizes (HEIGHTxWIDTH each) that engines prepare for; frames are brought between MIN and MAX.",
        show_default="all sizes that frames can get, 4:3 as OPT",
    ),
]
Batch = Annotated[
    int, typer.Option(min=1, help="Frames that the forward graph takes at once; prm-run fills batches.")
]
Precision = Annotated[
    PrecisionChoice,
    typer.Option(
        help="What the network computes in. fp16: the trunk, while normalisers, gains and class maps stay "
        "fp32. int8: the trunk on bytes, with --calibrate.",
    ),
]
Calibrate = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Pictures like those it will see, to calibrate int8 on.", show_default=False
    ),
]
CalibrateCount = Annotated[int, typer.Option(min=8, help="How many of them to take.")]
Fused = Annotated[
    bool,
    typer.Option("--fused", help="Add fused.onnx, both graphs in one (prm-run --fused)."),
]
SettingsFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="BUNDLE",
        help="Take the retrieval settings of this bundle, such as one that prm-eval tuned, and its proposal "
        "settings if the network has the features that they name.",
        show_default=False,
    ),
]
VerifyOn = Annotated[
    Path | None,
    typer.Option(
        metavar="DATA",
        help="VOC tree or COCO data set with masks: measure mAP, ABO and mIoU there, beside the same network "
        "in fp32 with exact maps, and record them in the bundle.",
        show_default=False,
    ),
]
VerifySplit = Annotated[str, typer.Option(help="Split of --verify-on.")]
VerifyLimit = Annotated[
    int | None, typer.Option(min=1, help="Measure on its first N pictures only.", show_default="all")
]
