"""The PeakFind node reaches a registered plugin, with its fields; shown with TensorRT-RTX's parser."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.fixtures.peak_maps import peak_find_model

from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.console import PrmError
from prm_runtime.engines.build import parse
from prm_runtime.engines.flavors import load_flavor

trt = pytest.importorskip("tensorrt_rtx", reason='needs TensorRT-RTX: pip install "prm-edge[tensorrt-rtx]"')
FIELDS = {"window": trt.PluginFieldType.INT32, "max_peaks": trt.PluginFieldType.INT32}
FIELDS["threshold"] = trt.PluginFieldType.FLOAT32


class Spy(trt.IPluginCreatorV3One):  # type: ignore[misc]
    """Records what the parser asks it for, and makes nothing."""

    def __init__(self) -> None:
        trt.IPluginCreatorV3One.__init__(self)
        self.name, self.plugin_namespace, self.plugin_version = "PeakFind", "prm", "1"
        fields = [trt.PluginField(name, np.array([]), kind) for name, kind in FIELDS.items()]
        self.field_names = trt.PluginFieldCollection(fields)
        self.asked: list[dict[str, Any]] = []

    def create_plugin(self, name: str, fields: Any, phase: Any) -> None:
        values = {field.name: np.array(field.data).item() for field in fields}
        self.asked.append({"name": name, **values})


def parsed(model: bytes, creator: Spy | None) -> list[str]:
    """Types of the layers that TensorRT-RTX makes of a graph."""
    flavor, registry = load_flavor("tensorrt-rtx"), trt.get_plugin_registry()
    if creator is not None:
        assert registry.register_creator(creator, "prm")
    try:
        builder = trt.Builder(flavor.logger)
        network = flavor.create_network(builder)  # to be kept while parsing
        parse(flavor, network, model)
        return [network.get_layer(index).type.name for index in range(network.num_layers)]
    finally:
        if creator is not None:
            registry.deregister_creator(creator)


def test_without_a_plugin_the_function_body_is_taken() -> None:
    layers = parsed(peak_find_model(3, 16).SerializeToString(), None)
    assert "TOPK" in layers
    assert "PLUGIN_V3" not in layers


def test_the_node_of_the_shipped_model_reaches_a_plugin_with_its_fields() -> None:
    # a registered plugin comes before the body: asked in vain, it ends the parsing
    bundle, spy = Bundle.open(shipped_bundle()), Spy()
    with pytest.raises(PrmError, match=r"PeakFind 'PeakFind': .*[Cc]ould not create the plugin"):
        parsed(bundle.read("forward.onnx"), spy)
    (asked,) = spy.asked
    lowest = float(np.finfo(np.float32).min)
    assert asked == {"name": "PeakFind", "window": 3, "max_peaks": 64, "threshold": lowest}
