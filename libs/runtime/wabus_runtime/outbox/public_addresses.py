"""Which addresses are public. Pure."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address

NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # RFC 6890; a cloud has the secrets of its machines at one of them
            "168.63.129.16/32",  # Azure's own, of each machine, though it looks public
            "::/96",  # RFC 4291, section 2.5.5.1: IPv4 addresses, once
            "::ffff:0:0:0/96",  # RFC 2765, section 2.1: IPv4 addresses, translated
            "64:ff9b:1::/48",  # RFC 8215: translates to addresses of a network's own
            "fec0::/10",  # RFC 3879: of a site, once
            "3fff::/20",  # RFC 9637: for documentation
            "5f00::/16",  # RFC 9602: segments of a route
        ),
    )
)
"""What Python takes for global, or did in some release: see the IANA special-purpose address registries."""


def is_public(host: str) -> bool:
    """Whether an IP address is reachable from everywhere, and so is whatever IPv4 address it stands for."""
    address = ip_address(host.partition("%")[0])
    return all(
        each.is_global and not each.is_multicast and not any(each in network for network in NOT_PUBLIC)
        for each in (address, *_embedded(address))
    )


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
    found = (address.ipv4_mapped, address.sixtofour, address.teredo and address.teredo[1], translated)
    return [each for each in found if each]
