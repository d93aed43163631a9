"""Bundles: one ``NAME.prm`` file (a zip) holding ``manifest.json`` and the graphs that it names.

A bundle may come from anywhere, so nothing in it is trusted: members are read into memory, never extracted,
their sizes are bounded before they are decompressed, and each is held to its SHA-256 in the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from prm_runtime.console import PrmError
from prm_runtime.manifest import SCHEMA_VERSION, Manifest

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 4 << 20  # ImageNet's 1,000 class names with tuned thresholds need 0.1 MB
MAX_MEMBER_BYTES = 1 << 30  # VGG16 in float32, the largest supported network, needs 0.55 GB
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal inputs give equal bundles


class BundleError(PrmError):
    """A bundle that cannot be read, with what is wrong and what to do."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        path: The file.
        manifest: Its validated manifest.

    Example:
        >>> bundle = Bundle.open(shipped_bundle())
        >>> graph = bundle.read(bundle.manifest.forward.file)
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Read and validate the manifest; the graphs are read by :meth:`read`.

        Raises:
            BundleError: If the file is missing, truncated or not a bundle, if its manifest is invalid or of a
                newer schema, or if a member that the manifest names is missing.
        """
        path = Path(path)
        if not path.is_file():
            raise BundleError(f"{path}: no such bundle; give the path of a .prm file made by prm-export")
        manifest = _parse_manifest(path, _read_member(path, MANIFEST, MAX_MANIFEST_BYTES))
        for graph in manifest.graphs:
            if graph.file not in manifest.sha256:
                raise BundleError(
                    f"{path}: the manifest has no SHA-256 for {graph.file!r}; export the bundle again"
                )
        with _open_zip(path) as archive:
            missing = sorted(set(manifest.sha256) - set(archive.namelist()))
        if missing:
            raise BundleError(
                f"{path}: {', '.join(missing)} is missing; the bundle is incomplete, copy it again"
            )
        return cls(path, manifest)

    def read(self, member: str) -> bytes:
        """Return the bytes of a member, checked against the manifest's SHA-256.

        Raises:
            BundleError: If the manifest does not list the member, or it is damaged, too large or altered.
        """
        expected = self.manifest.sha256.get(member)
        if expected is None:
            known = ", ".join(sorted(self.manifest.sha256)) or "none"
            raise BundleError(f"{self.path}: no member {member!r}; the manifest lists {known}")
        content = _read_member(self.path, member, MAX_MEMBER_BYTES)
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise BundleError(
                f"{self.path}: checksum of {member} is {found[:12]}…, the manifest says {expected[:12]}…; "
                "the file was altered or damaged, copy or export it again"
            )
        return content


def write_bundle(path: str | os.PathLike[str], manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """Write a bundle atomically: under its name there is the old file or the whole new one, never a part.

    Args:
        path: The file to write; missing folders are created.
        manifest: The manifest; its ``sha256`` is filled in from ``members``.
        members: Content by name, among them the files of ``manifest.graphs``.

    Raises:
        BundleError: If a member's name is not a plain relative path, or a graph of the manifest is missing.
    """
    path = Path(path)
    for name in members:
        _check_name(path, name)
    absent = {graph.file for graph in manifest.graphs} - set(members)
    if absent:
        raise BundleError(
            f"{path}: the manifest names {', '.join(sorted(absent))}, which was not given as a member"
        )
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    current = {"sha256": sha256, "schema_version": SCHEMA_VERSION}
    text = manifest.model_copy(update=current).model_dump_json(indent=2)

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in {MANIFEST: text.encode(), **members}.items():
                info = zipfile.ZipInfo(name, _ZIP_EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, content)
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp's 0600 would hide a shared model from other users
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def with_manifest(bundle: Bundle, manifest: Manifest, path: str | os.PathLike[str]) -> None:
    """Write ``bundle`` to ``path`` with another manifest and the same members (its own path is allowed)."""
    write_bundle(path, manifest, {name: bundle.read(name) for name in bundle.manifest.sha256})


def shipped_bundle() -> Path:
    """Return the path of the bundle that comes with the package: 20 VOC classes, EfficientNet-Lite0."""
    return Path(__file__).parent / "models" / "voc20-lite0.prm"


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        with path.open("rb") as file:
            is_cut = file.read(4) == b"PK\x03\x04"  # a zip's table of contents stands at its end
        if is_cut:
            raise BundleError(f"{path}: truncated; copy or download the bundle again") from None
        raise BundleError(f"{path}: not a bundle (expected a zip made by prm-export)") from None


def _check_name(path: Path, name: str) -> None:
    plain = PurePosixPath(name)
    leaves = not name or plain.is_absolute() or ".." in plain.parts or "\\" in name or ":" in name
    if leaves or name == MANIFEST:
        raise BundleError(f"{path}: unsafe member name {name!r}; expected a plain relative path")


def _read_member(path: Path, name: str, limit: int) -> bytes:
    with _open_zip(path) as archive:
        try:
            info = archive.getinfo(name)
        except KeyError:
            raise BundleError(f"{path}: {name} is missing; this is not a bundle made by prm-export") from None
        # The declared size is only a claim, but zipfile never decompresses more than it.
        if info.file_size > limit:
            size = f"{info.file_size:,} bytes"
            raise BundleError(f"{path}: {name} would unpack to {size}, more than the {limit:,} allowed")
        try:
            return archive.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise BundleError(f"{path}: {name} is damaged ({error}); copy the bundle again") from None


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        data = json.loads(content)
    except ValueError as error:
        raise BundleError(f"{path}: {MANIFEST} is not JSON ({error})") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: written for schema version {version}, this prm-edge reads up to {SCHEMA_VERSION}; "
            "upgrade with: pip install --upgrade prm-edge"
        )
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise BundleError(f"{path}: invalid manifest at {where}: {first['msg']}") from None
    for name in manifest.sha256:
        _check_name(path, name)
    return manifest


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
