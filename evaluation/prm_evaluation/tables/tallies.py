"""All tallies of one bundle, and the one pass over the pictures that fills them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial, reduce

from prm_evaluation.datasets import GroundTruthDataset, Sample
from prm_evaluation.methods import METHODS
from prm_evaluation.metrics import merged
from prm_evaluation.parallel import map_chunks
from prm_evaluation.tables.ablation import AblationTally
from prm_evaluation.tables.baselines import BoxTally
from prm_evaluation.tables.boxes import class_map_boxes, truth_boxes
from prm_evaluation.tables.bundles import Measured
from prm_evaluation.tables.classes import ConfusionTally
from prm_evaluation.tables.figures import MaskFigures
from prm_evaluation.tables.galleries import GalleryTally
from prm_evaluation.tables.localisation import LocalisationTally
from prm_evaluation.tables.picture import MeasuredPicture, read_with_truth, retrieve
from prm_evaluation.tables.quality import QualityTally
from prm_evaluation.tables.semantic import SemanticTally
from prm_evaluation.tables.sizes import SizeTally
from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.segmenter import Segmenter

COUNTED: dict[str, frozenset[str]] = {
    "1": frozenset({"localisation"}),
    "2": frozenset({"quality"}),
    "fig6": frozenset({"quality"}),
    "3": frozenset({"semantic"}),
    "4": frozenset({"instances", "truth_boxes", "map_boxes"}),
    "5": frozenset({"instances", "ablation"}),
    "6": frozenset({"galleries"}),
    "sizes": frozenset({"sizes"}),
    "classes": frozenset({"localisation", "quality", "semantic", "instances"}),
    "confusion": frozenset({"confusions"}),
}
"""What has to be counted for each table: attributes of :class:`Tallies`."""

_WITHOUT_MASKS = frozenset({"localisation", "quality", "truth_boxes", "map_boxes"})


class Tallies:
    """What is counted on the pictures of one bundle, table by table.

    Attributes:
        counted: Names of the attributes below that count; the others stay empty.
        localisation: Table 1.
        quality: Table 2 and Fig. 6.
        semantic: Table 3, by retrieval method.
        instances: Table 4, by retrieval method.
        truth_boxes: Table 4, ground-truth boxes.
        map_boxes: Table 4, boxes of class maps.
        ablation: Table 5.
        galleries: Table 6.
        sizes: By retrieval method.
        confusions: By retrieval method.
    """

    def __init__(
        self, num_classes: int, settings: RetrievalSettings, tables: Iterable[str] = tuple(COUNTED)
    ) -> None:
        """Begin to count for ``tables``, keys of :data:`COUNTED`."""
        self.counted = frozenset().union(*(COUNTED[table] for table in tables))
        self.localisation = LocalisationTally(num_classes)
        self.quality = QualityTally(num_classes)
        self.semantic = {method: SemanticTally(num_classes) for method in METHODS}
        self.instances = {method: MaskFigures(num_classes) for method in METHODS}
        self.truth_boxes = BoxTally(num_classes)
        self.map_boxes = BoxTally(num_classes)
        self.ablation = AblationTally(num_classes, settings)
        self.galleries = GalleryTally(num_classes)
        self.sizes = {method: SizeTally() for method in METHODS}
        self.confusions = {method: ConfusionTally(num_classes) for method in METHODS}

    @property
    def wants_masks(self) -> bool:
        """Whether anything that counts looks at retrieved instances."""
        return not self.counted <= _WITHOUT_MASKS

    def update(self, picture: MeasuredPicture) -> None:
        """Add one picture."""
        updates: dict[str, Callable[[], None]] = {
            "localisation": lambda: self.localisation.update(picture),
            "quality": lambda: self.quality.update(picture),
            "truth_boxes": lambda: self.truth_boxes.update(picture, truth_boxes(picture.truth)),
            "map_boxes": lambda: self.map_boxes.update(picture, class_map_boxes(picture)),
            "ablation": lambda: self.ablation.update(picture),
            "galleries": lambda: self.galleries.update(picture),
        }
        for name, update in updates.items():
            if name in self.counted:
                update()
        for method in METHODS:
            if "instances" in self.counted:
                self.instances[method].update(picture.found[method], picture.truth)
            if "semantic" in self.counted:
                self.semantic[method].update(picture, method)
            if "sizes" in self.counted:
                self.sizes[method].update(picture, method)
            if "confusions" in self.counted:
                self.confusions[method].update(picture, method)


class PictureWork:
    """Bundles on pictures: what one process does of the tables.

    Args:
        bundles: All of the data's classes.
        dataset: Pictures and ground truth.
        backend: Inference engine.
        tables: Keys of :data:`COUNTED`: what to count for.
    """

    def __init__(
        self, bundles: Sequence[Bundle], dataset: GroundTruthDataset, backend: str, tables: Sequence[str]
    ) -> None:
        # one thread, so that no figure depends on how many there are
        engine = create_backend(backend, threads=1)
        self._dataset = dataset
        self._tables = tables
        self._segmenters = [Segmenter(bundle, engine) for bundle in bundles]

    def __call__(self, samples: Sequence[Sample]) -> list[Tallies]:
        """What each bundle's tallies count on some pictures.

        Raises:
            PrmError: If a picture cannot be read, or its truth has another size.
        """
        count = len(self._dataset.classes)
        tallies = [Tallies(count, segmenter.settings, self._tables) for segmenter in self._segmenters]
        for sample in samples:
            frame, truth = read_with_truth(self._dataset, sample)
            for segmenter, each in zip(self._segmenters, tallies, strict=True):
                evidence, settings = segmenter.evidence(frame), segmenter.settings
                found = {
                    method: retrieve(evidence, replace(settings, method=method), truth.size)
                    for method in (METHODS if each.wants_masks else ())
                }
                each.update(MeasuredPicture(frame, truth, evidence, settings, found))
        return tallies


def measure(
    bundles: Sequence[Bundle],
    dataset: GroundTruthDataset,
    samples: Sequence[Sample],
    backend: str,
    processes: int = 1,
    advance: Callable[[int], None] = lambda _: None,
    tables: Sequence[str] = tuple(COUNTED),
) -> list[Measured]:
    """Run every bundle once over every picture.

    Args:
        bundles: At least one; all of the data's classes.
        dataset: Pictures and ground truth.
        samples: The pictures to measure, at least one.
        backend: Inference engine.
        processes: Worker processes; the figures do not depend on how many.
        advance: Called after each chunk of pictures with its length.
        tables: Keys of :data:`COUNTED`: what to count for.

    Returns:
        The bundles with their tallies, in the order given.

    Raises:
        PrmError: If the bundles' classes differ, a picture cannot be read, or its truth has another size.
    """
    for bundle in bundles:
        if bundle.manifest.classes != dataset.classes:
            raise PrmError(
                f"{bundle.path} knows other classes than the data; tables compare bundles of the same"
            )
    parts = map_chunks(partial(PictureWork, bundles, dataset, backend, tables), samples, processes, advance)
    tallies = reduce(lambda total, part: [merged(pair) for pair in zip(total, part, strict=True)], parts)
    return [Measured.of(bundle.manifest, each) for bundle, each in zip(bundles, tallies, strict=True)]
