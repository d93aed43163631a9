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
    # Flat arrays with unsigned indices: a row of a table would be a view made and checked for every look-up.
    width, count = np.uint64(columns.shape[1]), packed.shape[1]
    sums = np.zeros(count * columns.shape[1], np.float32)
    table = np.zeros(256 * columns.shape[1], np.float32)
    used = np.empty(count, np.uint32)
    for byte in range(len(packed)):
        for bit in range(8):
            own, half = columns[8 * byte + bit], np.uint64(1 << bit) * width
            smaller = np.uint64(0)
            while smaller < half:
                for c in range(width):
                    table[half + smaller + c] = table[smaller + c] + own[c]
                smaller += width
        row, filled = packed[byte], np.uint64(0)
        for n in range(count):  # those with a bit set, without a branch that cannot be foreseen
            used[filled] = n
            filled += np.uint64(row[n] != 0)
        for at in range(filled):
            n = used[at]
            into, of_value = n * width, np.uint64(row[n]) * width
            for c in range(width):
                sums[into + c] += table[of_value + c]
    return sums.reshape(count, columns.shape[1])
