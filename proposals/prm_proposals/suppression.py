"""Greedy suppression of near-duplicate proposals, held as bit sets over superpixels."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_GROUPS = 16
"""Groups of superpixels, neighbours in the order of their labels, by which sets are compared at first."""


@njit(cache=True, nogil=True)
def _node_bits(leaves, children):  # type: ignore[no-untyped-def]
    nodes = leaves + len(children)
    bits = np.zeros((nodes, (leaves + 7) // 8), np.uint8)
    for leaf in range(leaves):
        bits[leaf, leaf >> 3] = 1 << (leaf & 7)
    for m in range(len(children)):
        bits[leaves + m] = bits[children[m, 0]] | bits[children[m, 1]]
    return bits


def node_bits(leaves: int, children: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Which leaves each node of a merge tree holds, uint8 [T, ceil(K / 8)], little-endian bits.

    Args:
        leaves: Number of superpixels, K.
        children: The two nodes that node K + m joins, int32 [T - K, 2].
    """
    bits: NDArray[np.uint8] = _node_bits(leaves, children)
    return bits


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _distance(a, b):  # type: ignore[no-untyped-def]
    """Sum of |a - b|; whole numbers, which may be added in any order."""
    distance = np.float32(0.0)
    for n in range(len(a)):
        distance += abs(a[n] - b[n])
    return distance


@njit(cache=True, nogil=True)
def _suppress(bits, parts, areas, sizes, iou, most):  # type: ignore[no-untyped-def]
    row_bytes = bits.shape[1]
    # pixels[b, v]: pixels of the superpixels whose bits are set in value v of byte b
    pixels = np.zeros((row_bytes, 256), np.float32)
    for byte in range(row_bytes):
        for bit in range(8):
            superpixel, half = 8 * byte + bit, 1 << bit
            more = sizes[superpixel] if superpixel < sizes.size else np.float32(0)
            for value in range(half):
                pixels[byte, half + value] = pixels[byte, value] + more

    # An overlap beyond `iou` needs areas within that ratio: duplicates lie in three buckets of log area.
    step = -np.log(iou)
    bucket_of = np.empty(len(parts), np.int32)
    for n in range(len(parts)):
        bucket_of[n] = int(np.log(areas[n]) / step) + 1
    head = np.full(bucket_of.max() + 2, -1, np.int32)
    following = np.empty(most, np.int32)

    # Two sets differ by at least what their pixels in each of some groups of superpixels differ by.
    group_of = np.arange(row_bytes) * _GROUPS // row_bytes
    spread = np.zeros((most, _GROUPS), np.float32)

    kept = np.empty(most, np.int32)
    rows = np.empty((most, row_bytes), np.uint8)
    count = 0
    for n in range(len(parts)):
        if count == most:
            break
        row = rows[count]
        for byte in range(row_bytes):
            row[byte] = bits[parts[n, 0], byte]
        for part in range(1, parts.shape[1]):
            for byte in range(row_bytes):
                row[byte] |= bits[parts[n, part], byte]
        spread[count] = 0.0
        for byte in range(row_bytes):
            spread[count, group_of[byte]] += pixels[byte, row[byte]]
        duplicate = False
        for bucket in range(bucket_of[n] - 1, bucket_of[n] + 2):
            other = head[bucket]
            while other >= 0 and not duplicate:
                # |A xor B| < (|A| + |B|) (1 - iou) / (1 + iou)  is  IoU > iou
                allowed = (areas[n] + areas[kept[other]]) * (1 - iou) / (1 + iou)
                if _distance(spread[count], spread[other]) < allowed:
                    difference = 0.0
                    for byte in range(row_bytes):
                        difference += pixels[byte, row[byte] ^ rows[other, byte]]
                        if difference >= allowed:
                            break
                    duplicate = difference < allowed
                other = following[other]
            if duplicate:
                break
        if not duplicate:
            kept[count] = n
            following[count] = head[bucket_of[n]]
            head[bucket_of[n]] = count
            count += 1
    return kept[:count], rows[:count]


def suppress(
    bits: NDArray[np.uint8],
    parts: NDArray[np.int32],
    areas: NDArray[np.float32],
    sizes: NDArray[np.float32],
    iou: float,
    most: int,
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Keep candidates, best first, that overlap no kept one by more than ``iou``, until there are ``most``.

    Args:
        bits: Superpixels of tree nodes, uint8 [T, ceil(K / 8)] (:func:`node_bits`).
        parts: Candidates in order of rank, each the union of the given rows of ``bits``, int32 [N, n].
        areas: Pixels of each candidate, float32 [N], all >= 1.
        sizes: Pixels of each superpixel, float32 [K].
        iou: Largest overlap of two kept candidates, in (0, 1).
        most: Most candidates to keep.

    Returns:
        ``(kept, members)``: indices of the kept candidates, int32 [n]; their superpixels, bool [n, K].
    """
    if len(parts) == 0:
        return np.zeros(0, np.int32), np.zeros((0, len(sizes)), bool)
    kept, rows = _suppress(bits, parts, areas, sizes, iou, most)
    members = np.unpackbits(rows, axis=1, count=len(sizes), bitorder="little").view(np.bool_)
    return kept, members
