"""Where something listens or is to be found: a host and a port, as HOST:PORT or [V6]:PORT."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

__all__ = ["Endpoint", "is_loopback", "is_wildcard", "parse_endpoint"]

PORT_MAX = 65535


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    host: str
    port: int  # 0, of a socket that is to be opened: any that is free

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """ValueError for anything but HOST:PORT or [V6]:PORT."""
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    if not colon or not bare or not port.isascii() or not port.isdigit() or len(port) > 5:
        raise ValueError(f"{text!r} is not HOST:PORT")
    if ":" in bare and not is_bracketed:
        raise ValueError(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:7379")
    if int(port) > PORT_MAX:
        raise ValueError(f"{text!r}: a port is at most {PORT_MAX}")
    if not bare.isprintable() or any(c in "[]/ " for c in bare):
        raise ValueError(f"{text!r}: {bare!r} is no host")
    return Endpoint(bare, int(port))


def is_loopback(host: str) -> bool:
    """Whether nobody on another machine can reach it, whatever names are made to mean."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_wildcard(host: str) -> bool:
    """Whether it means all addresses of this machine, so that nobody can connect to it by name."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
