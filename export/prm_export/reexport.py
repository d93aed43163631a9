"""A bundle as the material of another one: its network without what passes added to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common_passes
import torch
from torch import Tensor

from prm_export.emit import array_of
from prm_export.errors import ExportError
from prm_export.material import Material
from prm_export.passes.class_scores import CLASS_SCORES
from prm_export.passes.lazy_gains import HANDED
from prm_export.pipeline import CLASS_MAPS
from prm_export.precision.trunk import ADDED
from prm_export.share_kernels import FittedShares, kernels_in
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.manifest import Provenance


def bundle_material(path: Path, rules: str = "paper") -> Material:
    """The network of a bundle with everything that its manifest says of it.

    The classifier keeps its class scores: how they are made is in the graph, and nowhere else.

    Args:
        path: A bundle that computes in float32.
        rules: How its peaks will be back-propagated, a key of ``prm_export.rules.RULES``.

    Raises:
        ExportError: If the bundle's weights were rounded for a lower precision, or batch norm was folded into
            them where the rules want it apart.
        BundleError: If it cannot be read.
    """
    bundle = Bundle.open(path)
    manifest = bundle.manifest
    if manifest.precision != "fp32":
        raise ExportError(
            f"{path} computes in {manifest.precision}, its weights are rounded: give the bundle in fp32 "
            "that it was made beside, with --precision for the new one"
        )
    if rules == "reference" and manifest.peaks.rules != rules:
        raise ExportError(
            f"{path} has its batch norm folded, which --rule reference wants apart: give the checkpoint"
        )
    classifier = classifier_of(onnx.load_from_string(bundle.read(manifest.forward.file)))
    source = create_backend("onnxruntime").compile(classifier.SerializeToString())

    def reference(image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        outputs = source.run({"image": image.numpy()})
        values = {name: torch.from_numpy(np.asarray(value)) for name, value in outputs.items()}
        return values.pop(CLASS_MAPS), values

    return Material(
        classifier=classifier,
        reference=reference,
        classes=manifest.classes,
        preprocessing=manifest.preprocessing,
        aggregation=None,
        provenance=_before(manifest.provenance),
        proposals=manifest.proposals,
        retrieval=manifest.retrieval,
        max_peaks=manifest.peaks.max_peaks,
        window=manifest.peaks.window,
        reference_name=path.name,
        shares=_shares(bundle),
    )


def _shares(bundle: Bundle) -> FittedShares | None:
    """The share kernels of a bundle, if any were fitted to its walk."""
    peaks = bundle.manifest.peaks
    if peaks.split_reach is None:
        return None
    kernels = kernels_in(onnx.load_from_string(bundle.read(bundle.manifest.backprop.file)))
    if kernels is None:
        return None
    return FittedShares(kernels, peaks.split_reach, peaks.stop_stride, peaks.stop_early)


def classifier_of(forward: onnx.ModelProto) -> onnx.ModelProto:
    """The part of a forward graph that is the network itself, for one image of free sides.

    Returns:
        Model with the input ``image`` and the outputs ``class_maps``, the features, ``mask_logits`` if there
        is a mask head, and ``class_scores``; weights are float32.
    """
    model = ir.from_proto(forward)
    outputs = {value.name or "": value for value in model.graph.outputs}
    features = [value for name, value in outputs.items() if name != CLASS_MAPS and not name.startswith(ADDED)]
    model.graph.outputs[:] = [outputs[CLASS_MAPS], *features, outputs[CLASS_SCORES]]
    ranks = [0 if value.shape is None else len(value.shape) for value in model.graph.outputs]
    model.graph.inputs[0].shape = ir.Shape(("batch", 3, "height", "width"))
    for node in model.graph:
        for value in node.outputs:
            value.shape = None  # as stated for the sides and batches of this bundle
            if value.name is not None and value.name.startswith(HANDED):
                value.name = None  # the network's own value; the name belongs to what will be handed over
    for value, rank in zip(model.graph.outputs, ranks, strict=True):
        value.shape = ir.Shape([None] * rank)
    model.functions.clear()
    common_passes.NameFixPass()(model)
    _restore_weights(model)
    common_passes.RemoveUnusedNodesPass()(model)
    common_passes.RemoveUnusedOpsetsPass()(model)
    model.graph.name = "classifier"
    proto: onnx.ModelProto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto


def _restore_weights(model: ir.Model) -> None:
    """Weights that are stored as float16 as float32 initializers, as a checkpoint's classifier has them."""
    for node in list(model.graph):
        value = node.outputs[0]
        array = array_of(value) if node.op_type == "Cast" else None
        if array is None or array.dtype != np.float32:
            continue
        weight = ir.val(value.name, const_value=ir.tensor(array, name=value.name))
        ir.convenience.replace_all_uses_with(value, weight)
        model.graph.remove(node, safe=True)
        model.graph.register_initializer(weight)


def _before(provenance: Provenance) -> Provenance:
    """Where the network comes from, with the note that the figures are those of the bundle given."""
    note, known = "measured before it was exported again", provenance.metrics_protocol
    if not provenance.metrics or (known or "").endswith(note):
        return provenance
    return provenance.model_copy(update={"metrics_protocol": note if known is None else f"{known}; {note}"})
