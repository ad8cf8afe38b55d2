"""HTTP as bytes on a socket: what no client library would send, and what broke something once."""

import asyncio
import base64
import gzip
import re
import zlib
from dataclasses import dataclass

from webhooks import conversation, encoded, signed, text, webhook

PATH = b"/webhooks/whatsapp"
MARK = "zebra-crossing"
"""In every body and header that is sent: no log may have it."""

BODY = encoded(webhook(conversation(messages=[text(f"wamid.{MARK}", body=MARK)])))


def request(
    body: bytes = BODY, *lines: bytes, path: bytes = PATH, signature: bytes | None = None, length: bytes | None = None
) -> bytes:
    """A webhook with more header lines; `length` takes the place of a correct Content-Length, empty for none."""
    signature = signed(body)["X-Hub-Signature-256"].encode() if signature is None else signature
    head = [
        b"POST %s HTTP/1.1" % path,
        b"Host: x",
        b"X-Mark: " + MARK.encode(),
        b"X-Hub-Signature-256: " + signature,
        *((b"Content-Length: %d" % len(body),) if length is None else (length,) if length else ()),
        *lines,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def form(body: bytes, kind: bytes = b"application/x-www-form-urlencoded") -> bytes:
    """A form as Meta posts it to the deauthorise callback."""
    return request(body, b"Content-Type: " + kind, path=b"/whatsapp/deauthorize")


SENTINEL = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def answers(port: int, raw: bytes, *, wait: float = 5.0) -> list[int]:
    """The statuses of all answers, until the server ends the connection; after `wait` seconds we do."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        async with asyncio.timeout(wait):
            writer.write(raw)
            while piece := await reader.read(65536):
                received += piece
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", received)]


async def answered(port: int, odd: "Odd") -> list[int]:
    """All answers to a request that another one follows on the connection: more than two would be a smuggled one's."""
    if odd.unfinished:
        return await answers(port, odd.raw, wait=0.5)
    return await answers(port, odd.raw + SENTINEL)


@dataclass(frozen=True)
class Odd:
    """A request and the statuses that may answer it; None stands for a closed connection without an answer."""

    name: str
    raw: bytes
    allowed: tuple[int | None, ...]
    unfinished: bool = False
    """Whether more of it would have to come, so that nothing may be answered yet."""


def _chunked(body: bytes = BODY) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def _smuggled(*lines: bytes, tail: bytes = b"") -> bytes:
    """A request whose end is a matter of opinion; who thinks it ends early sees a second one in it."""
    head = b"\r\n".join([b"POST %s HTTP/1.1" % PATH, b"Host: x", *_signature(), *lines])
    return head + b"\r\n\r\n" + (tail or _chunked())


def _signature() -> list[bytes]:
    return [b"X-Hub-Signature-256: " + signed(BODY)["X-Hub-Signature-256"].encode()]


def _replaced(old: bytes, new: bytes) -> bytes:
    changed = request().replace(old, new, 1)
    assert changed != request()
    return changed


BAD = (400, None)
_LENGTH = b"Content-Length: %d" % len(BODY)
_BOMB = gzip.compress(b"0" * 100_000_000)

ODD: list[Odd] = [
    Odd("plain", request(), (200,)),
    Odd("chunked", _smuggled(b"Transfer-Encoding: chunked"), (200,)),
    Odd(
        "chunk extension",
        _smuggled(b"Transfer-Encoding: chunked", tail=_chunked().replace(b"\r\n", b";a=b\r\n", 1)),
        (200, 400),
    ),
    Odd("absolute URI", _replaced(PATH, b"http://elsewhere" + PATH), (200, 400)),
    Odd("HTTP/1.0", _replaced(b"HTTP/1.1", b"HTTP/1.0"), (200, 400)),
    # Compressed: the signature is over what was sent, and nothing is unpacked.
    *(
        Odd(f"compressed with {kind}", request(packed, b"Content-Encoding: " + kind.encode()), (415, 400))
        for kind, packed in {
            "gzip": gzip.compress(BODY),
            "deflate": zlib.compress(BODY),
            "br": BODY,
            "zstd": BODY,
            "rot13": BODY,
            "gzip, gzip": gzip.compress(gzip.compress(BODY)),
        }.items()
    ),
    Odd("what is no gzip", request(BODY, b"Content-Encoding: gzip"), (415,)),
    Odd("what is no deflate", request(BODY, b"Content-Encoding: deflate"), (415,)),
    Odd("a bomb", request(_BOMB, b"Content-Encoding: gzip"), (415,)),
    Odd(
        "the signature of what is packed",
        request(gzip.compress(BODY), b"Content-Encoding: gzip", signature=signed(BODY)["X-Hub-Signature-256"].encode()),
        (415,),
    ),
    # Smuggling (RFC 9112, section 11.2): whoever sits before us must not see other requests than we do.
    Odd("length, then chunked", _smuggled(b"Content-Length: 4", b"Transfer-Encoding: chunked"), BAD),
    Odd("chunked, then length", _smuggled(b"Transfer-Encoding: chunked", b"Content-Length: 4"), BAD),
    Odd("two lengths", request(BODY, b"Content-Length: 4"), BAD),
    Odd("the same length twice", request(BODY, _LENGTH), (200, *BAD)),
    Odd("a list of lengths", request(length=b"%s, %d" % (_LENGTH, len(BODY))), BAD),
    Odd("a length with a sign", request(length=_LENGTH.replace(b": ", b": +")), BAD),
    Odd("a negative length", request(length=b"Content-Length: -1"), BAD),
    Odd("a length in hex", request(length=b"Content-Length: 0x%x" % len(BODY)), BAD),
    Odd("a huge length", request(length=b"Content-Length: 99999999999999999999999"), (413, *BAD)),
    Odd("no length", request(length=b""), (403, *BAD)),
    Odd("a space before the colon", request(length=_LENGTH.replace(b":", b" :")), BAD),
    Odd("a folded header", request(BODY, b"X-Folded: a\r\n b"), BAD),
    Odd("only line feeds", request().replace(b"\r\n", b"\n"), BAD),
    Odd("one line feed", _replaced(b"Host: x\r\n", b"Host: x\nX-A: b\r\n"), BAD),
    Odd("one carriage return", _replaced(b"Host: x\r\n", b"Host: x\rX-A: b\r\n"), BAD),
    Odd("a NUL in a header", request(BODY, b"X-A: b\0c"), BAD),
    Odd("an unknown transfer coding", _smuggled(b"Transfer-Encoding: xchunked"), BAD),
    Odd("chunked not last", _smuggled(b"Transfer-Encoding: chunked, identity"), BAD),
    Odd("chunked twice", _smuggled(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), BAD),
    Odd(
        "chunked in HTTP/1.0",
        _smuggled(b"Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
        (200, 403, *BAD),
    ),
    Odd("a chunk size that is none", _smuggled(b"Transfer-Encoding: chunked", tail=b"zz\r\n" + _chunked()), BAD),
    Odd("a negative chunk", _smuggled(b"Transfer-Encoding: chunked", tail=b"-1\r\n" + _chunked()), BAD),
    Odd("a chunk beyond all bounds", _smuggled(b"Transfer-Encoding: chunked", tail=b"f" * 20 + b"\r\n"), BAD),
    Odd(
        "a chunk size ended by a line feed",
        _smuggled(b"Transfer-Encoding: chunked", tail=_chunked().replace(b"\r\n", b"\n", 1)),
        BAD,
    ),
    # What is no request at all.
    Odd("nothing", b"", (None,), unfinished=True),
    Odd("half a head", request()[:60], BAD, unfinished=True),
    Odd("half a body", request()[:-20], BAD, unfinished=True),
    Odd("HTTP/0.9", b"GET /\r\n\r\n", BAD),
    Odd("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    Odd("TLS", bytes.fromhex("16030100a5010000a10303") + MARK.encode() * 10, BAD),
    Odd("no host", _replaced(b"Host: x\r\n", b""), (200, *BAD)),
    Odd("two hosts", request(BODY, b"Host: y"), (200, *BAD)),
    Odd("a long header", request(BODY, b"X-A: " + b"a" * 100_000), BAD),
    Odd("many headers", request(BODY, *(b"X-%d: a" % number for number in range(5_000))), BAD),
    Odd("a long path", request(path=PATH + b"/" + b"a" * 100_000), BAD),
    Odd("bytes in the path", request(path=PATH + b"/\xff\xfe"), (200, *BAD)),
    Odd("percents in the path", request(path=PATH + b"/%ff%00%2e%2e%2f"), (200, 403, 404)),
    Odd("a foreign expectation", request(BODY, b"Expect: 200-maybe"), (417, 200)),
    Odd("an upgrade", request(BODY, b"Upgrade: h2c", b"Connection: Upgrade"), (200, *BAD)),
    Odd("an odd method", _replaced(b"POST", b"BREW"), (405, *BAD)),
    Odd("a method of bytes", _replaced(b"POST", b"P\xffST"), BAD),
    # Signatures.
    *(
        Odd(f"the signature {signature!r}", request(signature=signature), (403, *BAD))
        for signature in (
            *(
                b"",
                b"sha256=",
                b"sha256=" + b"0" * 64,
                b"sha256=\xff\xfe",
                b"sha1=" + b"0" * 40,
                b"SHA256=" + b"0" * 64,
            ),
            *(b"sha256=" + b"0" * 63, b"sha256=" + b"0" * 65, b"sha256=" + "٠".encode() * 64),
        )
    ),
    # Forms of Meta's, and the handshake.
    Odd("a form", form(b"signed_request=a.b"), (403,)),
    Odd("multipart without a boundary", form(b"abcd", b"multipart/form-data"), (415,)),
    Odd("multipart that ends early", form(b"--a\r\nabcd", b"multipart/form-data; boundary=a"), (415,)),
    Odd("a charset that there is not", form(b"a=%ff", b"application/x-www-form-urlencoded; charset=nope"), (400,)),
    Odd("a form that is not of its charset", form(b"signed_request=\xff.\xff"), (400, 403)),
    Odd("a signed request beyond ASCII", form("signed_request=é.é".encode()), (400, 403)),
    Odd("a signed request with a surrogate", form(b"signed_request=YQ.%ED%A0%80aa"), (400, 403)),
    Odd("a signed request without end", form(b"signed_request=YQ." + base64.urlsafe_b64encode(b"[" * 30_000)), (403,)),
    *(
        Odd(f"the handshake {query!r}", b"GET %s?%s HTTP/1.1\r\nHost: x\r\n\r\n" % (PATH, query), (403,))
        for query in (
            b"",
            b"hub.mode=subscribe&hub.verify_token=%ff%00",
            b"hub.mode=subscribe&hub.verify_token=%ed%a0%80",
        )
    ),
]
"""The corpus: each broke something once, here or elsewhere, or looks as if it might."""
