"""Windows around peaks: where G can be nonzero, which is a few cells until several layers were passed.

The walk of a peak starts at one cell, and each layer that visits its neighbours widens what it can reach.
Outside of that maps are all zeros, so only the window is computed: the same numbers for less work.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from prm_export.emit import Emitter

LARGEST = 11
"""Side from which on maps are computed whole; at stride 32 a picture of 448 pixels has 14 cells."""


class PeakWindows:
    """Emits what moves between maps and windows around peaks.

    Args:
        emitter: Where to emit.
        row: Row of each peak, int64 [P].
        col: Its column, int64 [P].
        grid: Height and width of the maps, int64 [2].
    """

    def __init__(self, emitter: Emitter, row: ir.Value, col: ir.Value, grid: ir.Value) -> None:
        self._emitter, self._row, self._col, self._grid = emitter, row, col, grid
        self._cells: dict[int, ir.Value] = {}
        self._places: dict[int, ir.Value] = {}

    def cut(self, maps: ir.Value, reach: int) -> ir.Value:
        """The windows of maps [1, C, h, w] around all peaks, [P, C, k, k] with k = 2 reach + 1; 0 outside."""
        op, int64 = self._emitter.op, self._emitter.int64
        side = 2 * reach + 1
        padded = op("Pad", maps, int64(0, 0, reach, reach, 0, 0, reach, reach)) if reach else maps
        cells = op("Transpose", op("Reshape", padded, int64(1, 0, -1)), perm=[0, 2, 1])
        cells = op("Squeeze", cells, int64(0))
        windows = op("Gather", cells, self._cells_of(reach), axis=0)  # [P, k², C]
        return self._as_maps(windows, int64(side, side))

    def widen(self, windows: ir.Value, by: int) -> ir.Value:
        """Windows with a margin of zeros."""
        if not by:
            return windows
        return self._emitter.op("Pad", windows, self._emitter.int64(0, 0, by, by, 0, 0, by, by))

    def spread(self, windows: ir.Value, reach: int) -> ir.Value:
        """Maps [P, C, h, w] that are zero outside of windows [P, C, k, k]."""
        op, int64 = self._emitter.op, self._emitter.int64
        cells = op("Transpose", op("Reshape", windows, int64(0, 0, -1)), perm=[0, 2, 1])
        cells = op("Pad", cells, int64(0, 0, 0, 0, 1, 0))  # a cell of zeros for all that lie outside
        cells = op("Flatten", cells, axis=2)
        return self._as_maps(op("Gather", cells, self._places_of(reach), axis=0), self._grid)

    def _as_maps(self, cells: ir.Value, sides: ir.Value) -> ir.Value:
        """[P, cells, C] -> [P, C, rows, columns]."""
        op = self._emitter.op
        channels_first = op("Transpose", cells, perm=[0, 2, 1])
        return op("Reshape", channels_first, op("Concat", self._emitter.int64(0, 0), sides, axis=0))

    def _cells_of(self, reach: int) -> ir.Value:
        """Indices int64 [P, k²] of a window's cells in maps with a margin of ``reach``."""
        if reach not in self._cells:
            op, int64 = self._emitter.op, self._emitter.int64
            width = op("Add", op("Slice", self._grid, int64(1), int64(2)), int64(2 * reach))
            steps = self._emitter.constant(np.arange(2 * reach + 1).reshape(1, -1), np.int64)
            rows = op("Mul", op("Add", self._column(self._row), steps), width)
            columns = op("Add", self._column(self._col), steps)
            cells = op("Add", op("Unsqueeze", rows, int64(2)), op("Unsqueeze", columns, int64(1)))
            self._cells[reach] = op("Flatten", cells, axis=1)
        return self._cells[reach]

    def _places_of(self, reach: int) -> ir.Value:
        """Indices int64 [P, h w] of the cells of maps in the flattened windows; outside the cell of zeros."""
        if reach not in self._places:
            op, int64 = self._emitter.op, self._emitter.int64
            side = 2 * reach + 1
            rows, in_rows = self._steps(0, self._row, reach)
            columns, in_columns = self._steps(1, self._col, reach)
            within = op(
                "Add",
                op("Unsqueeze", op("Mul", rows, int64(side)), int64(2)),
                op("Unsqueeze", columns, int64(1)),
            )
            inside = op("And", op("Unsqueeze", in_rows, int64(2)), op("Unsqueeze", in_columns, int64(1)))
            cell = op("Flatten", op("Where", inside, within, int64(side * side)), axis=1)
            zero, one = self._emitter.constant(0, np.int64), self._emitter.constant(1, np.int64)
            count = op("Squeeze", op("Shape", self._row))
            first = op("Mul", op("Range", zero, count, one), int64(side * side + 1))
            self._places[reach] = op("Add", cell, self._column(first))
        return self._places[reach]

    def _steps(self, axis: int, centre: ir.Value, reach: int) -> tuple[ir.Value, ir.Value]:
        """Where each row (or column) of a map lies in each peak's window, [P, n], and whether it does."""
        op, int64 = self._emitter.op, self._emitter.int64
        zero, one = self._emitter.constant(0, np.int64), self._emitter.constant(1, np.int64)
        all_of = op("Range", zero, op("Gather", self._grid, self._emitter.constant(axis, np.int64)), one)
        first = op("Sub", self._column(centre), int64(reach))
        steps = op("Sub", op("Unsqueeze", all_of, int64(0)), first)
        low = op("GreaterOrEqual", steps, int64(0))
        return steps, op("And", low, op("LessOrEqual", steps, int64(2 * reach)))

    def _column(self, values: ir.Value) -> ir.Value:
        return self._emitter.op("Unsqueeze", values, self._emitter.int64(1))
