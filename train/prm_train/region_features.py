"""What a network makes of every superpixel of the training pictures, for the mask head to learn from."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from prm_proposals.generator import ProposalGenerator
from prm_proposals.pooling import pool_features
from prm_proposals.regions import RegionGraph
from prm_proposals.settings import WalkSettings
from prm_proposals.walk import class_prior
from prm_runtime.console import PrmError
from prm_train.config import MaskRecipe
from prm_train.data import LabelledPictures, normalise, single_threaded
from prm_train.fcn import FullyConvolutional
from prm_train.progress import progress_bar
from prm_train.pseudo_masks import LabelledRegions, without_label_map

_Item = tuple[Tensor, Tensor, RegionGraph]


class _PicturesWithRegions(TorchDataset[_Item]):
    """Pictures, uint8 [3, h, w], their labels, float [C], and their superpixels."""

    def __init__(self, pictures: LabelledPictures) -> None:
        self._pictures = pictures
        self._generator = ProposalGenerator()

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> _Item:
        picture, labels = self._pictures[index]
        image = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
        return picture, labels, self._generator.regions(image)


@torch.no_grad()
def region_features(
    network: FullyConvolutional,
    pictures: LabelledPictures,
    recipe: MaskRecipe,
    folder: Path,
    workers: int,
) -> tuple[NDArray[np.float16], list[LabelledRegions]]:
    """Pool the outputs of the backbone's tapped blocks over the superpixels of every picture.

    A picture whose class maps do not respond to one of its labels has nothing to teach and is left out.

    Args:
        network: The trained network; it is left in eval mode.
        pictures: The training pictures as a device sees them.
        recipe: ``map_shift``, ``foreground_level`` and ``foreground_scale`` of the first pseudo-masks.
        folder: Whose disk holds the features, about 1 kB a superpixel, for as long as the array lives; the
            file has no name there.
        workers: Processes that decode pictures and find their superpixels.

    Returns:
        The features, mapped from a file, float16 [superpixels, channels of all tapped blocks], and the
        pictures they belong to.

    Raises:
        PrmError: If class maps respond to no picture's labels, or features do not fit into float16.
    """
    network.eval()
    walk = WalkSettings(foreground_level=recipe.foreground_level, foreground_scale=recipe.foreground_scale)
    loader = DataLoader(
        _PicturesWithRegions(pictures), batch_size=None, num_workers=workers, worker_init_fn=single_threaded
    )
    regions: list[LabelledRegions] = []
    rows, width = 0, 0
    with TemporaryFile(dir=folder) as file, progress_bar(enabled=True) as progress:
        for picture, labels, graph in progress.track(loader, len(pictures), description="superpixels"):
            M, outputs = _respond(network, picture)
            classes = np.flatnonzero(labels.numpy())
            if (M[classes].max(axis=(1, 2)) <= 0).any():
                continue
            pooled = [pool_features(output, graph.labels, graph.count) for output in outputs]
            with np.errstate(over="ignore"):
                features = np.concatenate(pooled, axis=1).astype(np.float16)
            if not np.isfinite(features).all():
                raise PrmError(
                    "the backbone's blocks give features beyond float16 (65504): leave out mask_head, or"
                    " train with lower rates"
                )
            file.write(features.tobytes())
            prior = class_prior(M[classes], graph, walk, recipe.map_shift).astype(np.float32)
            regions.append(LabelledRegions(without_label_map(graph), classes, prior, rows))
            rows, width = rows + graph.count, features.shape[1]
        if not regions:
            raise PrmError(
                "the class maps respond to no training picture's labels: train the classifier for longer"
            )
        file.flush()
        return np.memmap(file, np.float16, "r", shape=(rows, width)), regions


def _respond(
    network: FullyConvolutional, picture: Tensor
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """M, [C, h, w], and the outputs of the tapped blocks, [D_i, h_i, w_i], of a picture, uint8 [3, H, W]."""
    backbone = network.backbone
    inputs = normalise(picture[None].to(network.classifier.weight.device), backbone.mean, backbone.std)
    features, outputs = backbone.forward_with_blocks(inputs, backbone.taps)
    M, *blocks = (
        maps[0].float().cpu().numpy()
        for maps in (network.classifier(features), *(outputs[block] for block in backbone.taps))
    )
    return M, blocks
