"""``prm-export keygen`` and ``sign``, and ``prm-run --require-signature`` that takes what they make."""

from __future__ import annotations

import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.command_line import Command, Finished, command
from tests.fixtures.media import write_png

from prm_runtime import cli
from prm_runtime.bundle import MANIFEST, Bundle, BundleError, with_manifest
from prm_runtime.segmenter import Segmenter
from prm_runtime.signature import SIGNATURE, KeyFileError, check_signature, fingerprint, read_public_key

pytest.importorskip("cryptography", reason='signatures need cryptography: pip install "prm-edge[signing]"')

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PEM = serialization.Encoding.PEM


@pytest.fixture
def prm_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command("prm-run", cli.main, monkeypatch, capsys)


@pytest.fixture
def keys(prm_export: Command, tmp_path: Path) -> Path:
    """A folder with the pair ``maker.key`` and ``maker.pub``."""
    result = prm_export("keygen", tmp_path / "keys" / "maker")
    assert result.code == 0, result.err
    return tmp_path / "keys"


@pytest.fixture
def signed(prm_export: Command, keys: Path, colour_bundle: Path, tmp_path: Path) -> Path:
    """The colour blobs' bundle, signed by the maker."""
    path = tmp_path / "signed.prm"
    result = prm_export("sign", colour_bundle, "--key", keys / "maker.key", "-o", path)
    assert result.code == 0, result.err
    return path


def rewrite(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def assert_one_line(result: Finished, *parts: str) -> None:
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    for part in parts:
        assert part in result.err


def test_a_signed_bundle_runs_where_its_signature_is_required(
    signed: Path, keys: Path, prm_run: Command, tmp_path: Path
) -> None:
    picture = write_png(tmp_path / "blobs.png", draw_blobs()[0])
    result = prm_run(picture, "--model", signed, "--require-signature", keys / "maker.pub")
    assert result.code == 0, result.err
    assert "red" in result.out


def test_a_signed_bundle_runs_where_none_is_required(signed: Path, colour_bundle: Path) -> None:
    assert Bundle.open(signed).manifest == Bundle.open(colour_bundle).manifest
    assert Segmenter.open(signed).classes == ("red", "green", "blue")


def test_the_private_key_is_its_owners_alone(keys: Path) -> None:
    assert stat.S_IMODE((keys / "maker.key").stat().st_mode) == 0o600
    assert b"PRIVATE" not in (keys / "maker.pub").read_bytes()


def test_keys_are_never_overwritten(keys: Path, prm_export: Command) -> None:
    before = (keys / "maker.key").read_bytes()
    (keys / "maker.pub").unlink()
    assert_one_line(prm_export("keygen", keys / "maker"), "maker.key exists")
    assert (keys / "maker.key").read_bytes() == before


def test_signing_in_place_twice_leaves_one_signature(
    signed: Path, keys: Path, prm_export: Command, colour_bundle: Path
) -> None:
    before = signed.read_bytes()
    result = prm_export("sign", signed, "--key", keys / "maker.key")
    assert result.code == 0
    assert fingerprint(read_public_key(keys / "maker.pub").public_bytes_raw()) in result.err
    assert signed.read_bytes() == before
    with zipfile.ZipFile(signed) as archive:
        assert sorted(archive.namelist()) == ["backprop.onnx", "forward.onnx", MANIFEST, SIGNATURE]
    with zipfile.ZipFile(colour_bundle) as plain, zipfile.ZipFile(signed) as archive:
        assert plain.read(MANIFEST) == archive.read(MANIFEST)


def test_an_unsigned_bundle_is_refused(colour_bundle: Path, keys: Path, prm_run: Command) -> None:
    result = prm_run(".", "--model", colour_bundle, "--require-signature", keys / "maker.pub")
    assert_one_line(result, "not signed, expected a signature of key")


def test_the_shipped_bundle_is_held_to_it_too(keys: Path, prm_run: Command) -> None:
    assert_one_line(prm_run(".", "--require-signature", keys / "maker.pub"), "not signed")


def test_a_signature_that_was_taken_away(signed: Path, keys: Path, tmp_path: Path) -> None:
    path = rewrite(signed, tmp_path / "x.prm", lambda members: members.pop(SIGNATURE))
    with pytest.raises(BundleError, match="not signed"):
        Bundle.open(path, require_signature=keys / "maker.pub")


def test_another_makers_key(signed: Path, keys: Path, prm_export: Command, prm_run: Command) -> None:
    assert prm_export("keygen", keys / "other").code == 0
    result = prm_run(".", "--model", signed, "--require-signature", keys / "other.pub")
    assert_one_line(result, "signed with key", "expected")


def test_a_changed_manifest(signed: Path, keys: Path, tmp_path: Path, prm_run: Command) -> None:
    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = members[MANIFEST].replace(b'"red"', b'"dog"')

    path = rewrite(signed, tmp_path / "x.prm", change)
    assert Bundle.open(path).manifest.classes[0] == "dog"
    result = prm_run(".", "--model", path, "--require-signature", keys / "maker.pub")
    assert_one_line(result, "altered after it was signed")


def test_a_changed_graph(signed: Path, keys: Path, tmp_path: Path) -> None:
    path = rewrite(signed, tmp_path / "x.prm", lambda members: members.update({"forward.onnx": b"other"}))
    with pytest.raises(BundleError, match=r"checksum of forward\.onnx"):
        Segmenter.open(path, require_signature=keys / "maker.pub")


def test_an_added_member(signed: Path, keys: Path, tmp_path: Path) -> None:
    path = rewrite(signed, tmp_path / "x.prm", lambda members: members.update({"engine.bin": b"code"}))
    with pytest.raises(BundleError, match=r"holds engine\.bin, which its manifest does not list"):
        Bundle.open(path, require_signature=keys / "maker.pub")


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s + b"x", lambda s: b""])
def test_a_signature_of_another_length(signed: Path, keys: Path, tmp_path: Path, change) -> None:
    path = rewrite(signed, tmp_path / "x.prm", lambda m: m.update({SIGNATURE: change(m[SIGNATURE])}))
    with pytest.raises(BundleError, match=r"its signature has \d+ bytes, expected 96"):
        Bundle.open(path, require_signature=keys / "maker.pub")


