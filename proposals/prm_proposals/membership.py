"""Products of weights with proposals, without a proposal ever taking more than one bit per superpixel.

The sum over eight superpixels has 256 possible values: they are tabled once for all proposals (the method of
the Four Russians), so that a proposal costs one look-up for eight superpixels and all weights at once.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LANES = 8  # weights are padded to full vector units


def pack(members: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Eight superpixels to a byte, all proposals of these eight side by side.

    Args:
        members: Proposals as unions of superpixels, bool [N, K].

    Returns:
        uint8 [ceil(K / 8), N], little-endian bits.
    """
    return np.ascontiguousarray(np.packbits(members, axis=1, bitorder="little").T)


def sum_members(packed: NDArray[np.uint8], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """``weights @ members.T``: the sum of each weight over the superpixels of each proposal, float32 [n, N].

    Args:
        packed: Proposals as :func:`pack` packs them.
        weights: float32 [n, K].
    """
    count, superpixels = weights.shape
    columns = np.zeros((8 * len(packed), -(-count // _LANES) * _LANES), np.float32)
    columns[:superpixels, :count] = weights.T
    sums: NDArray[np.float32] = _sums(packed, columns)
    return sums[:, :count].T


@njit(cache=True, nogil=True)
def _sums(packed, columns):  # type: ignore[no-untyped-def]
    width = np.uint64(columns.shape[1])
    sums = np.zeros((packed.shape[1], columns.shape[1]), np.float32)
    table = np.zeros((256, columns.shape[1]), np.float32)
    for byte in range(len(packed)):
        for bit in range(8):
            own = columns[8 * byte + bit]
            half = 1 << bit
            for value in range(half):
                smaller, larger = table[value], table[half + value]
                for c in range(width):
                    larger[c] = smaller[c] + own[c]
        row = packed[byte]
        for n in range(len(row)):
            if row[n]:
                of_value, into = table[row[n]], sums[n]
                for c in range(width):
                    into[c] += of_value[c]
    return sums
