"""Windows around peaks: where G can be nonzero, which is a few cells until several layers were passed.

The walk of a peak starts at one cell, and each layer that visits its neighbours widens what it can reach.
Outside of that maps are all zeros, so only the window is computed: the same numbers for less work. Channels
come last in windows, so that a 1×1 convolution is one matrix product for all cells of all peaks.
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
        peaks: (class, row, column) of each peak, int64 [P, 3].
        grid: Height and width of the maps, int64 [2].

    Attributes:
        class_id: Class of each peak, int64 [P].
    """

    def __init__(self, emitter: Emitter, peaks: ir.Value, grid: ir.Value) -> None:
        self._emitter, self._grid = emitter, grid
        self.class_id, self._row, self._col = (
            emitter.op("Squeeze", part, emitter.int64(1))
            for part in emitter.ops("Split", 3, peaks, axis=1, num_outputs=3)
        )
        self._cell: ir.Value | None = None
        self._cells: dict[int, tuple[ir.Value, ir.Value]] = {}
        self._places: dict[int, ir.Value] = {}

    @property
    def cell(self) -> ir.Value:
        """The peaks' own cells, counted row by row, int64 [P]."""
        if self._cell is None:
            op = self._emitter.op
            width = op("Gather", self._grid, self._emitter.constant(1, np.int64))
            self._cell = op("Add", op("Mul", self._row, width), self._col)
        return self._cell

    def cells(self, reach: int) -> tuple[ir.Value, ir.Value]:
        """The cells of windows of side k = 2 reach + 1.

        Returns:
            The cells, int64 [P, k²], those outside of the map moved to its edge, and 1 where a cell lies
            inside and 0 where it does not, float32 [P, k², 1].
        """
        if reach not in self._cells:
            op, int64 = self._emitter.op, self._emitter.int64
            rows, in_rows = self._along(0, self._row, reach)
            columns, in_columns = self._along(1, self._col, reach)
            first = op("Mul", rows, op("Gather", self._grid, self._emitter.constant(1, np.int64)))
            cells = op("Add", op("Unsqueeze", first, int64(2)), op("Unsqueeze", columns, int64(1)))
            inside = op("And", op("Unsqueeze", in_rows, int64(2)), op("Unsqueeze", in_columns, int64(1)))
            weights = op("Cast", op("Flatten", inside, axis=1), to=ir.DataType.FLOAT)
            self._cells[reach] = op("Flatten", cells, axis=1), op("Unsqueeze", weights, int64(2))
        return self._cells[reach]

    def widen(self, windows: ir.Value, reach: int, by: int) -> ir.Value:
        """Windows [P, k², C] of this reach with a margin of zeros."""
        if not by:
            return windows
        op, int64 = self._emitter.op, self._emitter.int64
        side = 2 * reach + 1
        square = op("Reshape", windows, int64(0, side, side, -1))
        padded = op("Pad", square, int64(0, by, by, 0, 0, by, by, 0))
        return op("Reshape", padded, int64(0, (side + 2 * by) ** 2, -1))

    def as_maps(self, windows: ir.Value, reach: int) -> ir.Value:
        """Windows [P, k², C] as small maps [P, C, k, k]."""
        side = 2 * reach + 1
        return self._maps(windows, self._emitter.int64(side, side))

    def of_maps(self, maps: ir.Value) -> ir.Value:
        """Small maps [P, C, k, k] as windows [P, k², C]."""
        flat = self._emitter.op("Reshape", maps, self._emitter.int64(0, 0, -1))
        return self._emitter.op("Transpose", flat, perm=[0, 2, 1])

    def spread(self, windows: ir.Value, reach: int) -> ir.Value:
        """Maps [P, C, h, w] that are zero outside of windows [P, k², C]."""
        return self._maps(self._laid_out(windows, reach), self._grid)

    def add_up(self, windows: ir.Value, reach: int) -> ir.Value:
        """The sum over peaks of what windows [P, k², C] spread to, [1, C, h, w]."""
        laid_out = self._laid_out(windows, reach)
        return self._maps(
            self._emitter.op("ReduceSum", laid_out, self._emitter.int64(0), keepdims=1), self._grid
        )

    def _laid_out(self, windows: ir.Value, reach: int) -> ir.Value:
        """What windows [P, k², C] hold at each cell of the map, [P, h w, C]."""
        op, int64 = self._emitter.op, self._emitter.int64
        cells = op("Pad", windows, int64(0, 0, 0, 0, 1, 0))  # a cell of zeros for all that lie outside
        return op("Gather", op("Flatten", cells, axis=2), self._places_of(reach), axis=0)

    def _maps(self, cells: ir.Value, sides: ir.Value) -> ir.Value:
        """[P, cells, C] -> [P, C, rows, columns]."""
        op = self._emitter.op
        channels_first = op("Transpose", cells, perm=[0, 2, 1])
        return op("Reshape", channels_first, op("Concat", self._emitter.int64(0, 0), sides, axis=0))

    def _along(self, axis: int, centre: ir.Value, reach: int) -> tuple[ir.Value, ir.Value]:
        """Rows (or columns) of each peak's window, [P, k], moved into the map, and which lay in it."""
        op = self._emitter.op
        size = op("Gather", self._grid, self._emitter.constant(axis, np.int64))
        steps = self._emitter.constant(np.arange(-reach, reach + 1).reshape(1, -1), np.int64)
        wanted = op("Add", self._column(centre), steps)
        last = op("Sub", size, self._emitter.constant(1, np.int64))
        moved = op("Min", op("Max", wanted, self._emitter.constant(0, np.int64)), last)
        return moved, op("Equal", moved, wanted)

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