def test_a_forged_signature(signed: Path, keys: Path, tmp_path: Path) -> None:
    path = rewrite(signed, tmp_path / "x.prm", lambda m: m.update({SIGNATURE: m[SIGNATURE][:32] + bytes(64)}))
    with pytest.raises(BundleError, match="does not match its signature"):
        Bundle.open(path, require_signature=keys / "maker.pub")


def test_a_signature_of_the_bare_text_is_none_of_ours(keys: Path) -> None:
    private = serialization.load_pem_private_key((keys / "maker.key").read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)
    public = read_public_key(keys / "maker.pub")
    signature = public.public_bytes_raw() + private.sign(b"{}")
    with pytest.raises(ValueError, match="does not match its signature"):
        check_signature(b"{}", signature, public)


def test_tuning_takes_the_signature_away(signed: Path, keys: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(signed, require_signature=keys / "maker.pub")
    with_manifest(bundle, bundle.manifest, tmp_path / "tuned.prm")
    with pytest.raises(BundleError, match="not signed"):
        Bundle.open(tmp_path / "tuned.prm", require_signature=keys / "maker.pub")


def write_other_keys(folder: Path) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    subject = serialization.PublicFormat.SubjectPublicKeyInfo
    pkcs8 = serialization.PrivateFormat.PKCS8
    no_password = serialization.NoEncryption()
    (folder / "curve.pub").write_bytes(curve.public_key().public_bytes(PEM, subject))
    (folder / "curve.key").write_bytes(curve.private_bytes(PEM, pkcs8, no_password))
    password = serialization.BestAvailableEncryption(b"x")
    locked = Ed25519PrivateKey.generate().private_bytes(PEM, pkcs8, password)
    (folder / "locked.key").write_bytes(locked)
    (folder / "text.pub").write_text("hello")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("none.pub", "cannot be read (No such file or directory)"),
        (".", "cannot be read (Is a directory)"),
        ("text.pub", "no public Ed25519 key"),
        ("curve.pub", "no public Ed25519 key"),
        ("maker.key", "a private key, expected the public one (.pub)"),
    ],
)
def test_what_is_no_public_key(key: str, message: str, signed: Path, keys: Path, prm_run: Command) -> None:
    write_other_keys(keys)
    assert_one_line(prm_run(".", "--model", signed, "--require-signature", keys / key), message)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("none.key", "cannot be read (No such file or directory)"),
        ("text.pub", "no private Ed25519 key"),
        ("curve.key", "no private Ed25519 key"),
        ("maker.pub", "no private Ed25519 key"),
        ("locked.key", "has a password"),
    ],
)
def test_what_is_no_private_key(
    key: str, message: str, colour_bundle: Path, keys: Path, prm_export: Command
) -> None:
    write_other_keys(keys)
    before = colour_bundle.read_bytes()
    assert_one_line(prm_export("sign", colour_bundle, "--key", keys / key), message)
    assert colour_bundle.read_bytes() == before


def test_what_cannot_be_read_is_not_signed(
    colour_bundle: Path, keys: Path, prm_export: Command, tmp_path: Path
) -> None:
    path = rewrite(colour_bundle, tmp_path / "x.prm", lambda m: m.update({"forward.onnx": b"other"}))
    before = path.read_bytes()
    assert_one_line(prm_export("sign", path, "--key", keys / "maker.key"), "checksum of forward.onnx")
    assert path.read_bytes() == before
    path.write_bytes(before[:-30])
    assert_one_line(prm_export("sign", path, "--key", keys / "maker.key"), "truncated")


def test_without_cryptography_it_says_how_to_install_it(
    colour_bundle: Path, keys: Path, prm_export: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)  # what import takes for not installed
    advice = 'pip install "prm-edge[signing]"'
    assert_one_line(prm_export("keygen", keys / "new"), advice)
    assert_one_line(prm_export("sign", colour_bundle, "--key", keys / "maker.key"), advice)
    with pytest.raises(KeyFileError, match="signatures need cryptography"):
        Bundle.open(colour_bundle, require_signature=keys / "maker.pub")
    assert Bundle.open(colour_bundle).manifest.name == "colour-blobs"
