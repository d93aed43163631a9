"""PeakFind as a TensorRT plugin whose kernel is baked into the engine.

TensorRT's quickly deployable plugins (``tensorrt.plugin``, from 10.10 on with ``aot_impl``): the engine holds
the PTX and is loaded without Python code and without a library of plugins. Their attributes are arrays here,
since with NumPy 2.4 and newer TensorRT cannot make Python numbers of what its parser hands over.
"""
# TensorRT reads the annotations as objects, so they must not be postponed to strings.

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prm_export.passes.peak_find import DOMAIN, OP_TYPE

PLUGIN = f"{DOMAIN}::{OP_TYPE}"
INT32: TypeAlias = NDArray[np.int32]
FLOAT32: TypeAlias = NDArray[np.float32]


def register_peak_find(trt: Any, trtp: Any, compute_capability: int) -> dict[str, Callable[..., Any]]:
    """Register the plugin, once per process.

    Args:
        trt: The package ``tensorrt``.
        trtp: Its module ``tensorrt.plugin``.
        compute_capability: Of the GPU that engines are built for, such as 87.

    Returns:
        The registered functions: ``describe``, ``aot`` and ``jit``.
    """
    from prm_export.plugin.kernel import block_sizes, peak_find
    from prm_export.plugin.ptx import compile_peak_find

    Desc, Tensor = trtp.TensorDesc, trtp.Tensor

    @trtp.register(PLUGIN)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def describe(
        class_maps: Desc,  # type: ignore[valid-type]
        window: INT32,
        max_peaks: INT32,
        threshold: FLOAT32,
    ) -> tuple[Desc, Desc]:  # type: ignore[valid-type]
        del window, threshold  # they change what is in the table, not its shape
        rows = (class_maps.shape_expr[0], int(max_peaks[0]))  # type: ignore[attr-defined]
        table = trtp.from_shape_expr((*rows, 3), dtype=trt.int64)
        return table, trtp.from_shape_expr(rows, dtype=trt.float32)

    @trtp.aot_impl(PLUGIN)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def aot(
        class_maps: Desc,  # type: ignore[valid-type]
        window: INT32,
        max_peaks: INT32,
        threshold: FLOAT32,
        outputs: tuple[Desc],  # type: ignore[valid-type]
        tactic: int,
    ) -> tuple[str | bytes, str | bytes, trtp.KernelLaunchParams, trtp.SymIntExprs]:
        del outputs, tactic
        code = compile_peak_find(int(window[0]), int(max_peaks[0]), float(threshold[0]), compute_capability)
        pictures, *sides = class_maps.shape_expr  # type: ignore[attr-defined]
        launch = trtp.KernelLaunchParams(grid_x=pictures, block_x=code.threads, shared_mem=code.shared_bytes)
        arguments = trtp.SymIntExprs.from_tuple([trtp.SymInt32(side) for side in sides])
        return code.name, code.ptx, launch, arguments

    @trtp.impl(PLUGIN)  # type: ignore[misc, untyped-decorator, unused-ignore]
    def jit(
        class_maps: Tensor,  # type: ignore[valid-type]
        window: INT32,
        max_peaks: INT32,
        threshold: FLOAT32,
        outputs: tuple[Tensor],  # type: ignore[valid-type]
        stream: int,
    ) -> None:
        import torch

        arrays = [torch.as_tensor(array, device="cuda") for array in (class_maps, *outputs)]
        M, peaks, scores = arrays
        rows = int(max_peaks[0])
        numbers = {"window": int(window[0]), "max_peaks": rows, "threshold": float(threshold[0])}
        with torch.cuda.stream(torch.cuda.ExternalStream(stream)):  # type: ignore[no-untyped-call]
            peak_find[(M.shape[0],)](M, *M.shape[1:], peaks, scores, **numbers, **block_sizes(rows))

    return {"describe": describe, "aot": aot, "jit": jit}
