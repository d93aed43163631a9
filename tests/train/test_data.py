"""Labelled pictures as batches: what is random depends on seed, epoch and index alone."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.ExifTags import Base as ExifTag
from tests.fixtures.media import write_png

from prm_evaluation.datasets import Sample, open_dataset
from prm_runtime.console import PrmError
from prm_runtime.manifest import Preprocessing
from prm_train.augment import augment, fit
from prm_train.batches import SameSizeBatches
from prm_train.data import LabelledPictures, batch_loader, input_sizes, normalise, read_picture

PREPROCESSING = Preprocessing(size=32, multiple=8, mean=(0, 0, 0), std=(1, 1, 1))
AUGMENT = partial(augment, preprocessing=PREPROCESSING, least_crop=0.8, jitter=0.3)
FIT = partial(fit, preprocessing=PREPROCESSING)


@dataclass(frozen=True)
class NumberedPictures:
    """A data set whose only picture is listed ``count`` times; labels are bits of the number."""

    picture: Path
    count: int
    classes: tuple[str, ...] = tuple("abcde")

    @property
    def samples(self) -> list[Sample]:
        return [
            Sample(str(n), self.picture, frozenset(c for bit, c in enumerate(self.classes) if n >> bit & 1))
            for n in range(self.count)
        ]


@pytest.fixture
def numbered(tmp_path: Path) -> NumberedPictures:
    return NumberedPictures(write_png(tmp_path / "one.png", np.zeros((8, 8, 3), np.uint8)), 21)


def test_items_are_planar_rgb_and_zeros_and_ones(folder: Path) -> None:
    pictures = LabelledPictures(open_dataset(folder, "train"), FIT)
    assert len(pictures) == 8
    picture, labels = pictures[1]
    assert (picture.shape, picture.dtype) == ((3, 24, 32), torch.uint8)
    assert (labels.tolist(), labels.dtype) == ([0, 1, 0], torch.float32)  # blue, green, red
    red, green, blue = picture.float().amax((1, 2)) - picture.float().amin((1, 2))
    assert red > 80 < blue  # a green disc on grey: red and blue fall, green does not
    assert green > 50


def test_a_picture_of_nothing_has_no_label(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "labels.csv").write_text("a.png,\n")
    pictures = LabelledPictures(open_dataset(tmp_path, "train", ("cat", "dog")), FIT)
    assert pictures[0][1].tolist() == [0, 0]
    assert pictures.present_class_ids() == []


def test_present_classes_are_those_of_at_least_one_picture(numbered: NumberedPictures) -> None:
    assert LabelledPictures(replace(numbered, count=3), FIT).present_class_ids() == [0, 1]
    assert LabelledPictures(numbered, FIT).present_class_ids() == [0, 1, 2, 3, 4]


def test_a_picture_depends_on_seed_epoch_and_index_alone(folder: Path) -> None:
    dataset = open_dataset(folder, "train")
    pictures = LabelledPictures(dataset, AUGMENT, seed=3, epoch=5)
    forwards = [pictures[n][0] for n in range(8)]
    assert all(torch.equal(pictures[n][0], forwards[n]) for n in reversed(range(8)))
    for seed, epoch, same in ((3, 5, True), (4, 5, False), (3, 6, False), (5, 3, False)):
        others = LabelledPictures(dataset, AUGMENT, seed, epoch)
        assert all(torch.equal(others[n][0], forwards[n]) == same for n in range(8))


def test_pictures_travel_to_worker_processes_that_are_not_forked(folder: Path) -> None:
    pictures = LabelledPictures(open_dataset(folder, "train"), AUGMENT, seed=1, epoch=2)
    copy = pickle.loads(pickle.dumps(pictures))  # noqa: S301 - as a spawned worker gets it
    assert torch.equal(copy[4][0], pictures[4][0])


def test_batches_are_the_same_with_worker_processes(folder: Path) -> None:
    dataset = open_dataset(folder, "train")
    pictures = LabelledPictures(dataset, AUGMENT, seed=1)
    batches = SameSizeBatches(input_sizes(dataset, PREPROCESSING), 3, seed=1)
    here, there = (list(batch_loader(pictures, batches, workers)) for workers in (0, 2))
    assert [len(x) for x, _ in here] == [len(x) for x, _ in there]
    assert len(here) == 3
    for (x, y), (other_x, other_y) in zip(here, there, strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_sizes_are_those_of_the_pictures_without_decoding_them(tmp_path: Path) -> None:
    for name, shape in {"a": (40, 80), "b": (80, 40), "c": (30, 30)}.items():
        write_png(tmp_path / f"{name}.png", np.zeros((*shape, 3), np.uint8))
    (tmp_path / "labels.csv").write_text("a.png,x\nb.png,x\nc.png,\n")
    dataset = open_dataset(tmp_path, "train")
    assert input_sizes(dataset, PREPROCESSING) == [(16, 32), (32, 16), (32, 32)]
    pictures = LabelledPictures(dataset, FIT)
    assert [tuple(pictures[n][0].shape[1:]) for n in range(3)] == input_sizes(dataset, PREPROCESSING)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_taken_on_the_side_are_batched_as_they_are_read(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTag.Orientation] = orientation
    Image.new("RGB", (80, 40)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "labels.csv").write_text("a.jpg,x\n")
    dataset = open_dataset(tmp_path, "train")
    assert [LabelledPictures(dataset, FIT)[0][0].shape[1:]] == input_sizes(dataset, PREPROCESSING)


def test_a_picture_without_a_readable_header_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "labels.csv").write_text("a.png,x\n")
    with pytest.raises(PrmError, match=r"cannot read the size of the picture .*a\.png: use JPEG"):
        input_sizes(open_dataset(tmp_path, "train"), PREPROCESSING)


def test_pictures_are_read_as_rgb(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = write_png(tmp_path / "a.png", image)
    assert np.array_equal(read_picture(Sample("a", path, frozenset())), image)
    path.write_bytes(b"no picture")
    with pytest.raises(PrmError, match=r"cannot decode the picture .*a\.png"):
        read_picture(Sample("a", path, frozenset()))


def test_normalised_pictures_are_shifted_scaled_and_channels_last() -> None:
    pictures = torch.tensor([0, 100, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 4, 6)
    x = normalise(pictures, (127.0, 100.0, 55.0), (128.0, 2.0, 50.0))
    assert x.dtype == torch.float32
    assert x[1, :, 2, 3].tolist() == pytest.approx([-127 / 128, 0, 4])
    assert x.is_contiguous(memory_format=torch.channels_last)
