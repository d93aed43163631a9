"""URIs without their secrets."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_SECRET_KEYS = {
    "user",
    "username",
    "usr",
    "password",
    "passwd",
    "pass",
    "pwd",
    "token",
    "access_token",
    "key",
    "auth",
}


def is_uri(text: str) -> bool:
    """Whether ``text`` is a URI such as ``rtsp://camera/1`` rather than a path."""
    return "://" in text


def plain_name(text: str) -> str:
    """``text`` as a part of a file's name: all but letters and digits as dashes.

    Example:
        >>> plain_name("rtsp://camera/1")
        'rtsp---camera-1'
    """
    return "".join(character if character.isalnum() else "-" for character in text).strip("-")


def without_credentials(uri: str) -> str:
    """The URI without user, password, and the values of secret-looking query parameters.

    Example:
        >>> without_credentials("rtsp://admin:secret@camera:554/live?token=abc&channel=1")
        'rtsp://camera:554/live?token=%2A%2A%2A&channel=1'
    """
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    query = parts.query
    pairs = parse_qsl(query, keep_blank_values=True)
    if any(key.casefold() in _SECRET_KEYS for key, _ in pairs):
        query = urlencode([(key, "***" if key.casefold() in _SECRET_KEYS else value) for key, value in pairs])
    return urlunsplit((parts.scheme, host, parts.path, query, parts.fragment))
