"""Bundles: one ``NAME.prm`` file (a zip) holding ``manifest.json`` and the graphs that it names.

A bundle may come from anywhere, so nothing in it is trusted: the zip, the manifest and the graphs are each
read strictly, in memory and within bounds, and every member is held to its SHA-256 in the manifest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from prm_runtime.archive import check_name, read_member, read_table, write_archive
from prm_runtime.errors import PrmError
from prm_runtime.malformed import MalformedError
from prm_runtime.manifest import SCHEMA_VERSION, Manifest
from prm_runtime.manifest_text import parse_manifest
from prm_runtime.onnx_wire import check_graph, check_self_contained
from prm_runtime.signature import SIGNATURE, check_signature, read_public_key

MODELS = Path(__file__).parent / "models"
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 4 << 20  # ImageNet's 1,000 class names with tuned thresholds need 0.1 MB
MAX_SIGNATURE_BYTES = 1 << 10


class BundleError(PrmError):
    """A bundle that cannot be read, with what is wrong and what to do."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        path: The file.
        manifest: Its validated manifest.
        manifest_text: The bytes that this was parsed from, which are what a signature signs.

    Example:
        >>> bundle = Bundle.open(shipped_bundle())
        >>> graph = bundle.read(bundle.manifest.forward.file)
    """

    path: Path
    manifest: Manifest
    manifest_text: bytes = field(repr=False)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, require_signature: str | os.PathLike[str] | None = None
    ) -> Bundle:
        """Read and validate the table of contents and the manifest; the graphs are read by :meth:`read`.

        Args:
            path: The bundle: a file, or the name of one that comes with the package (:func:`shipped_bundle`).
            require_signature: File with the public key that the bundle has to be signed with; None takes it
                unsigned too.

        Raises:
            BundleError: If the file is missing, truncated or not a bundle, if its manifest is invalid or of a
                newer schema, if it holds other members than the manifest lists, or lacks the signature.
            KeyFileError: If the key cannot be used.
        """
        path = find_bundle(path)
        key = None if require_signature is None else read_public_key(require_signature)
        with _reading(path) as file:
            table = read_table(file)
            if MANIFEST not in table:
                raise MalformedError(f"{MANIFEST} is missing; this is not a bundle made by prm-export")
            text = read_member(file, table[MANIFEST], MAX_MANIFEST_BYTES)
            if key is not None:
                signature = table.get(SIGNATURE)
                signed = read_member(file, signature, MAX_SIGNATURE_BYTES) if signature else None
                check_signature(text, signed, key)
            manifest = parse_manifest(text)
            _check_members(set(manifest.sha256), set(table) - {MANIFEST, SIGNATURE})
        return cls(path, manifest, text)

    def read(self, member: str) -> bytes:
        """Return the bytes of a member, checked against the manifest.

        Raises:
            BundleError: If the manifest does not list the member, it is damaged, too large or altered, or it
                is a graph with other inputs or outputs than the manifest says, or with values in other files.
        """
        expected = self.manifest.sha256.get(member)
        if expected is None:
            known = ", ".join(sorted(self.manifest.sha256)) or "none"
            raise BundleError(f"{self.path}: no member {member!r}; the manifest lists {known}")
        with _reading(self.path) as file:
            table = read_table(file)
            if member not in table:
                raise MalformedError(f"{member} is missing; the bundle is incomplete, copy it again")
            content = read_member(file, table[member])
            found = hashlib.sha256(content).hexdigest()
            if found != expected:
                raise MalformedError(
                    f"checksum of {member} is {found[:12]}…, the manifest says {expected[:12]}…; the file "
                    "was altered or damaged, copy or export it again"
                )
            if member.endswith(".onnx"):
                check_self_contained(member, content)
            for graph in self.manifest.graphs:
                if graph.file == member:
                    check_graph(graph, content)
        return content


def write_bundle(path: str | os.PathLike[str], manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """Write a bundle atomically: under its name there is the old file or the whole new one, never a part.

    Args:
        path: The file to write; missing folders are created.
        manifest: The manifest; its ``sha256`` is filled in from ``members``, its ``schema_version`` is the
            present one.
        members: Content by name, among them the files of ``manifest.graphs``.

    Raises:
        BundleError: If a member's name is not a plain relative path, a graph of the manifest is missing, or
            the manifest is not one that could be read back.
    """
    path = Path(path)
    absent = {graph.file for graph in manifest.graphs} - set(members)
    if absent:
        raise BundleError(
            f"{path}: the manifest names {', '.join(sorted(absent))}, which was not given as a member"
        )
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    update = {"sha256": sha256, "schema_version": SCHEMA_VERSION}
    text = manifest.model_copy(update=update).model_dump_json(indent=2).encode()
    try:
        _check_names(members)
        parse_manifest(text)
    except MalformedError as error:
        raise BundleError(f"{path}: {error}") from None
    write_archive(path, {MANIFEST: text, **members})


def with_manifest(bundle: Bundle, manifest: Manifest, path: str | os.PathLike[str]) -> None:
    """Write ``bundle`` to ``path`` with another manifest and the same members (its own path is allowed).

    The new bundle is not signed.
    """
    write_bundle(path, manifest, {name: bundle.read(name) for name in bundle.manifest.sha256})


def with_signature(bundle: Bundle, signature: bytes, path: str | os.PathLike[str]) -> None:
    """Write ``bundle`` to ``path`` with its manifest's signature (its own path is allowed).

    Args:
        bundle: The bundle.
        signature: As :func:`~prm_runtime.signature.check_signature` takes it.
        path: The file to write.
    """
    members = {name: bundle.read(name) for name in bundle.manifest.sha256}
    write_archive(Path(path), {MANIFEST: bundle.manifest_text, SIGNATURE: signature, **members})


def shipped_bundle(name: str = "voc20-lite0") -> Path:
    """The path of a bundle that comes with the package.

    Args:
        name: ``voc20-lite0`` (20 VOC classes, EfficientNet-Lite0, for live pictures), or ``voc20-lite2`` (the
            same on EfficientNet-Lite2: better masks, half as much work again).
    """
    return MODELS / f"{name}.prm"


def find_bundle(path: str | os.PathLike[str]) -> Path:
    """The path itself, or where there is nothing that of the shipped bundle that it names.

    Example:
        >>> find_bundle("voc20-lite2") == shipped_bundle("voc20-lite2")
        True
    """
    given = Path(path)
    shipped = MODELS / f"{given}.prm"
    is_name = given.parent == Path() and not given.exists() and shipped.is_file()
    return shipped if is_name else given


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """The file, with everything that is wrong about it said in one line that begins with its name."""
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in MODELS.glob("*.prm")))
        raise BundleError(
            f"{path}: no such bundle; give the path of a .prm file made by prm-export, or one of {shipped}"
        )
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MalformedError as error:
        raise BundleError(f"{path}: {error}") from None


def _check_members(listed: set[str], found: set[str]) -> None:
    _check_names(listed)
    if missing := sorted(listed - found):
        raise MalformedError(f"{', '.join(missing)} is missing; the bundle is incomplete, copy it again")
    if unlisted := sorted(found - listed):
        raise MalformedError(
            f"holds {', '.join(unlisted)}, which its manifest does not list; export it again"
        )


def _check_names(members: Iterable[str]) -> None:
    for name in members:
        check_name(name)
        if name in (MANIFEST, SIGNATURE):
            raise MalformedError(f"unsafe member name {name!r}; it is the bundle's own")
