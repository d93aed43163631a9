"""How far a peak's probability spreads on the way that walks share: what shares are worked out from.

Peaks are walked apart down to the split. Which part of each cell below is whose follows from where each
peak's probability was there, and from how such probability spreads on its way to the stop. That is described
by a short chain of non-negative convolutions over the split's cells: of groups of channels, as some channels
carry their probability farther than others, or of all channels in one. A Gaussian needs nothing to be known
of the network; kernels that were fitted to exact maps (:mod:`prm_export.fit_shares`) follow it closely.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from prm_export.emit import array_of, input_of
from prm_export.errors import ExportError

DEVIATIONS = 8
"""Standard deviations out to which a Gaussian in two dimensions is larger than the smallest mass."""
GROUPED_VALUE, SPREAD_VALUE = "share_groups", "share_spread_"
"""Names of the values in a reverse graph that groups of channels and each convolution make."""

Kernel = NDArray[np.float32]


@dataclass(frozen=True)
class ShareKernels:
    """A chain of convolutions that probability at the split spreads by.

    Attributes:
        mix: How much of each channel's probability goes to each group, float32 [C, G], >= 0; None adds all
            channels up to one group.
        kernels: Weights of the convolutions, float32 [G', G, k, k'], >= 0, k and k' odd; the last makes one
            map. None at all leaves probability where it is.
    """

    mix: NDArray[np.float32] | None = None
    kernels: tuple[Kernel, ...] = ()


NO_SPREAD = ShareKernels()
"""Probability stays in the cells where walks joined."""


@dataclass(frozen=True)
class FittedShares:
    """Share kernels and the walk that they were fitted to.

    Attributes:
        kernels: The kernels.
        split_reach: Cells around a peak that its walk has to itself.
        stop_stride: Image pixels per cell of the Peak Response Maps.
        stop_early: Whether the walk stops at the first layer of that stride.
    """

    kernels: ShareKernels
    split_reach: int
    stop_stride: int
    stop_early: bool

    @property
    def walk(self) -> str:
        """The walk as options of ``prm-export``."""
        early = " --stop-early" if self.stop_early else ""
        return f"--stop-stride {self.stop_stride}{early} --split-reach {self.split_reach}"

    def write(self, path: Path) -> None:
        """Write a ``.safetensors`` file."""
        tensors = {f"kernel_{n}": kernel for n, kernel in enumerate(self.kernels.kernels)}
        if self.kernels.mix is not None:
            tensors["mix"] = self.kernels.mix
        walk = {"split_reach": self.split_reach, "stop_stride": self.stop_stride}
        metadata = {"prm_shares": json.dumps({**walk, "stop_early": self.stop_early})}
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path, metadata)

    @classmethod
    def read(cls, path: Path) -> FittedShares:
        """Read what :meth:`write` wrote.

        Raises:
            ExportError: If it is no such file.
        """
        try:
            with safe_open(path, "numpy") as file:
                walk = json.loads((file.metadata() or {})["prm_shares"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            mix = tensors.pop("mix", None)
            return cls(ShareKernels(mix, tuple(tensors[name] for name in sorted(tensors))), **walk)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f"{path} cannot be read as share kernels ({error}): give a file that prm-export fit-shares "
                "wrote"
            ) from error


def gaussian(deviation: float) -> ShareKernels:
    """A Gaussian of this standard deviation in cells, of sum 1, over all channels together."""
    reach = int(np.ceil(DEVIATIONS * deviation))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    line = (weights / weights.sum()).astype(np.float32)
    return ShareKernels(None, (line.reshape(1, 1, -1, 1), line.reshape(1, 1, 1, -1)))


def kernels_in(backprop: onnx.ModelProto) -> ShareKernels | None:
    """The fitted kernels that a reverse graph was built with, None if there are none."""
    model = ir.from_proto(backprop)
    made = {value.name: node for node in model.graph for value in node.outputs}
    mixing = made.get(GROUPED_VALUE)
    mix = None if mixing is None else array_of(input_of(mixing, 1))
    if mix is None:
        return None
    if mix.ndim == 4:
        mix = mix[:, :, 0, 0].T
    convolutions = takewhile(made.__contains__, (f"{SPREAD_VALUE}{n}" for n in count()))
    kernels = [array_of(input_of(made[name], 1)) for name in convolutions]
    return ShareKernels(mix, tuple(kernel for kernel in kernels if kernel is not None))
