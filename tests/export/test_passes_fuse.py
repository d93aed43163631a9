"""The fused graph against the two that it is made of."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fixtures.small_nets import Compiled, options, random_image, residual_net

from prm_export.errors import ExportError
from prm_export.passes.fuse import fuse
from prm_export.pipeline import build_graphs, graph_spec
from prm_runtime.backends import BACKENDS, create_backend

ROWS = 40  # more than the picture has peaks


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("split", [None, 2])
def test_one_call_gives_what_two_give(engine: str, split: int | None) -> None:
    if BACKENDS[engine].missing():
        pytest.skip(f"{engine} is not installed")
    graphs = build_graphs(residual_net(), options(1, max_peaks=ROWS, split_stride=split))
    image = random_image()
    found = (
        create_backend(engine, 1)
        .compile(fuse(graphs.forward, graphs.backprop).SerializeToString())
        .run({"image": image})
    )
    compiled = Compiled(graphs, engine)
    expected = compiled.forward(image)
    kept = [name for name in expected if not name.startswith("gain_")]
    assert list(found) == [*kept, "prms"]
    for name in kept:
        np.testing.assert_array_equal(found[name], expected[name])
    table = expected["peaks"][0]
    live = table[:, 0] >= 0
    assert 1 < live.sum() < ROWS
    prms = compiled.backprop(table[live], expected)
    np.testing.assert_allclose(found["prms"][live], prms, rtol=1e-4, atol=1e-7)
    assert not found["prms"][~live].any()


def test_maps_of_one_row_do_not_mind_padding() -> None:
    graphs = build_graphs(residual_net(), options(1, max_peaks=ROWS))
    fused = create_backend("onnxruntime", 1).compile(
        fuse(graphs.forward, graphs.backprop).SerializeToString()
    )
    prms = fused.run({"image": random_image(size=(4, 4))})["prms"]
    assert prms.shape == (ROWS, 4, 4)
    np.testing.assert_allclose(prms.sum((1, 2)).max(), 1, atol=1e-5)


def test_its_signature_says_how_many_maps_there_are() -> None:
    graphs = build_graphs(residual_net(), options(2, max_peaks=ROWS))
    spec = graph_spec("fused.onnx", fuse(graphs.forward, graphs.backprop))
    assert [tensor.name for tensor in spec.inputs] == ["image"]
    assert (spec.outputs[-1].name, spec.outputs[-1].shape) == ("prms", (ROWS, "height/2", "width/2"))


def test_batches_are_not_fused() -> None:
    graphs = build_graphs(residual_net(), options(1, batch=2))
    with pytest.raises(ExportError, match="leave out --fused or --batch"):
        fuse(graphs.forward, graphs.backprop)
