"""Connections to public addresses only, for URLs that come from outside: nobody may reach through us what only we can.

The address is looked at where the connection is made, so that no name, redirect or second answer of DNS leads past it.
Source: OWASP, "Server-Side Request Forgery Prevention Cheat Sheet".
"""

import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from wabus_runtime.outbox.public_addresses import is_public


class PrivateAddress(OSError):
    """A URL leads to an address that is not public."""


def public_connector(names: AbstractResolver, most: int) -> aiohttp.TCPConnector:
    """For a `ClientSession` of `most` connections: it connects to public addresses, and fails for all others."""
    return aiohttp.TCPConnector(limit=most, resolver=names, socket_factory=_public_socket)


def _public_socket(addr_info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    family, kind, protocol, _, address = addr_info
    if not is_public(address[0]):
        raise PrivateAddress("this address is not public")
    return socket.socket(family, kind, protocol)
