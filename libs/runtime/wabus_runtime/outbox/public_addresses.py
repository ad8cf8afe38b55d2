"""Which addresses are public. Pure."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def is_public(host: str) -> bool:
    """Whether an IP address is reachable from everywhere, and so is whatever IPv4 address it stands for."""
    address = ip_address(host.partition("%")[0])
    return all(each.is_global and not each.is_multicast for each in (address, *_embedded(address)))


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
    found = (address.ipv4_mapped, address.sixtofour, address.teredo and address.teredo[1], translated)
    return [each for each in found if each]
