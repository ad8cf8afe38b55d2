"""Where a token may be sent: the bytes of media come from addresses that Meta tells, and from nowhere else."""

from urllib.parse import SplitResult, urlsplit

META_DOMAINS = ("fbsbx.com", "fbcdn.net", "facebook.com", "whatsapp.net")
"""Meta: "Media" (Cloud API reference) has lookaside.fbsbx.com; the others serve Meta's content too."""
_PORTS = {"https": 443, "http": 80}


def may_have_token(url: str, graph_url: str) -> bool:
    """Whether an address is Meta's: by https in one of its domains, or where Graph itself is.

    >>> may_have_token("https://lookaside.fbsbx.com/whatsapp_business/attachments/", "https://graph.facebook.com")
    True
    >>> may_have_token("https://fbsbx.com.example.org/", "https://graph.facebook.com")
    False
    """
    if not url.isascii() or not url.isprintable() or set(url) & set(" \\"):
        return False  # of which two readers may think differently
    try:
        parts, graph = urlsplit(url), urlsplit(graph_url)
        if parts.username is not None or parts.password is not None:
            return False
        if _origin(parts) == _origin(graph):
            return True
        host = (parts.hostname or "").lower()
        return _origin(parts)[0] == "https" and any(
            host == domain or host.endswith(f".{domain}") for domain in META_DOMAINS
        )
    except ValueError:  # a port that is none, a bracket that is never closed
        return False


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)
