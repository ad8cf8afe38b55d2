"""Where webhooks may go. Pure.

What a name resolves to is looked at where it is known; here only what the address itself says.
Source: OWASP, "Server-Side Request Forgery Prevention Cheat Sheet".
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from wabus_runtime.outbox.public_addresses import is_public

LONGEST = 2048  # characters


class RefusedAddress(ValueError):
    """Nothing is told there. The message says why, without repeating the address."""


def host_and_port(url: str, *, private: bool) -> tuple[str, int]:
    """Where an address leads. Raises `RefusedAddress`; with `private` also http and addresses that are not public may.

    >>> host_and_port("https://hooks.example.com/wabus", private=False)
    ('hooks.example.com', 443)
    """
    if len(url) > LONGEST or any(character <= " " or character == "\x7f" for character in url):
        raise RefusedAddress(f"The address must have at most {LONGEST} characters, and no spaces.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise RefusedAddress("This is no address.") from None
    if port == 0:
        raise RefusedAddress("This is no address.")
    if parts.scheme not in (("https", "http") if private else ("https",)) or not host:
        raise RefusedAddress("The address must begin with https:// and name a host.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise RefusedAddress("The address must have no user, no password and no fragment.")
    if not private and _is_not_public(host):
        raise RefusedAddress("The address is not public.")
    return host, port or (443 if parts.scheme == "https" else 80)


def _is_not_public(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return not is_public(host)
