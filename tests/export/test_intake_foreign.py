"""Habits of exporters, one at a time: each file becomes a classifier whose scores and maps are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.command_line import Command
from tests.fixtures.exporter_styles import CLASSES, Writer
from tests.fixtures.foreign_maps import PREPROCESSING, agreement
from tests.fixtures.foreign_styles import STYLES, finish, scores, stem

from prm_export.errors import ExportError
from prm_export.foreign import check_scores
from prm_export.intake.classifier import import_classifier
from prm_runtime.bundle import Bundle


@pytest.mark.parametrize("style", STYLES)
def test_styles(style: str, tmp_path: Path) -> None:
    foreign = import_classifier(STYLES[style](tmp_path / "net.onnx"), CLASSES)
    assert check_scores(foreign, draw_blobs()[0], PREPROCESSING).error < 1e-4
    stop_stride = 4 if style == "large_first_strides" else 2
    error, correlation = agreement(foreign, stop_stride, size=3 * foreign.multiple)
    assert error < 1e-3
    assert correlation >= 0.9999


def test_networks_of_stride_64_take_pictures_of_multiples_of_64(tmp_path: Path) -> None:
    assert import_classifier(STYLES["stride_64"](tmp_path / "net.onnx"), CLASSES).multiple == 64
    assert import_classifier(STYLES["log_softmax"](tmp_path / "net.onnx"), CLASSES).multiple == 32


def test_strides_that_no_picture_is_a_multiple_of_are_refused(tmp_path: Path) -> None:
    net = Writer()
    x = net.node("Relu", net.conv(stem(net), (12, 12, 10, 10), strides=[10, 10]))
    path = finish(
        net, tmp_path / "net.onnx", scores(net, net.node("Flatten", net.node("GlobalAveragePool", x)))
    )
    with pytest.raises(ExportError, match=r"strides of 40 pixels, .* multiples of 160: up to 128"):
        import_classifier(path, CLASSES)


def test_the_stop_is_the_next_that_there_is(prm_export: Command, tmp_path: Path) -> None:
    file, output = STYLES["large_first_strides"](tmp_path / "net.onnx"), tmp_path / "net.prm"
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    arguments = ("--onnx", file, "--labels", labels, "--size", 96, "-o", output)
    result = prm_export(*arguments)
    assert result.code == 0, result.err
    assert Bundle.open(output).manifest.peaks.stop_stride == 4
    result = prm_export(*arguments, "--stop-stride", 2)
    assert "use --stop-stride with one of 1, 4, 8" in result.err.replace("\n", " ")


def refusal(path: Path) -> str:
    with pytest.raises(ExportError) as caught:
        import_classifier(path, CLASSES)
    return str(caught.value)


def test_all_layers_without_a_rule_are_named_with_those_of_the_head(tmp_path: Path) -> None:
    net = Writer()
    ones, zeros = np.ones(12, np.float32), np.zeros(12, np.float32)
    x = net.node("InstanceNormalization", stem(net), ones, zeros)
    x = net.node("Exp", net.node("Mul", x, x))
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    x = net.node("Add", scores(net, net.node("Erf", x)), net.node("CumSum", scores(net, x), np.int64(1)))
    message = refusal(finish(net, tmp_path / "net.onnx", x))
    assert "the head cannot be applied cell by cell because of Erf" in message
    for operator in ("CumSum", "InstanceNormalization", "Mul", "Exp"):
        assert f"{operator} '{operator}:" in message
    assert message.count("Relu '") == 0
    assert "rules exist for Add, AveragePool," in message


def test_operators_of_other_domains_are_named_with_the_rest(tmp_path: Path) -> None:
    net = Writer()
    x = net.node("Exp", stem(net))
    path = finish(
        net, tmp_path / "net.onnx", scores(net, net.node("Flatten", net.node("GlobalAveragePool", x)))
    )
    model = onnx.load(path)
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type, node.domain, node.name = "FusedRelu", "com.example", "stem/act"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, path)
    message = refusal(path)
    assert "no rule for com.example::FusedRelu 'stem/act', Exp 'Exp:" in message


def test_a_network_without_maps_is_no_convolutional_classifier(tmp_path: Path) -> None:
    net = Writer()
    x = net.node("Gemm", net.node("Flatten", "x"), net.matrix(3 * 64 * 64, CLASSES), net.vector(CLASSES))
    assert "the model is no convolutional classifier" in refusal(finish(net, tmp_path / "net.onnx", x))


def test_a_pool_that_rounds_up_and_counts_its_padding_is_named(tmp_path: Path) -> None:
    net = Writer()
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}
    x = net.node("AveragePool", stem(net), pads=[1, 1, 1, 1], **pool)
    path = finish(
        net, tmp_path / "net.onnx", scores(net, net.node("Flatten", net.node("GlobalAveragePool", x)))
    )
    assert "the padding of AveragePool 'AveragePool:4' depends on the size" in refusal(path)
