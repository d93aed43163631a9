"""Why a source cannot be read, as types: what to do about it differs."""

from __future__ import annotations

from prm_runtime.errors import PrmError
from prm_runtime.sources.uri import is_uri


class SourceError(PrmError):
    """A source that cannot be read, with what to do; no message holds a URI's credentials."""


class NotFoundError(SourceError):
    """There is no such file, device, host or stream."""


class RefusedError(SourceError):
    """The other side does not take the connection, or another program holds the device."""


class UnauthorisedError(SourceError):
    """User and password are missing, wrong or without rights."""


class CodecError(SourceError):
    """It is there, but it is damaged, no video, or of a kind that cannot be decoded."""


class LostError(SourceError):
    """It was silent, ended or broke off; worth trying again."""


def explain(error: Exception, name: str) -> str:
    """One line about any error of the source ``name``; foreign ones about a URI might hold its password."""
    if isinstance(error, PrmError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{name}: out of memory ({error or 'no more to be had'})"
    kind = type(error).__name__
    return f"{name}: {kind}" if is_uri(name) else f"{name}: {kind}: {error}"
