"""Serves the pages: a few static files, read once at the start, and a session for a person at this machine."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from wabus_pages.assets import Asset, read_assets
from wabus_runtime.http.answers import Problem, json_response
from wabus_runtime.http.auth import make_token
from wabus_runtime.http.formats.compression import uncompressed
from wabus_runtime.http.headers import is_known
from wabus_runtime.settings import AuthSettings, MetaSettings

SESSION_LIFETIME = timedelta(hours=1)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "media-src 'self'; "
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

PAGES = {"/": "status", "/inbox": "inbox", "/insights": "insights"}
"""The address of each page, and its folder."""

FOREVER = "public, max-age=31536000, immutable"
"""What is asked for under the name of its release never changes (RFC 8246)."""

PROXIED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")
"""Headers of a request that came through a proxy or tunnel on this machine, from who knows where."""


class UiSettings(MetaSettings, AuthSettings):
    ui_local_org: str | None = None
    """For the local stack: whoever sits at this machine is an administrator of this organisation."""


def install_ui(app: web.Application, settings: UiSettings) -> None:
    """Add the pages, their files under `/ui/` and, where a local organisation is set, `GET /ui/session`."""
    assets = read_assets()

    def page(path: str, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            local = settings.ui_local_org is not None
            if local and (elsewhere := canonical_address(request.host, settings.public_url)):
                # As it was sent: decoded, it could hold the end of the line and another header.
                raw = request.rel_url.raw_query_string
                location = f"{elsewhere}{path}?{raw}" if raw else f"{elsewhere}{path}"
                return web.Response(status=307, headers={"Location": location, "Cache-Control": "no-store"})
            return _answer(request, assets.files[f"{name}/index.html"])

        return answer

    async def file(request: web.Request) -> web.Response:
        asset = assets.files.get("{folder}/{file}".format_map(request.match_info))
        if asset is None:
            raise web.HTTPNotFound
        # Of another release, while one takes another's place: what there is now, and nobody keeps it under that name.
        return _answer(request, asset, forever=request.match_info.get("release") == assets.release)

    for path, name in PAGES.items():
        app.router.add_get(path, page(path, name))
    app.router.add_get("/ui/session", _session(settings))
    app.router.add_get("/ui/{folder}/{file}", file)
    app.router.add_get("/ui/{release}/{folder}/{file}", file)


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
        if not _is_loopback(urlsplit(settings.public_url).hostname):  # whatever makes it public brings strangers here
            raise Problem(403, "not_local", "Not allowed", "PUBLIC_URL is not an address of this machine.")
        if not is_at_this_machine(request.remote, request.headers.get("Host", ""), set(request.headers)):
            raise Problem(403, "not_local", "Not allowed", "This is for a browser on the same machine only.")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Problem(403, "not_local", "Not allowed", "This is for our pages only.")
        token = make_token(
            settings, org_id=settings.ui_local_org, role="admin", now=datetime.now(UTC), lifetime=SESSION_LIFETIME
        )
        return uncompressed(json_response({"token": token}))

    return session


def _answer(request: web.Request, asset: Asset, *, forever: bool = False) -> web.Response:
    headers = {**HEADERS, "ETag": f'W/"{asset.tag}"', **({"Cache-Control": FOREVER} if forever else {})}
    if is_known(request, asset.tag):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = asset.content_type
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        return web.Response(body=asset.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=asset.plain, headers=headers)


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
