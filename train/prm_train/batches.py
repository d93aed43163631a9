"""Batches of pictures that have one size, so that each picture can keep its aspect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np
from torch.utils.data import Sampler

Size = tuple[int, int]


class SameSizeBatches(Sampler[list[int]]):
    """Batches of indices whose pictures have the same size; the last batch of a size may be smaller.

    Every index is in one batch of an epoch. With several processes each gets every so-many-th batch, and the
    first few batches come again where the number of batches does not divide.

    Args:
        sizes: Height and width of each picture as the network sees it.
        batch_size: Pictures per batch at most.
        seed: What shuffles pictures and batches together with ``epoch``; None keeps the order.
        rank: Which of the processes this is.
        world_size: Number of processes.

    Example:
        >>> list(SameSizeBatches([(32, 32), (32, 64), (32, 32)], batch_size=2))
        [[0, 2], [1]]
    """

    def __init__(
        self,
        sizes: Sequence[Size],
        batch_size: int,
        *,
        seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.rank = rank
        self.world_size = world_size
        self._groups: dict[Size, list[int]] = defaultdict(list)
        for index, size in enumerate(sizes):
            self._groups[size].append(index)

    def __len__(self) -> int:
        batches = sum(-(-len(group) // self.batch_size) for group in self._groups.values())
        return -(-batches // self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        return islice(cycle(batches), self.rank, len(self) * self.world_size, self.world_size)

    def _batches(self) -> list[list[int]]:
        groups = list(self._groups.values())
        rng = None if self.seed is None else np.random.default_rng((self.seed, self.epoch))
        if rng is not None:
            groups = [rng.permutation(group).tolist() for group in groups]
        batches = [
            group[start : start + self.batch_size]
            for group in groups
            for start in range(0, len(group), self.batch_size)
        ]
        return batches if rng is None else [batches[place] for place in rng.permutation(len(batches))]
