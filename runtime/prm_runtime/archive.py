"""The zip around a bundle, read strictly and without unpacking anything to disk.

``zipfile`` is made to read as many files as it can: it takes what precedes, follows or overlaps the members,
and unpacks whatever a stream holds before it cuts the result to the declared size. A file from anywhere calls
for the opposite, so the table of contents is read here; writing is ``zipfile``'s.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from prm_runtime.malformed import MalformedError

MAX_MEMBERS: Final = 64
MAX_MEMBER_BYTES: Final = 1 << 30  # VGG16 in float32, the largest supported network, needs 0.55 GB
MAX_TOTAL_BYTES: Final = 3 << 30
MAX_RATIO: Final = 200  # weights shrink to a half, manifests to a tenth; a bomb goes to a thousandth
_RATIO_FROM_BYTES: Final = 1 << 20  # below, any ratio is harmless

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_MAGIC, _ENTRY_MAGIC, _LOCAL_MAGIC = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_MAX_COMMENT = 0xFFFF
_ENCRYPTED, _SIZES_FOLLOW = 0x2041, 0x0008  # bits of the flags
_SIZES_LENGTHS = {12, 16, 20, 24}  # bytes of the sizes that follow a member written as a stream
_DOS_FOLDER = 0x10
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal inputs give equal bundles
_PLAIN_PATH = re.compile(r"[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*", re.ASCII)


@dataclass(frozen=True)
class Member:
    """One file in the zip.

    Attributes:
        name: Its path.
        is_packed: Whether it is deflated, or stored as it is.
        packed_size: Bytes that it takes in the zip.
        size: Bytes that it has to unpack to.
        checksum: CRC-32 of those.
        header: Where its local header starts.
    """

    name: str
    is_packed: bool
    packed_size: int
    size: int
    checksum: int
    header: int


def read_table(file: BinaryIO) -> dict[str, Member]:
    """Read the table of contents, and hold the layout of the file to it.

    Args:
        file: Opened for reading, seekable.

    Returns:
        The members by name: plain files with plain relative paths, of which no two share a name or a byte.

    Raises:
        MalformedError: If the file is anything else.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END.size, 0))
    end = file.read(_END.size).ljust(_END.size, b"\0")
    magic, disk, table_disk, here, count, length, start, comment = _END.unpack(end)
    if magic != _END_MAGIC or comment:
        raise MalformedError(_without_end(file, size))
    if disk or table_disk or here != count or start + length + _END.size != size:
        raise MalformedError("the zip's table of contents is not where it should be; copy the bundle again")
    if count > MAX_MEMBERS:
        raise MalformedError(f"holds {count:,} members, expected at most {MAX_MEMBERS}; it is no bundle")
    file.seek(start)
    members = _parse_table(file.read(length), count)
    if (total := sum(member.size for member in members)) > MAX_TOTAL_BYTES:
        raise MalformedError(f"would unpack to {total:,} bytes, more than the {MAX_TOTAL_BYTES:,} allowed")
    _check_layout(file, members, start)
    return {member.name: member for member in members}


def read_member(file: BinaryIO, member: Member, limit: int = MAX_MEMBER_BYTES) -> bytes:
    """Unpack one member in memory, never further than its declared size.

    Args:
        file: As for :func:`read_table`.
        member: The member.
        limit: Most bytes that it may have.

    Raises:
        MalformedError: If it is larger, or does not unpack to what the table of contents says.
    """
    if member.size > limit:
        raise MalformedError(
            f"{member.name} would unpack to {member.size:,} bytes, more than the {limit:,} allowed"
        )
    start, _ = _find_data(file, member)
    file.seek(start)
    content = file.read(member.packed_size)
    if member.is_packed:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(content, member.size + 1)
        except zlib.error as error:
            raise MalformedError(f"{member.name} is damaged ({error}); copy the bundle again") from None
        if len(content) > member.size:
            raise MalformedError(
                f"{member.name} is damaged (more than the {member.size:,} bytes it declares)"
            )
        if not inflater.eof or inflater.unused_data:
            raise MalformedError(f"{member.name} is damaged (its data end elsewhere); copy the bundle again")
    if len(content) != member.size or zlib.crc32(content) != member.checksum:
        raise MalformedError(f"{member.name} is damaged (its CRC-32 differs); copy the bundle again")
    return content


def check_name(name: str) -> None:
    """Refuse all but plain relative paths of letters, digits and ``_ + - .``.

    Raises:
        MalformedError: If ``name`` is anything else.
    """
    if name.endswith("/"):
        raise MalformedError(f"{_shown(name)} is a folder; a bundle holds files only")
    if not _PLAIN_PATH.fullmatch(name):
        raise MalformedError(f"unsafe member name {_shown(name)}; expected a plain relative path")


