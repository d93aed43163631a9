"""Bundles from nowhere good: one clear line, exit code 1, and nothing unpacked further than declared."""

from __future__ import annotations

import hashlib
import json
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.fixtures.colour_blobs import forward_model
from tests.fixtures.raw_zip import Entry, raw_zip

from prm_runtime.archive import MAX_MEMBERS
from prm_runtime.bundle import MANIFEST, Bundle, BundleError
from prm_runtime.segmenter import Segmenter

Members = dict[str, bytes]
FORWARD, BACKPROP = "forward.onnx", "backprop.onnx"
BOMB = bytes(300 << 20)


@pytest.fixture(scope="module")
def members(colour_bundle: Path) -> Members:
    with zipfile.ZipFile(colour_bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def entries(members: Members) -> list[Entry]:
    return [Entry(name.encode(), content) for name, content in members.items()]


def changed(members: Members, name: str, **changes: Any) -> list[Entry]:
    return [replace(entry, **changes) if entry.name == name.encode() else entry for entry in entries(members)]


def extra(members: Members, name: bytes, content: bytes = b"x", **fields: Any) -> list[Entry]:
    return [*entries(members), Entry(name, content, **fields)]


def with_field(members: Members, path: str, value: object) -> bytes:
    """The zip with one field of its manifest replaced."""
    manifest = json.loads(members[MANIFEST])
    *parents, last = path.split(".")
    holder = manifest
    for parent in parents:
        holder = holder[int(parent) if isinstance(holder, list) else parent]
    holder[int(last) if isinstance(holder, list) else last] = value
    return with_text(members, json.dumps(manifest))


def with_text(members: Members, text: str | bytes) -> bytes:
    content = text if isinstance(text, bytes) else text.encode()
    return raw_zip(entries({**members, MANIFEST: content}))


def with_graph(members: Members, file: str, graph: bytes) -> bytes:
    """The zip with a graph replaced and its SHA-256 put right: nothing but the graph is wrong."""
    manifest = json.loads(members[MANIFEST])
    manifest["sha256"][file] = hashlib.sha256(graph).hexdigest()
    return raw_zip(entries({**members, MANIFEST: json.dumps(manifest).encode(), file: graph}))


def edited(text: bytes, pattern: str, replacement: str) -> bytes:
    found, count = re.subn(pattern, replacement, text.decode(), count=1)
    assert count == 1
    return found.encode()


def test_the_tests_zips_are_bundles_if_nothing_lies(members: Members, tmp_path: Path) -> None:
    path = tmp_path / "x.prm"
    path.write_bytes(raw_zip(entries(members)))
    bundle = Bundle.open(path)
    assert {name: bundle.read(name) for name in bundle.manifest.sha256} == {
        name: members[name] for name in (FORWARD, BACKPROP)
    }
    path.write_bytes(raw_zip(changed(members, FORWARD, method=0)))
    assert Bundle.open(path).read(FORWARD) == members[FORWARD]


def test_a_zip_written_as_a_stream_is_read(members: Members, tmp_path: Path) -> None:
    class Pipe:
        """What cannot seek back to write sizes into the local headers."""

        def __init__(self) -> None:
            self.content = b""

        def write(self, data: bytes) -> int:
            self.content += bytes(data)
            return len(data)

        def flush(self) -> None: ...

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, content in members.items():
            archive.writestr(name, content)
    path = tmp_path / "x.prm"
    path.write_bytes(pipe.content)
    assert Bundle.open(path).read(FORWARD) == members[FORWARD]


ARCHIVES: dict[str, tuple[Callable[[Members], bytes], str]] = {
    "empty file": (lambda m: b"", "not a bundle"),
    "empty zip": (lambda m: raw_zip([]), r"manifest\.json is missing"),
    "parent folder": (lambda m: raw_zip(extra(m, b"../evil")), "unsafe member name '../evil'"),
    "parent inside": (lambda m: raw_zip(extra(m, b"a/../../evil")), "unsafe member name"),
    "absolute path": (lambda m: raw_zip(extra(m, b"/etc/passwd")), "unsafe member name '/etc/passwd'"),
    "drive": (lambda m: raw_zip(extra(m, b"C:\\evil")), "unsafe member name"),
    "terminal escape": (lambda m: raw_zip(extra(m, b"\x1b[2Jx")), r"unsafe member name '\\x1b\[2Jx'"),
    "nul in a name": (lambda m: raw_zip(extra(m, b"a\0b")), "unsafe member name"),
    "name that is not UTF-8": (lambda m: raw_zip(extra(m, b"\xff\xfe")), "unsafe member name"),
    "empty name": (lambda m: raw_zip(extra(m, b"")), "unsafe member name ''"),
    "unlisted member": (lambda m: raw_zip(extra(m, b"x.so")), r"holds x\.so, which its manifest does not"),
    "link": (lambda m: raw_zip(changed(m, FORWARD, mode=0o120777)), r"forward\.onnx is a link"),
    "link beside": (lambda m: raw_zip(extra(m, b"link", b"/etc", mode=0o120777)), "link is a link"),
    "device": (lambda m: raw_zip(changed(m, FORWARD, mode=0o020644)), "is a folder or device"),
    "folder": (lambda m: raw_zip(extra(m, b"folder/", b"")), "'folder/' is a folder"),
    "DOS folder": (lambda m: raw_zip(changed(m, FORWARD, mode=0, dos=0x10)), "is a folder or device"),
    "twice": (lambda m: raw_zip(extra(m, FORWARD.encode(), b"other")), r"holds forward\.onnx twice"),
    "two manifests": (lambda m: raw_zip(extra(m, MANIFEST.encode(), b"{}")), r"holds manifest\.json twice"),
    "encrypted": (lambda m: raw_zip(changed(m, FORWARD, flags=1)), r"forward\.onnx is encrypted"),
    "bzip2": (lambda m: raw_zip(changed(m, FORWARD, method=12)), "packed by method 12"),
    "declared bomb": (
        lambda m: raw_zip(changed(m, FORWARD, content=BOMB)),
        "would unpack to 314,572,800 bytes from .* zip bomb",
    ),
    "large manifest": (
        lambda m: raw_zip(changed(m, MANIFEST, content=bytes(5 << 20), method=0)),
        "would unpack to 5,242,880 bytes, more than the 4,194,304 allowed",
    ),
    "beyond all limits": (
        lambda m: raw_zip(changed(m, FORWARD, size=0xFFFFFFFF, packed_size=0xFFFFFFFF)),
        "would unpack to 4,29.* bytes, more than the 3,221,225,472 allowed",
    ),
    "undeclared bomb": (
        lambda m: raw_zip(changed(m, MANIFEST, content=BOMB, size=1000)),
        r"manifest\.json is damaged \(more than the 1,000 bytes",
    ),
    "data cut": (
        lambda m: raw_zip(changed(m, MANIFEST, size=len(m[MANIFEST]) + 1)),
        r"manifest\.json is damaged \(its CRC-32 differs\)",
    ),
    "wrong CRC-32": (lambda m: raw_zip(changed(m, MANIFEST, checksum=1)), "CRC-32 differs"),
    "bytes in front": (lambda m: raw_zip(entries(m), before=b"#!/bin/sh\n"), "10 bytes precede"),
    "bytes behind": (lambda m: raw_zip(entries(m), after=b"more"), "4 bytes follow the end"),
    "bytes between": (lambda m: raw_zip(changed(m, MANIFEST, behind=b"hidden")), "6 bytes between members"),
    "same data twice": (
        lambda m: raw_zip([*entries(m), Entry(b"copy", b"", header=0, local_name=b"copy")]),
        "overlaps what follows it|is not where",
    ),
    "longer than it is": (
        lambda m: raw_zip(changed(m, MANIFEST, packed_size=len(m[MANIFEST]) + 9999)),
        r"manifest\.json overlaps what follows it",
    ),
    "other name inside": (lambda m: raw_zip(changed(m, FORWARD, local_name=b"x.onnx")), "is not where"),
    "header elsewhere": (lambda m: raw_zip(changed(m, FORWARD, header=77)), "is not where|overlaps"),
    "table elsewhere": (lambda m: raw_zip(entries(m), table_start=5), "table of contents is not where"),
    "fewer than counted": (lambda m: raw_zip(entries(m), count=9), "table of contents is damaged"),
    "more than counted": (lambda m: raw_zip(entries(m), count=2), "table of contents is damaged"),
    "crowd": (
        lambda m: raw_zip([Entry(b"m%d" % n, b"") for n in range(MAX_MEMBERS + 1)]),
        "holds 65 members, expected at most 64",
    ),
    "graph missing": (
        lambda m: raw_zip([entry for entry in entries(m) if entry.name != b"backprop.onnx"]),
        r"backprop\.onnx is missing",
    ),
    "graph of nothing": (lambda m: with_graph(m, FORWARD, b""), r"outputs? of forward|inputs of forward"),
    "hash differs": (lambda m: raw_zip(entries({**m, BACKPROP: b"x"})), r"checksum of backprop\.onnx"),
}

MANIFESTS: dict[str, tuple[Callable[[Members], bytes], str]] = {
    "not JSON": (lambda m: with_text(m, "{"), "not JSON"),
    "not UTF-8": (lambda m: with_text(m, m[MANIFEST].decode().encode("utf-16")), "not JSON"),
    "a list": (lambda m: with_text(m, "[]"), "not a JSON object"),
    "NaN": (
        lambda m: with_text(m, edited(m[MANIFEST], r'"score_scale": [\d.]+', '"score_scale": NaN')),
        "holds NaN",
    ),
    "infinite": (
        lambda m: with_text(m, edited(m[MANIFEST], r'"presence": [\d.]+', '"presence": 1e999')),
        r"invalid manifest at retrieval\.presence: a number beyond",
    ),
    "huge whole number": (
        lambda m: with_field(m, "preprocessing.size", 10**400),
        r"preprocessing\.size: a number",
    ),
    "too many digits": (
        lambda m: with_text(m, edited(m[MANIFEST], r'"size": \d+', '"size": 1' + "0" * 5000)),
        "not JSON",
    ),
    "NaN as a string": (lambda m: with_field(m, "retrieval.score_scale", "nan"), r"retrieval\.score_scale"),
    "deep": (lambda m: with_text(m, '{"a":' * 500 + "1" + "}" * 500), "schema_version|nested"),
    "very deep": (lambda m: with_text(m, "[" * 200_000), "nested more than 20 deep|not JSON"),
    "deep recipe": (
        lambda m: with_field(m, "provenance.recipe", {"a": json.loads("[" * 50 + "]" * 50)}),
        "nested more than 20 deep",
    ),
    "a field twice": (lambda m: with_text(m, b'{"name": "a",' + m[MANIFEST][1:]), "names a field twice"),
    "no version": (
        lambda m: with_text(m, edited(m[MANIFEST], r'"schema_version": \d+,', "")),
        "schema_version is a NoneType, expected a number from 1",
    ),
    "version as text": (lambda m: with_field(m, "schema_version", "1"), "schema_version is a str"),
    "version true": (lambda m: with_field(m, "schema_version", True), "schema_version is a bool"),
    "version 0": (lambda m: with_field(m, "schema_version", 0), "schema_version is 0"),
    "newer version": (lambda m: with_field(m, "schema_version", 2**40), "reads up to .; update prm-edge"),
    "number as text": (lambda m: with_field(m, "preprocessing.size", "448"), r"preprocessing\.size"),
    "true as number": (lambda m: with_field(m, "peaks.max_peaks", True), r"peaks\.max_peaks"),
    "fraction as size": (lambda m: with_field(m, "preprocessing.size", 448.5), r"preprocessing\.size"),
    "null": (lambda m: with_field(m, "forward", None), "at forward"),
    "unknown field": (lambda m: with_field(m, "exec", "rm"), "at exec"),
    "unknown setting": (lambda m: with_field(m, "retrieval.walk.exec", 1), r"at retrieval\.walk\.exec"),
    "size 0": (lambda m: with_field(m, "preprocessing.size", 0), r"preprocessing\.size"),
    "size that fills memory": (
        lambda m: with_field(m, "preprocessing.size", 10**6),
        r"preprocessing\.size: found 1e\+06, expected 1 to 8192",
    ),
    "grid that fills memory": (
        lambda m: with_field(m, "proposals.long_side", 10**9),
        r"proposals\.long_side",
    ),
    "division by zero": (lambda m: with_field(m, "preprocessing.std.1", 0), r"preprocessing\.std: found 0"),
    "no classes": (lambda m: with_field(m, "classes", []), "at classes"),
    "classes alike": (lambda m: with_field(m, "classes", ["a", "a", "b"]), "at classes"),
    "class with escapes": (
        lambda m: with_field(m, "classes.0", "\x1b]0;x\x07"),
        r"at classes\.0: .* not plain text",
    ),
    "half a character": (lambda m: with_field(m, "classes.0", "\ud800"), r"at classes\.0: .* not plain text"),
    "field with escapes": (lambda m: with_field(m, "\x1b[2J", 1), "not plain text"),
    "classes too many": (
        lambda m: with_field(m, "classes", ["a", "b"]),
        r"class_maps has shape .*, expected 2 channels",
    ),
    "thresholds of other classes": (
        lambda m: with_field(m, "retrieval.class_offsets", [1.0]),
        r"retrieval\.class_offsets: found 1 values, expected none or 3",
    ),
    "hash that is none": (lambda m: with_field(m, "sha256", {FORWARD: "x", BACKPROP: "y"}), "is not one"),
    "hash of a path": (lambda m: with_field(m, "sha256", {"../x": "0" * 64}), "no SHA-256 for|unsafe"),
    "graph outside": (lambda m: with_field(m, "forward.file", "/etc/passwd"), "no SHA-256 for '/etc/passwd'"),
    "grey pictures": (
        lambda m: with_field(m, "forward.inputs.0.shape", [1, 1, "H", "W"]),
        "image has shape .*, expected 3 channels",
    ),
    "gain of another type": (
        lambda m: with_field(m, "backprop.inputs.1.dtype", "int64"),
        "gives 'gain_colour' as 'float32' and takes it as 'int64'",
    ),
}


def external(model: onnx.ModelProto, place: str) -> bytes:
    """A model with one tensor's values elsewhere."""
    tensor = numpy_helper.from_array(numpy_helper.to_array(model.graph.initializer[0]), "stolen")
    if place == "initializer":
        tensor = model.graph.initializer[0]
    elif place == "constant":
        model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))
        tensor = model.graph.node[-1].attribute[0].t
    elif place == "function":
        model.functions[0].node.append(helper.make_node("Constant", [], ["unused"], value=tensor))
        tensor = model.functions[0].node[-1].attribute[0].t
    elif place == "branch":
        body = helper.make_graph([], "body", [], [], [tensor])
        model.graph.node.append(helper.make_node("If", ["x"], ["unused"], then_branch=body, else_branch=body))
        tensor = model.graph.node[-1].attribute[0].g.initializer[0]
    elif place == "sparse":
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, tensor, [1]))
        tensor = model.graph.sparse_initializer[0].values
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return model.SerializeToString()


