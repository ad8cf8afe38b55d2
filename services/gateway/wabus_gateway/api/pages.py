"""The few pages a person sees on the way back from Meta, made here because they must work without the status page."""

from html import escape

from aiohttp import web

BACK = '<a class="button" href="/">Back to the status page</a>'
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def message_page(status: int, title: str, *texts: str, again: bool = False) -> web.Response:
    """What happened, and the way on: to Meta's dialog `again`, or back to the status page."""
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in texts)
    ways = '<a class="button" href="/?connect=1">Connect again</a> <a class="button quiet" href="/">Back</a>'
    return _page(status, title, f"{paragraphs}<p>{ways if again else BACK}</p>")


def _page(status: int, title: str, content: str) -> web.Response:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)} · WhatsApp connection</title>"
        '<link rel="icon" href="/ui/shared/icon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/ui/shared/base.css"></head>'
        f'<body><main class="notice"><h1>{escape(title)}</h1>{content}</main></body></html>'
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)
