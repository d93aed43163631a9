"""Gains apart: first times what a layer put out, then divided by what it could have put out.

Where walks have joined, (G · V⁺) / N takes as long as G · (V⁺ / N). But G and V⁺ both come out of
convolutions, and engines multiply such maps in the layout that convolutions leave them in.
"""

from __future__ import annotations

import onnx_ir as ir

from prm_export.emit import Emitter, input_of
from prm_export.passes.state_shapes import dims_of, state

ACTIVATIONS = {"Clip", "Relu"}


def divide_last(reverse: ir.Model) -> ir.Model:
    """Take gains apart in a reverse graph whose shapes are stated."""
    for node in list(reverse.graph):
        if node.op_type != "Mul":
            continue
        G, gain = input_of(node, 0), input_of(node, 1)
        ratio = gain.producer()
        if ratio is None or ratio.op_type != "Div" or len(gain.uses()) != 1 or not _of_convolutions(G, ratio):
            continue
        emitter = Emitter()
        product = emitter.op("Mul", G, input_of(ratio, 0))
        quotient = emitter.op("Div", product, input_of(ratio, 1))
        for value in (product, quotient):
            state(value, dims_of(G))
        reverse.graph.insert_before(node, emitter.nodes)
        ir.convenience.replace_all_uses_with(node.outputs[0], quotient)
        reverse.graph.remove([node, ratio], safe=True)
    return reverse


def _of_convolutions(G: ir.Value, ratio: ir.Node) -> bool:
    """Whether G and the numerator of a gain are maps of one shape that convolutions put out."""
    V = input_of(ratio, 0)
    producer = V.producer()
    if producer is not None and producer.op_type in ACTIVATIONS:
        V = input_of(producer)
    made = [value.producer() for value in (G, V)]
    alike = dims_of(G) is not None and dims_of(G) == dims_of(input_of(ratio, 0))
    return alike and all(maker is not None and maker.op_type == "Conv" for maker in made)
