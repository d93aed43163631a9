"""Whether a bundle is signed by the holder of a key: Ed25519 over the bytes of its manifest.

The manifest holds the SHA-256 of every other member, and the reader takes no member that it does not list,
so nothing that is read stays unsigned. The signature is a member of its own, :data:`SIGNATURE`: the signer's
public key, which says whose it claims to be, and 64 bytes of signature.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prm_runtime.errors import PrmError
from prm_runtime.malformed import MalformedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE: Final = "manifest.sig"
KEY_BYTES, SIGNATURE_BYTES = 32, 64
MAX_KEY_FILE_BYTES: Final = 1 << 16
_CONTEXT: Final = b"prm-edge bundle manifest\0"  # a signature of ours stands for nothing else


class KeyFileError(PrmError):
    """A key that cannot be used, with what is wrong and what to do."""


def signed_content(manifest: bytes) -> bytes:
    """What is signed for the text of a manifest."""
    return _CONTEXT + manifest


def check_signature(manifest: bytes, signature: bytes | None, key: Ed25519PublicKey) -> None:
    """Hold a manifest's text to its signature.

    Args:
        manifest: Text of the manifest.
        signature: Content of :data:`SIGNATURE`; None if the bundle has none.
        key: The key that it has to be signed with.

    Raises:
        MalformedError: If the bundle is not signed, signed with another key, or was altered since.
    """
    from cryptography.exceptions import InvalidSignature

    expected = key.public_bytes_raw()
    if signature is None:
        raise MalformedError(
            f"not signed, expected a signature of key {fingerprint(expected)}; ask its maker for a signed "
            "bundle (prm-export sign)"
        )
    if len(signature) != KEY_BYTES + SIGNATURE_BYTES:
        raise MalformedError(
            f"its signature has {len(signature)} bytes, expected {KEY_BYTES + SIGNATURE_BYTES}; ask its "
            "maker to sign it again"
        )
    signer = signature[:KEY_BYTES]
    if signer != expected:
        raise MalformedError(
            f"signed with key {fingerprint(signer)}, expected {fingerprint(expected)}; do not use it unless "
            "you trust that key"
        )
    try:
        key.verify(signature[KEY_BYTES:], signed_content(manifest))
    except InvalidSignature:
        raise MalformedError(
            "its manifest does not match its signature: it was altered after it was signed; get it from its "
            "maker again"
        ) from None


def fingerprint(key: bytes) -> str:
    """Short name of a public key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:16]


def read_public_key(path: str | os.PathLike[str]) -> Ed25519PublicKey:
    """Read the public half of a key, as ``prm-export keygen`` or OpenSSL write it (PEM).

    Raises:
        KeyFileError: If ``cryptography`` is not installed, or the file holds anything else.
    """
    content = read_key_file(path)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY" in content:
        raise KeyFileError(
            f"{path}: a private key, expected the public one (.pub): keep the other off devices"
        )
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path}: no public Ed25519 key in PEM; make a pair with prm-export keygen NAME")
    return key


def read_key_file(path: str | os.PathLike[str]) -> bytes:
    """Content of a file with a key.

    Raises:
        KeyFileError: If ``cryptography`` is not installed, or the file cannot be read.
    """
    require_library()
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise KeyFileError(
            f"{path}: cannot be read ({error.strerror}); expected a key made by prm-export keygen"
        ) from None


def require_library() -> None:
    """Say how to install ``cryptography``, which only signatures need.

    Raises:
        KeyFileError: If it is not installed.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise KeyFileError(
            'signatures need cryptography, which is not installed; run: pip install "prm-edge[signing]"'
        ) from None
