"""PeakFind as a Triton kernel: what the function body of :mod:`prm_export.passes.peak_find` computes.

One program makes the table of one picture. It reads M in blocks of cells, turns each peak into a 64-bit key
whose order is that of the table (response first, then the earlier cell), and keeps the largest keys.
"""

from __future__ import annotations

import triton
import triton.language as tl

from prm_export.emit import LOWEST

SMALLEST_BLOCK = 256

_NO_RESPONSE = tl.constexpr(LOWEST)
_NO_KEY = tl.constexpr(-(2**63))


@triton.jit
def _is_maximum(M, cell, row, column, inside, h, w, window: tl.constexpr):
    """Whether M at a cell is no NaN and nothing in its window is larger."""
    response = tl.load(M + cell, mask=inside, other=float("nan"))
    is_maximum = response == response
    for step in range(window * window):
        i, j = step // window - window // 2, step % window - window // 2
        near = inside & (row + i >= 0) & (row + i < h) & (column + j >= 0) & (column + j < w)
        neighbour = tl.load(M + cell + i * w + j, mask=near, other=float("nan"))
        is_maximum = is_maximum & ~(neighbour > response)  # false for NaN
    return is_maximum


@triton.jit
def _is_peak(M, cell, row, column, inside, h, w, window: tl.constexpr):
    """Whether a cell is the first of its window's maxima."""
    response = tl.load(M + cell, mask=inside, other=float("nan"))
    is_peak = _is_maximum(M, cell, row, column, inside, h, w, window)
    for step in range(window * window // 2):  # the cells of the window that come earlier
        i, j = step // window - window // 2, step % window - window // 2
        near = is_peak & (row + i >= 0) & (row + i < h) & (column + j >= 0) & (column + j < w)
        tied = near & (tl.load(M + cell + i * w + j, mask=near, other=float("nan")) == response)
        is_peak = is_peak & ~_is_maximum(M, cell + i * w + j, row + i, column + j, tied, h, w, window)
    return is_peak


@triton.jit
def _ordered(response):
    """An int32 that orders as the float does; -0 equals 0."""
    bits = tl.where(response == 0, 0.0, response).to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def peak_find(
    class_maps,
    classes,
    h,
    w,
    peaks,
    peak_scores,
    window: tl.constexpr,
    max_peaks: tl.constexpr,
    threshold: tl.constexpr,
    rows: tl.constexpr,
    block: tl.constexpr,
):
    """Make the peak table of one picture per program.

    Args:
        class_maps: M, float32 [N, C, h, w].
        classes: C.
        h: Height of the maps.
        w: Width of the maps.
        peaks: Out: int64 [N, max_peaks, 3], rows (class, row, column) by descending response, then -1.
        peak_scores: Out: float32 [N, max_peaks], M at the peaks, then 0.
        window: Side of the window, odd.
        max_peaks: Rows of the table.
        threshold: Lowest response of a peak.
        rows: Smallest power of two that holds ``max_peaks``.
        block: Cells at a time, a power of two, at least ``rows``.
    """
    picture = tl.program_id(0).to(tl.int64)
    cells = classes * h * w
    M = class_maps + picture * cells
    best = tl.full([rows], _NO_KEY, tl.int64)
    for start in range(0, cells, block):
        cell = start + tl.arange(0, block)
        inside = cell < cells
        row, column = cell // w % h, cell % w
        response = tl.load(M + cell, mask=inside, other=float("nan"))
        inside = inside & (response > _NO_RESPONSE) & (response >= threshold)
        found = _is_peak(M, cell, row, column, inside, h, w, window)
        earliness = cell ^ 0x7FFFFFFF
        key = (_ordered(response).to(tl.int64) << 32) | earliness.to(tl.int64)
        key = tl.where(found, key, _NO_KEY)
        if tl.max(key, 0) > tl.min(best, 0):
            both = tl.join(best, tl.topk(key, rows)).reshape(2 * rows)
            best = tl.topk(both, rows)
    rank = tl.arange(0, rows)
    is_live, is_row = best != _NO_KEY, rank < max_peaks
    cell = (best & 0x7FFFFFFF).to(tl.int32) ^ 0x7FFFFFFF
    table = peaks + (picture * max_peaks + rank) * 3
    tl.store(table, tl.where(is_live, cell // (h * w), -1).to(tl.int64), mask=is_row)
    tl.store(table + 1, tl.where(is_live, cell // w % h, -1).to(tl.int64), mask=is_row)
    tl.store(table + 2, tl.where(is_live, cell % w, -1).to(tl.int64), mask=is_row)
    scores = tl.load(M + cell, mask=is_live, other=0.0)
    tl.store(peak_scores + picture * max_peaks + rank, scores, mask=is_row)


def block_sizes(max_peaks: int) -> dict[str, int]:
    """The kernel's ``rows`` and ``block`` for a table of this many rows."""
    rows = triton.next_power_of_2(max_peaks)
    return {"rows": rows, "block": max(SMALLEST_BLOCK, rows)}
