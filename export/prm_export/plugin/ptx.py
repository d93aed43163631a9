"""PeakFind's kernel as PTX for one kind of GPU; needs Triton, but neither GPU nor driver."""

from __future__ import annotations

import re
from dataclasses import dataclass

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from prm_export.errors import ExportError
from prm_export.plugin.kernel import block_sizes, peak_find

WARP = 32
_ARGUMENTS = {
    "class_maps": "*fp32",
    "classes": "i32",
    "h": "i32",
    "w": "i32",
    "peaks": "*i64",
    "peak_scores": "*fp32",
}


@dataclass(frozen=True)
class KernelCode:
    """A compiled kernel and how to launch it.

    Attributes:
        name: Its entry point.
        ptx: The code. Its parameters are class_maps, C, h, w, peaks, peak_scores.
        threads: Threads of a block; there is one block per picture.
        shared_bytes: Dynamic shared memory of a block.
    """

    name: str
    ptx: str
    threads: int
    shared_bytes: int


def compile_peak_find(window: int, max_peaks: int, threshold: float, compute_capability: int) -> KernelCode:
    """Compile the kernel.

    Args:
        window: Side of the peak window.
        max_peaks: Rows of the table.
        threshold: Lowest response of a peak.
        compute_capability: Of the GPU, such as 87 for Jetson Orin.
    """
    constants = {"window": window, "max_peaks": max_peaks, "threshold": threshold, **block_sizes(max_peaks)}
    names = peak_find.arg_names
    source = ASTSource(
        peak_find,
        {**_ARGUMENTS, **dict.fromkeys(constants, "constexpr")},
        {(names.index(name),): value for name, value in constants.items()},
    )
    kernel = triton.compile(
        source,
        target=GPUTarget("cuda", compute_capability, WARP),
        options={"ptx_version": _ptx_version(compute_capability), "enable_fp_fusion": False},
    )
    about = kernel.metadata
    ptx = without_hidden_parameters(kernel.asm["ptx"], about.name, len(_ARGUMENTS))
    return KernelCode(about.name, ptx, about.num_warps * WARP, about.shared)


def without_hidden_parameters(ptx: str, entry: str, count: int) -> str:
    """Cut a kernel's parameters after the first ``count``.

    Triton appends pointers to scratch memory, which TensorRT knows nothing of: a launch without them would
    read past its arguments.

    Raises:
        ExportError: If the kernel uses one of them.
    """
    pattern = rf"(\.entry {re.escape(entry)}\()(.*?)(\n\))"
    match = re.search(pattern, ptx, flags=re.DOTALL)
    if match is None:
        raise ExportError(
            f"the PTX has no kernel {entry}: this Triton ({triton.__version__}) is not supported"
        )
    kept, hidden = (match[2].split(",")[part] for part in (slice(count), slice(count, None)))
    rest = ptx[: match.start(2)] + ",".join(kept) + ptx[match.end(2) :]
    used = [name for name in (text.split()[-1] for text in hidden) if re.search(rf"\b{name}\b", rest)]
    if used:
        raise ExportError(
            f"Triton {triton.__version__} gives {entry} scratch memory ({', '.join(used)}), plugins do "
            "not have it: use another version"
        )
    return rest


def _ptx_version(compute_capability: int) -> int:
    """The oldest PTX that knows the GPU, so that the driver of a device need not be new."""
    return 80 if compute_capability < 100 else 87
