"""Batches of one picture size: complete, shuffled, shared between processes."""

from __future__ import annotations

from collections import Counter

import pytest

from prm_train.batches import SameSizeBatches, Size

SIZES: list[Size] = [(32, 48) if n % 3 else (48, 32) for n in range(21)]  # 14 wide, 7 tall


def test_a_batch_has_one_size_and_an_epoch_every_picture_once() -> None:
    batches = list(SameSizeBatches(SIZES, 4, seed=0))
    assert all(len({SIZES[index] for index in batch}) == 1 for batch in batches)
    assert sorted(index for batch in batches for index in batch) == list(range(21))
    assert sorted(len(batch) for batch in batches) == [2, 3, 4, 4, 4, 4]


def test_each_epoch_shuffles_anew_and_only_seed_and_epoch_decide() -> None:
    batches = SameSizeBatches(SIZES, 4, seed=0)
    orders = []
    for epoch in (0, 1, 0):
        batches.epoch = epoch
        orders.append(list(batches))
    assert orders[0] == orders[2] != orders[1]
    assert sorted(map(sorted, orders[0])) != sorted(map(sorted, orders[1]))
    assert list(SameSizeBatches(SIZES, 4, seed=1)) != orders[0]


def test_without_a_seed_the_order_is_kept() -> None:
    assert list(SameSizeBatches(SIZES, 8)) == [
        [0, 3, 6, 9, 12, 15, 18],
        [1, 2, 4, 5, 7, 8, 10, 11],
        [13, 14, 16, 17, 19, 20],
    ]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 7])
def test_processes_share_the_batches_and_make_the_same_number_of_steps(world_size: int) -> None:
    samplers = [SameSizeBatches(SIZES, 4, seed=3, rank=r, world_size=world_size) for r in range(world_size)]
    shares = [list(sampler) for sampler in samplers]
    assert [len(share) for share in shares] == [len(sampler) for sampler in samplers]
    assert len({len(share) for share in shares}) == 1
    seen = Counter(index for share in shares for batch in share for index in batch)
    assert set(seen) == set(range(21))
    repeated = len(samplers[0]) * world_size - 6
    assert sum(len(batch) for share in shares for batch in share) - 21 <= 4 * repeated
    assert repeated < world_size


def test_the_number_of_steps_does_not_depend_on_the_epoch() -> None:
    batches = SameSizeBatches(SIZES, 5, seed=0)
    for epoch in range(4):
        batches.epoch = epoch
        assert len(list(batches)) == len(batches) == 5


def test_one_picture_is_one_batch_for_every_process() -> None:
    shares = [list(SameSizeBatches([(32, 32)], 16, seed=0, rank=rank, world_size=3)) for rank in range(3)]
    assert shares == [[[0]]] * 3
