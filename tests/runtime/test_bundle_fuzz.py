"""Whatever is done to a bundle, its reader ends in a bundle or in a :class:`BundleError` of one line.

``PRM_FUZZ_EXAMPLES=10000 pytest tests/runtime/test_bundle_fuzz.py`` tries so many of each kind, others each
time; without it a hundred or so.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.fixtures.raw_zip import Entry, raw_zip

from prm_runtime.bundle import MANIFEST, Bundle, BundleError
from prm_runtime.signature import SIGNATURE

EXAMPLES = int(os.environ.get("PRM_FUZZ_EXAMPLES", "120"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
FORWARD, BACKPROP = "forward.onnx", "backprop.onnx"
BUNDLE = Path(__file__).parents[1] / "fixtures" / "bundles" / "schema-1.prm"
with zipfile.ZipFile(BUNDLE) as _archive:
    MEMBERS = {name: _archive.read(name) for name in _archive.namelist()}
MANIFEST_JSON = json.loads(MEMBERS[MANIFEST])
CONTENTS = {name: content for name, content in MEMBERS.items() if name != MANIFEST}

SHARE = st.floats(0, 1, exclude_max=True)
INTERESTING = st.sampled_from([0, 1, 0x7F, 0x80, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
DAMAGE = st.sampled_from(["flip", "set", "insert", "delete", "copy", "cut"])
EDIT = st.tuples(DAMAGE, SHARE, SHARE, st.binary(max_size=8))
EDITS = st.lists(EDIT, min_size=1, max_size=4)

JSON_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=8),
    st.text(st.characters(), max_size=4),
    st.sampled_from(["image", "peaks", "float32", "../x", MANIFEST, FORWARD, "0" * 64, "nan", "1e400"]),
)
JSON = st.recursive(
    JSON_LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, bytes] | None]:
    """Write bytes to a file and read them as a bundle: its members, or None if it is properly refused."""
    path = tmp_path_factory.mktemp("fuzz") / "fuzzed.prm"

    def call(content: bytes, require_signature: Path | None = None) -> dict[str, bytes] | None:
        path.write_bytes(content)
        try:
            bundle = Bundle.open(path, require_signature=require_signature)
            return {name: bundle.read(name) for name in bundle.manifest.sha256}
        except BundleError as error:
            line = str(error)
        assert line.startswith(f"{path}: ")
        assert "\n" not in line
        assert len(line.encode()) < 1000
        return None

    return call


def edit(content: bytes, edits: list[tuple[str, float, float, bytes]]) -> bytes:
    """Damage ``content``: places are shares of its length."""
    for kind, at, to, value in edits:
        begin, end = sorted((int(at * len(content)), int(to * len(content))))
        if kind == "flip" and begin < len(content):
            flipped = content[begin] ^ (1 << (len(value) & 7))
            content = content[:begin] + bytes([flipped]) + content[begin + 1 :]
        elif kind == "set":
            content = content[:begin] + value + content[begin + len(value) :]
        elif kind == "insert":
            content = content[:begin] + value + content[begin:]
        elif kind == "delete":
            content = content[:begin] + content[begin + 1 + len(value) :]
        elif kind == "copy":
            content = content[:begin] + content[begin:end] + content[begin:]
        elif kind == "cut":
            content = content[:begin]
    return content


def zipped(members: dict[str, bytes]) -> bytes:
    return raw_zip([Entry(name.encode(), content) for name, content in members.items()])


@FUZZ
@given(EDITS)
def test_damaged_files(read, edits) -> None:
    members = read(edit(BUNDLE.read_bytes(), edits))
    assert members in (None, CONTENTS)


@FUZZ
@given(st.binary(max_size=200))
def test_files_of_anything(read, content: bytes) -> None:
    assert read(content) is None
    assert read(b"PK\x03\x04" + content) is None


ENTRY_FIELDS = [field.name for field in fields(Entry) if field.name not in ("name", "content")]
FIELD_VALUES = {
    "method": st.integers(0, 99),
    "local_name": st.binary(max_size=20),
    "behind": st.binary(max_size=30),
    "mode": st.integers(0, 0xFFFF),
    "flags": st.integers(0, 0xFFFF),
    "dos": st.integers(0, 0xFFFF),
}
LIES = st.lists(
    st.sampled_from(ENTRY_FIELDS).flatmap(
        lambda name: st.tuples(
            st.integers(0, 2), st.just(name), FIELD_VALUES.get(name, INTERESTING | st.integers(0, 9000))
        )
    ),
    min_size=1,
    max_size=3,
)


@FUZZ
@given(
    LIES,
    st.permutations(list(MEMBERS)),
    st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=9)), max_size=2),
    st.none() | INTERESTING.map(lambda count: count & 0xFFFF),
    st.none() | INTERESTING,
)
def test_zips_that_lie(read, lies, order, extra, count, table_start) -> None:
    entries = [Entry(name.encode(), MEMBERS[name]) for name in order]
    for index, name, value in lies:
        entries[index] = replace(entries[index], **{name: value})
    entries += [Entry(name.encode(errors="replace"), content) for name, content in extra]
    members = read(raw_zip(entries, count=count, table_start=table_start))
    assert members in (None, CONTENTS)


@FUZZ
@given(st.permutations(list(MEMBERS.values())))
def test_exchanged_members(read, contents) -> None:
    members = read(zipped(dict(zip(MEMBERS, contents, strict=True))))
    assert members == (CONTENTS if contents == list(MEMBERS.values()) else None)


def places(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def put(node: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of a JSON tree with the value at ``path`` replaced."""
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = put(node[path[0]], path[1:], value)
    return copy


CHANGES = st.tuples(st.sampled_from(places(MANIFEST_JSON)), JSON)


@FUZZ
@example((("forward", "inputs", 0, "shape"), []), None, "")  # an input of no dimension has no batch either
@given(CHANGES, st.sampled_from([None, "drop", "add"]), st.text(max_size=8))
def test_manifests_of_other_values(read, change, how, key) -> None:
    path, value = change
    data = put(MANIFEST_JSON, path, value)
    if isinstance(data, dict) and how == "add":
        data = {**data, key: value}
    elif isinstance(data, dict) and how == "drop" and path:
        data = {name: item for name, item in data.items() if name != path[0]}
    members = read(zipped({**MEMBERS, MANIFEST: json.dumps(data).encode()}))
    assert members is None or members.items() <= CONTENTS.items()


@FUZZ
@given(EDITS)
def test_damaged_manifests(read, edits) -> None:
    read(zipped({**MEMBERS, MANIFEST: edit(MEMBERS[MANIFEST], edits)}))


@FUZZ
@given(st.sampled_from([FORWARD, BACKPROP]), EDITS)
def test_damaged_graphs_with_their_hash_put_right(read, file, edits) -> None:
    graph = edit(MEMBERS[file], edits)
    manifest = put(MANIFEST_JSON, ("sha256", file), hashlib.sha256(graph).hexdigest())
    read(zipped({**MEMBERS, MANIFEST: json.dumps(manifest).encode(), file: graph}))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """A signed bundle and the public key that it is signed with."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from prm_runtime.signature import signed_content

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    path = tmp_path_factory.mktemp("keys") / "maker.pub"
    path.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    signature = public + key.sign(signed_content(MEMBERS[MANIFEST]))
    return zipped({**MEMBERS, SIGNATURE: signature}), path


@FUZZ
@given(EDITS)
def test_what_passes_for_signed_is_what_was_signed(read, signed, edits) -> None:
    content, key = signed
    assert read(edit(content, edits), key) in (None, CONTENTS)