def with_shape(model: onnx.ModelProto, size: int) -> bytes:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = size
    return model.SerializeToString()


def without_output(model: onnx.ModelProto) -> bytes:
    del model.graph.output[-1]
    return model.SerializeToString()


def of_dtype(model: onnx.ModelProto, dtype: int) -> bytes:
    model.graph.input[0].type.tensor_type.elem_type = dtype
    return model.SerializeToString()


GRAPHS: dict[str, tuple[Callable[[Members], bytes], str]] = {
    **{
        f"values outside, {place}": (
            lambda m, place=place: with_graph(m, FORWARD, external(forward_model(), place)),
            r"the values of tensor '.+' in forward\.onnx are in another file",
        )
        for place in ("initializer", "constant", "function", "branch", "sparse")
    },
    "text": (lambda m: with_graph(m, FORWARD, b"no graph"), r"forward\.onnx is .*no ONNX"),
    "cut": (lambda m: with_graph(m, FORWARD, m[FORWARD][:-5]), r"forward\.onnx is cut off"),
    "other channels": (
        lambda m: with_graph(m, FORWARD, with_shape(forward_model(), 4)),
        r"outputs of forward\.onnx .* expected .* 'class_maps' \[1, 3, .*found .* 'class_maps' \[1, 4,",
    ),
    "output missing": (
        lambda m: with_graph(m, FORWARD, without_output(forward_model())),
        r"outputs of forward\.onnx .* 'gain_colour' .*found none",
    ),
    "other type": (
        lambda m: with_graph(m, FORWARD, of_dtype(forward_model(), TensorProto.DOUBLE)),
        r"inputs of forward\.onnx .* expected float32 'image' .*found float64 'image'",
    ),
    "graphs exchanged": (lambda m: with_graph(m, FORWARD, m[BACKPROP]), r"inputs of forward\.onnx"),
    "no such operator": (
        lambda m: with_graph(m, FORWARD, m[FORWARD].replace(b"ReduceMax", b"ReduceMix")),
        r"forward\.onnx: ONNX Runtime .* cannot load the graph",
    ),
}
CASES = {**ARCHIVES, **MANIFESTS, **GRAPHS}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_one_line(
    case: str, members: Members, tmp_path: Path, prm_run: Callable[..., Any], colour_bundle: Path
) -> None:
    build, message = CASES[case]
    path = tmp_path / "evil.prm"
    path.write_bytes(build(members))
    with pytest.raises(BundleError, match=message) as error:
        Segmenter.open(path)
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).isprintable()
    result = prm_run(tmp_path, "--model", path)
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["evil.prm"]


@pytest.mark.parametrize("case", ["undeclared bomb", "declared bomb"])
def test_bombs_are_not_unpacked(case: str, members: Members, tmp_path: Path) -> None:
    path = tmp_path / "bomb.prm"
    path.write_bytes(CASES[case][0](members))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(BundleError):
        Bundle.open(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_file_that_may_not_be_read(
    members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "x.prm"
    path.write_bytes(raw_zip(entries(members)))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BundleError, match=r"x\.prm: cannot be read \(Permission denied\)"):
        Bundle.open(path)
