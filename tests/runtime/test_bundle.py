"""Bundles: what is written is read back, and everything that is wrong is said in one line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from prm_runtime.bundle import MANIFEST, Bundle, BundleError, with_manifest, write_bundle
from prm_runtime.console import PrmError


def rewrite(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Copy a bundle with its members changed and nothing recomputed."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def edit_manifest(**changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps({**json.loads(members[MANIFEST]), **changes}).encode()

    return change


def test_round_trip(colour_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(colour_bundle)
    members = {name: bundle.read(name) for name in bundle.manifest.sha256}
    write_bundle(tmp_path / "deep" / "copy.prm", bundle.manifest, members)
    copy = Bundle.open(tmp_path / "deep" / "copy.prm")
    assert copy.manifest == bundle.manifest
    assert {name: copy.read(name) for name in members} == members
    assert copy.path.read_bytes() == colour_bundle.read_bytes()


def test_with_manifest_changes_only_the_manifest(colour_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "tuned.prm"
    path.write_bytes(colour_bundle.read_bytes())
    bundle = Bundle.open(path)
    with_manifest(bundle, bundle.manifest.model_copy(update={"name": "tuned"}), path)
    tuned = Bundle.open(path)
    assert tuned.manifest.name == "tuned"
    assert tuned.manifest.sha256 == bundle.manifest.sha256
    assert tuned.read("forward.onnx") == Bundle.open(colour_bundle).read("forward.onnx")


def test_a_failed_write_leaves_the_old_file(colour_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.prm"
    path.write_bytes(b"old")
    manifest = Bundle.open(colour_bundle).manifest
    with pytest.raises(TypeError):
        write_bundle(path, manifest, {"forward.onnx": b"x", "backprop.onnx": b"y", "z": 3})  # type: ignore[dict-item]
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model.prm"]


def test_writing_needs_the_graphs_of_the_manifest(colour_bundle: Path, tmp_path: Path) -> None:
    manifest = Bundle.open(colour_bundle).manifest
    with pytest.raises(BundleError, match=r"the manifest names backprop\.onnx"):
        write_bundle(tmp_path / "x.prm", manifest, {"forward.onnx": b"x"})


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "..\\x", "C:x", "", MANIFEST])
def test_unsafe_member_names_are_refused(colour_bundle: Path, tmp_path: Path, name: str) -> None:
    bundle = Bundle.open(colour_bundle)
    members = {"forward.onnx": b"x", "backprop.onnx": b"y", name: b"z"}
    with pytest.raises(BundleError, match="unsafe member name"):
        write_bundle(tmp_path / "x.prm", bundle.manifest, members)
    sha256 = {**bundle.manifest.sha256, name: "0" * 64}
    path = rewrite(colour_bundle, tmp_path / "evil.prm", edit_manifest(sha256=sha256))
    with pytest.raises(BundleError, match="unsafe member name"):
        Bundle.open(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.open(tmp_path / "none.prm")


def test_not_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "text.prm"
    path.write_text("hello")
    with pytest.raises(BundleError, match="not a bundle"):
        Bundle.open(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated(colour_bundle: Path, tmp_path: Path, share: float) -> None:
    content = colour_bundle.read_bytes()
    path = tmp_path / "cut.prm"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BundleError, match="truncated"):
        Bundle.open(path)


def test_foreign_zip(colour_bundle: Path, tmp_path: Path) -> None:
    path = rewrite(colour_bundle, tmp_path / "x.prm", lambda members: members.pop(MANIFEST))
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        Bundle.open(path)


def test_member_missing(colour_bundle: Path, tmp_path: Path) -> None:
    path = rewrite(colour_bundle, tmp_path / "x.prm", lambda members: members.pop("backprop.onnx"))
    with pytest.raises(BundleError, match=r"backprop\.onnx is missing"):
        Bundle.open(path)


def test_altered_member(colour_bundle: Path, tmp_path: Path) -> None:
    path = rewrite(
        colour_bundle, tmp_path / "x.prm", lambda members: members.update({"forward.onnx": b"other"})
    )
    bundle = Bundle.open(path)
    with pytest.raises(BundleError, match=r"checksum of forward\.onnx"):
        bundle.read("forward.onnx")


def test_damaged_member(colour_bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(colour_bundle) as archive:
        info = archive.getinfo("forward.onnx")
    content = bytearray(colour_bundle.read_bytes())
    middle = info.header_offset + 60 + info.compress_size // 2
    content[middle : middle + 8] = bytes(8)
    path = tmp_path / "x.prm"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"forward\.onnx is damaged"):
        Bundle.open(path).read("forward.onnx")


def test_unknown_member(colour_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"no member 'x'; the manifest lists backprop\.onnx, forward\.onnx"):
        Bundle.open(colour_bundle).read("x")


def test_newer_schema(colour_bundle: Path, tmp_path: Path) -> None:
    path = rewrite(colour_bundle, tmp_path / "x.prm", edit_manifest(schema_version=99, novelty=1))
    with pytest.raises(BundleError, match=r"schema version 99.*pip install --upgrade prm-edge"):
        Bundle.open(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 3}, "invalid manifest at classes"),
        ({"surprise": 1}, "invalid manifest at surprise"),
        ({"sha256": {}}, "no SHA-256 for 'forward.onnx'"),
    ],
)
def test_invalid_manifest(
    colour_bundle: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = rewrite(colour_bundle, tmp_path / "x.prm", edit_manifest(**changes))
    with pytest.raises(BundleError, match=message):
        Bundle.open(path)


def test_manifest_that_is_not_json(colour_bundle: Path, tmp_path: Path) -> None:
    path = rewrite(colour_bundle, tmp_path / "x.prm", lambda members: members.update({MANIFEST: b"{"}))
    with pytest.raises(BundleError, match="not JSON"):
        Bundle.open(path)


def test_zip_bomb_is_not_unpacked(colour_bundle: Path, tmp_path: Path) -> None:
    path = rewrite(
        colour_bundle, tmp_path / "x.prm", lambda members: members.update({MANIFEST: bytes(64 << 20)})
    )
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BundleError, match="would unpack to 67,108,864 bytes"):
        Bundle.open(path)


def test_errors_are_for_people() -> None:
    assert issubclass(BundleError, PrmError)
