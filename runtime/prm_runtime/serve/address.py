"""Where the page listens: HOST:PORT as a user types it."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from prm_runtime.sinks.base import SinkError

LOOPBACK = "127.0.0.1"
_BACKLOG = 64


@dataclass(frozen=True)
class Address:
    """A host and a port to listen on.

    Attributes:
        host: Name or IP address, without brackets.
        port: 0 lets the system choose one.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer can reach it."""
        return self.host == "localhost" or _is_loopback_ip(self.host)

    @property
    def url(self) -> str:
        """What to type into a browser."""
        host = _own_ip() if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 (compared, not bound)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"


def parse_address(text: str) -> Address:
    """The address that ``text`` names; without a host it is this computer's loopback.

    Raises:
        SinkError: If it is no such address.

    Example:
        >>> parse_address("8080")
        Address(host='127.0.0.1', port=8080)
        >>> parse_address("[::1]:80").host
        '::1'
    """
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in bare and not is_bracketed):
        raise SinkError(
            f"--serve {text}: expected HOST:PORT or PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080"
        )
    return Address(bare or LOOPBACK, int(port))


def listen(address: Address) -> socket.socket:
    """Listen there.

    Raises:
        SinkError: If the host is unknown, or the port is taken or reserved.
    """
    host = LOOPBACK if address.host == "localhost" else address.host
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _cannot_listen(address, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(address, error) from None
    return listener


def _cannot_listen(address: Address, error: OSError) -> SinkError:
    reason = (error.strerror or type(error).__name__).lower()
    return SinkError(f"--serve {address.host}:{address.port}: cannot listen there ({reason}); choose another")


def _is_loopback_ip(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _own_ip() -> str:
    """The address under which others in the local network most likely reach this computer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # chooses a route; a datagram socket sends nothing yet
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
