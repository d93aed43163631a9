"""Keys, and bundles signed with them; :mod:`prm_runtime.signature` checks what is made here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prm_export.errors import ExportError
from prm_runtime.bundle import Bundle, with_signature
from prm_runtime.signature import KeyFileError, fingerprint, read_key_file, require_library, signed_content

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def write_key_pair(stem: Path) -> tuple[Path, Path]:
    """Make a pair of keys: ``NAME.key``, which only its owner may read, and ``NAME.pub`` for everyone.

    Args:
        stem: Path and NAME.

    Returns:
        The two files.

    Raises:
        ExportError: If one of them exists; keys are never overwritten.
        KeyFileError: If ``cryptography`` is not installed.
    """
    require_library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    files = stem.with_name(f"{stem.name}.key"), stem.with_name(f"{stem.name}.pub")
    if taken := [str(file) for file in files if file.exists()]:
        raise ExportError(f"{' and '.join(taken)} exists; keys are not overwritten, choose another name")
    stem.parent.mkdir(parents=True, exist_ok=True)
    for file, content, mode in zip(files, (private, public), (0o600, 0o644), strict=True):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
    return files


def sign_bundle(path: Path, key_file: Path, output: Path) -> str:
    """Write a bundle with the signature of a key; one that it has already is replaced.

    Args:
        path: The bundle. All of it is checked first: what cannot be read is not signed.
        key_file: The private key.
        output: The file to write; may be ``path``.

    Returns:
        The key's fingerprint.

    Raises:
        BundleError: If the bundle is unusable.
        KeyFileError: If the key is.
    """
    key = _read_private_key(key_file)
    bundle = Bundle.open(path)
    public = key.public_key().public_bytes_raw()
    with_signature(bundle, public + key.sign(signed_content(bundle.manifest_text)), output)
    return fingerprint(public)


def _read_private_key(path: Path) -> Ed25519PrivateKey:
    content = read_key_file(path)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise KeyFileError(
            f"{path}: has a password; decrypt a copy: openssl pkey -in {path.name} -out plain.key"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: no private Ed25519 key in PEM; make a pair with prm-export keygen NAME")
    return key