def write_archive(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip atomically: under its name there is the old file or the whole new one, never a part.

    Args:
        path: The file to write; missing folders are created.
        members: Content by name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, content)
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp's 0600 would hide a shared model from other users
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _without_end(file: BinaryIO, size: int) -> str:
    """Why a file does not end as a zip does."""
    file.seek(0)
    is_zip = file.read(4) == _LOCAL_MAGIC
    file.seek(max(size - _END.size - _MAX_COMMENT, 0))
    tail = file.read()
    end = tail.rfind(_END_MAGIC)
    if end >= 0 and (extra := len(tail) - end - _END.size) > 0:
        return f"{extra:,} bytes follow the end of the zip; copy or export the bundle again"
    if is_zip:  # its table of contents stands at its end
        return "truncated; copy or download the bundle again"
    return "not a bundle (expected a zip made by prm-export)"


def _parse_table(table: bytes, count: int) -> list[Member]:
    members, position = dict[str, Member](), 0
    for _ in range(count):
        if position + _ENTRY.size > len(table):
            break
        magic, *_, comment_size, _, _, attributes, header = fields = _ENTRY.unpack_from(table, position)
        flags, method, checksum, packed_size, size, name_size, extra_size = (*fields[3:5], *fields[7:12])
        if magic != _ENTRY_MAGIC:
            break
        position += _ENTRY.size
        name = table[position : position + name_size].decode("utf-8", "backslashreplace")
        position += name_size + extra_size + comment_size
        check_name(name)
        _check_kind(name, attributes, flags, method)
        if name in members:
            raise MalformedError(f"holds {name} twice; copy or export the bundle again")
        if size > max(MAX_RATIO * packed_size, _RATIO_FROM_BYTES):
            raise MalformedError(
                f"{name} would unpack to {size:,} bytes from {packed_size:,}, more than {MAX_RATIO} times as "
                "many; refused as a zip bomb"
            )
        members[name] = Member(name, method == zipfile.ZIP_DEFLATED, packed_size, size, checksum, header)
    if position != len(table) or len(members) != count:
        raise MalformedError("the zip's table of contents is damaged; copy the bundle again")
    return list(members.values())


def _check_kind(name: str, attributes: int, flags: int, method: int) -> None:
    mode = attributes >> 16
    if stat.S_ISLNK(mode):
        raise MalformedError(f"{name} is a link; a bundle holds plain files only")
    if attributes & _DOS_FOLDER or stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise MalformedError(f"{name} is a folder or device; a bundle holds plain files only")
    if flags & _ENCRYPTED:
        raise MalformedError(f"{name} is encrypted; a bundle has no password, export it again")
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MalformedError(
            f"{name} is packed by method {method}; expected 8 (deflate) or 0, export it again"
        )


def _check_layout(file: BinaryIO, members: list[Member], table_start: int) -> None:
    """Members have to fill the file from its first byte to the table of contents."""
    ordered = sorted(members, key=lambda member: member.header)
    borders = [*(member.header for member in ordered), table_start]
    if borders[0] != 0:
        raise MalformedError(
            f"{borders[0]:,} bytes precede the first member; copy or export the bundle again"
        )
    for member, (_, end) in zip(ordered, pairwise(borders), strict=True):
        start, sizes_follow = _find_data(file, member)
        rest = end - start - member.packed_size
        if rest < 0:
            raise MalformedError(f"{member.name} overlaps what follows it; copy or export the bundle again")
        if rest and not (sizes_follow and rest in _SIZES_LENGTHS):
            raise MalformedError(f"{rest:,} bytes between members belong to none; export the bundle again")


def _find_data(file: BinaryIO, member: Member) -> tuple[int, bool]:
    """Where a member's data start, and whether its sizes follow them.

    Raises:
        MalformedError: If there is no local header, or it disagrees with the table of contents.
    """
    file.seek(member.header)
    header = file.read(_LOCAL.size).ljust(_LOCAL.size, b"\0")
    magic, _, flags, method, *_, name_size, extra_size = _LOCAL.unpack(header)
    agrees = (
        file.read(name_size) == member.name.encode() and (method != zipfile.ZIP_STORED) == member.is_packed
    )
    if magic != _LOCAL_MAGIC or not agrees:
        raise MalformedError(
            f"{member.name} is not where the zip's table of contents says; copy the bundle again"
        )
    return member.header + _LOCAL.size + name_size + extra_size, bool(flags & _SIZES_FOLLOW)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:100]}…")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
