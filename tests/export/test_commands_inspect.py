"""``prm-export inspect BUNDLE``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fixtures.command_line import Command
from tests.fixtures.networks import CLASSES, INPUT_SIZE, Network
from tests.fixtures.tiny_backbone import CHANNELS

from prm_export.pipeline import build_graphs, graph_spec
from prm_runtime.bundle import Bundle, write_bundle
from prm_runtime.manifest import Manifest, Preprocessing, Provenance


@pytest.fixture
def bundle(tiny: Network, tmp_path: Path) -> Path:
    graphs = build_graphs(tiny.classifier, tiny.options(stop_stride=4))
    manifest = Manifest(
        name="tiny",
        classes=CLASSES,
        preprocessing=Preprocessing(size=INPUT_SIZE, mean=(0, 0, 0), std=(1, 1, 1)),
        forward=graph_spec("forward.onnx", graphs.forward),
        backprop=graph_spec("backprop.onnx", graphs.backprop),
        provenance=Provenance(prm_edge_version="0", created="today", metrics={"walk mAP50": 12.5}),
    )
    members = {
        "forward.onnx": graphs.forward.SerializeToString(),
        "backprop.onnx": graphs.backprop.SerializeToString(),
    }
    write_bundle(tmp_path / "tiny.prm", manifest, members)
    return tmp_path / "tiny.prm"


def test_json_holds_everything(prm_export: Command, bundle: Path) -> None:
    result = prm_export("inspect", bundle, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["measured_at"] == [INPUT_SIZE, INPUT_SIZE]
    assert found["bytes"] == bundle.stat().st_size
    assert found["manifest"]["provenance"]["metrics"] == {"walk mAP50": 12.5}
    forward, backprop = found["graphs"]
    opened = Bundle.open(bundle)
    assert [forward["bytes"], backprop["bytes"]] == [
        len(opened.read("forward.onnx")),
        len(opened.read("backprop.onnx")),
    ]
    assert forward["opset"] == {"ai.onnx": 20, "prm": 1}
    assert forward["inputs"][0]["shape"] == [1, 3, "height", "width"]
    sizes = {tensor["name"]: tensor["size"] for tensor in forward["outputs"]}
    assert sizes["class_maps"] == [1, len(CLASSES), INPUT_SIZE // 32, INPUT_SIZE // 32]
    assert backprop["outputs"][0]["size"] == [1, INPUT_SIZE // 4, INPUT_SIZE // 4]


def test_the_cost_of_a_peak_is_that_of_its_layers(prm_export: Command, bundle: Path) -> None:
    """The seed costs nothing; each 3×3 layer down to stride 4 costs what it costs forward."""
    backprop = json.loads(prm_export("inspect", bundle, "--json").out)["graphs"][1]
    cells = [(INPUT_SIZE >> n) ** 2 for n in range(1, 6)]
    layers = [CHANNELS[n - 1] * CHANNELS[n] * 9 * cells[n] for n in range(2, len(CHANNELS))]
    assert (backprop["macs"], backprop["macs_per_peak"]) == (0, sum(layers))


def test_people_get_tables(prm_export: Command, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = prm_export("inspect", bundle)
    assert result.code == 0, result.err
    for part in ("forward.onnx", "gain maps (--all)", "per peak", "walk mAP50", "12.5", "stop_stride"):
        assert part in result.out, part
    assert "gain_000" in prm_export("inspect", bundle, "--all").out


def test_what_is_no_bundle_is_named(prm_export: Command, tmp_path: Path) -> None:
    result = prm_export("inspect", tmp_path / "none.prm")
    assert result.code == 1
    assert "no such bundle" in result.err
