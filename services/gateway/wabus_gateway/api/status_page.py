"""Serves the status page: a few static files, read once at the start, and a session for a person at this machine."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from wabus_runtime.http.answers import Problem, json_response
from wabus_runtime.http.auth import make_token
from wabus_runtime.settings import AuthSettings, MetaSettings

SESSION_LIFETIME = timedelta(hours=1)

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}

PROXIED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")
"""Headers of a request that came through a proxy or tunnel on this machine, from who knows where."""


class UiSettings(MetaSettings, AuthSettings):
    ui_local_org: str | None = None
    """For the local stack: whoever sits at this machine is an administrator of this organisation."""


@dataclass(frozen=True)
class Asset:
    """A file as it is sent, plain and compressed; `tag` is its ETag."""

    plain: bytes
    compressed: bytes
    tag: str
    content_type: str


def read_assets() -> dict[str, Asset]:
    """The page's files by name."""
    return {
        file.name: _asset(file.read_bytes(), CONTENT_TYPES["." + file.name.rpartition(".")[2]])
        for file in files("wabus_gateway").joinpath("ui").iterdir()
        if "." + file.name.rpartition(".")[2] in CONTENT_TYPES
    }


def install_ui(app: web.Application, settings: UiSettings) -> None:
    """Add `GET /`, `GET /ui/{file}` and, where a local organisation is set, `GET /ui/session`."""
    assets = read_assets()

    async def page(request: web.Request) -> web.Response:
        if settings.ui_local_org is not None and (elsewhere := canonical_address(request.host, settings.public_url)):
            # As it was sent: decoded, it could hold the end of the line and another header.
            raw = request.rel_url.raw_query_string
            query = f"?{raw}" if raw else ""
            return web.Response(status=307, headers={"Location": f"{elsewhere}/{query}", "Cache-Control": "no-store"})
        return _answer(request, assets["index.html"])

    async def file(request: web.Request) -> web.Response:
        asset = assets.get(request.match_info["file"])
        if asset is None:
            raise web.HTTPNotFound
        return _answer(request, asset)

    app.router.add_get("/", page)
    app.router.add_get("/ui/session", _session(settings))
    app.router.add_get("/ui/{file}", file)


def canonical_address(host: str, public_url: str) -> str | None:
    """Where the page should be opened instead: `localhost` and `127.0.0.1` don't share the cookie of a sign-up."""
    wanted = urlsplit(public_url)
    name, port = _address(host)
    is_other_name = _is_loopback(wanted.hostname) and _is_loopback(name) and host != wanted.netloc
    return public_url if is_other_name and port == wanted.port else None


def is_at_this_machine(peer: str | None, host: str, header_names: set[str]) -> bool:
    """Whether the request came directly from this machine, for an address of this machine.

    A name that somebody points at 127.0.0.1 (DNS rebinding) shows in `Host`; a tunnel to this port in its headers.
    """
    names = {name.lower() for name in header_names}
    if any(name.lower() in names for name in PROXIED):
        return False
    return "@" not in host and _is_loopback(_address(host)[0]) and _is_loopback(peer)


def _session(settings: UiSettings) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def session(request: web.Request) -> web.Response:
        if settings.ui_local_org is None or settings.jwt_secret is None:
            raise web.HTTPNotFound
        if not is_at_this_machine(request.remote, request.headers.get("Host", ""), set(request.headers)):
            raise Problem(403, "not_local", "Not allowed", "This is for a browser on the same machine only.")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Problem(403, "not_local", "Not allowed", "This is for the status page only.")
        token = make_token(
            settings, org_id=settings.ui_local_org, role="admin", now=datetime.now(UTC), lifetime=SESSION_LIFETIME
        )
        return json_response({"token": token})

    return session


def _answer(request: web.Request, asset: Asset) -> web.Response:
    headers = {**HEADERS, "ETag": f'W/"{asset.tag}"'}
    if any(known.value in (asset.tag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = asset.content_type
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        return web.Response(body=asset.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=asset.plain, headers=headers)


def _asset(plain: bytes, content_type: str) -> Asset:
    tag = hashlib.blake2b(plain, digest_size=12).hexdigest()
    return Asset(plain, gzip.compress(plain, compresslevel=9, mtime=0), tag, content_type)


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _address(host: str) -> tuple[str | None, int | None]:
    """Name and port of a `Host` header; nothing of a malformed one."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname, parts.port
    except ValueError:
        return None, None
