"""The secret that a page asks for where others can reach it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

from prm_runtime.serve.address import Address
from prm_runtime.sinks.base import SinkError

VARIABLE = "PRM_SERVE_TOKEN"
MIN_LENGTH = 16


class Token:
    """A secret that can be checked but is never shown: not by ``repr``, not in a cookie.

    Example:
        >>> token = Token("correct horse battery")
        >>> token.matches("correct horse battery"), token.matches("")
        (True, False)
        >>> token
        Token(...)
    """

    def __init__(self, secret: str) -> None:
        """Take the secret."""
        self._secret = secret.encode()
        # A browser keeps this, so that a stolen cookie does not give away the token itself.
        self.cookie = hmac.new(self._secret, b"prm-edge page", "sha256").hexdigest()

    def __repr__(self) -> str:
        """Nothing of the secret."""
        return "Token(...)"

    def matches(self, given: str) -> bool:
        """Whether ``given`` is the token, in a time that says nothing about either."""
        return hmac.compare_digest(given.encode(), self._secret)

    def matches_cookie(self, given: str) -> bool:
        """Whether ``given`` is the value of :attr:`cookie`, in a time that says nothing about either."""
        return hmac.compare_digest(given.encode(), self.cookie.encode())


def given_token(environ: Mapping[str, str]) -> str | None:
    """The token of the environment variable ``PRM_SERVE_TOKEN``, None if it is not set.

    Raises:
        SinkError: If it is too short or has characters that no header can carry.
    """
    secret = environ.get(VARIABLE)
    if not secret:
        return None
    if len(secret) < MIN_LENGTH or not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise SinkError(
            f"{VARIABLE}: expected at least {MIN_LENGTH} letters, digits or signs without spaces, got "
            f"{len(secret)} characters; make one with: openssl rand -hex 16"
        )
    return secret


def new_token(address: Address, *, can_be_shown: bool) -> str | None:
    """A fresh token for an address that others can reach, None for loopback.

    Args:
        address: Where the page listens.
        can_be_shown: Whether a person sits at a terminal; a log must not hold it.

    Raises:
        SinkError: If one is needed and nobody is there to read it.
    """
    if address.is_loopback:
        return None
    if not can_be_shown:
        raise SinkError(
            f"--serve {address.host}:{address.port}: others can reach this address; set {VARIABLE} to a "
            f"secret of at least {MIN_LENGTH} characters, or listen on 127.0.0.1"
        )
    return secrets.token_urlsafe(24)
