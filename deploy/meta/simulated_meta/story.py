"""A handful of people with something to say, so that whoever tries an inbox has somebody in it. Pure.

What they send is of the types that Meta's pages "… messages webhook reference" describe.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]

MINUTE, HOUR = 60, 3_600  # seconds


@dataclass(frozen=True, slots=True)
class Line:
    """What was said so many seconds ago, by whom; what was ago comes as history. A medium has its bytes with it."""

    ago: int
    content: Json
    by: Literal["person", "business"] = "person"
    medium: bytes | None = None
    mime_type: str = ""
    about: int | None = None
    """The place of the line in the same story that it replies to."""


@dataclass(frozen=True, slots=True)
class Story:
    phone: str
    name: str
    lines: tuple[Line, ...]
    answers: tuple[str, ...]
    """What they say when they are written to, one after the other, and then from the beginning."""
    likes: str | None = None
    """With what they react before they answer."""
    username: str | None = None


def text(body: str) -> Json:
    return {"type": "text", "text": {"body": body}}


def picture(width: int = 480, height: int = 360) -> bytes:
    """A plant on a window sill, as far as a few lines can draw one: a PNG."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += _colour(x / width, y / height)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(bytes(rows), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _colour(x: float, y: float) -> bytes:
    leaves = ((0.38, 0.4, 0.1), (0.5, 0.3, 0.12), (0.62, 0.4, 0.1), (0.44, 0.52, 0.09), (0.56, 0.52, 0.09))
    if any((x - left) ** 2 / 0.4 + (y - top) ** 2 < size**2 for left, top, size in leaves):
        return bytes((62 + int(40 * x), 128 + int(50 * (1 - y)), 84))
    if 0.6 < y < 0.86 and abs(x - 0.5) < 0.16 - 0.12 * (y - 0.6):
        return bytes((196, 110 - int(30 * abs(x - 0.5)), 78))
    if y > 0.84:
        return bytes((214, 200, 184))
    return bytes((206 + int(30 * (1 - y)), 226, 240))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


INVOICE = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)

STORIES = (
    Story(
        "16505550142",
        "Maya Okafor",
        (
            Line(50 * HOUR, text("Hello, do you deliver to Oakland?")),
            Line(49 * HOUR, text("We do, every Tuesday and Friday."), by="business"),
            Line(49 * HOUR - 4 * MINUTE, text("Lovely, then I will choose something.")),
        ),
        ("Oh hello! Yes, I am still interested.",),
    ),
    Story(
        "4915112345678",
        "Jürgen Weiß",
        (
            Line(0, text("Guten Tag, meine Bestellung 860198 ist noch nicht da.")),
            Line(0, text("Sie sollte gestern kommen.")),
        ),
        ("Vielen Dank für die schnelle Antwort!", "Das passt gut, bis dann."),
    ),
    Story(
        "5511987654321",
        "João Pedro Alves",
        (
            Line(0, text("Oi! Quero fazer este pedido")),
            Line(
                0,
                {
                    "type": "order",
                    "order": {
                        "catalog_id": "194836987003835",
                        "text": "Para sábado, por favor",
                        "product_items": [
                            {
                                "product_retailer_id": "blue-elf-aloe",
                                "quantity": 2,
                                "item_price": 39.9,
                                "currency": "BRL",
                            },
                            {
                                "product_retailer_id": "terracotta-pot",
                                "quantity": 2,
                                "item_price": 18.5,
                                "currency": "BRL",
                            },
                        ],
                    },
                },
            ),
        ),
        ("Perfeito, muito obrigado! 🌿", "Pode ser na parte da manhã?"),
        "❤️",
    ),
    Story(
        "972501234567",
        "דנה לוי",
        (
            Line(0, text("שלום, האם אתם פתוחים בשישי? I saw it on Instagram.")),
            Line(
                0,
                {
                    "type": "location",
                    "location": {"latitude": 32.0853, "longitude": 34.7818, "name": "שוק הכרמל", "address": "Tel Aviv"},
                },
            ),
        ),
        ("תודה רבה!", "מעולה, נתראה."),
        "🙏",
    ),
    Story(
        "447911123456",
        "Tom Whitfield",
        (
            Line(41 * MINUTE, text("Is the *blue elf* aloe back in stock?")),
            Line(38 * MINUTE, text("It is, in the 12 cm pot."), by="business"),
            Line(0, text("Great, could you keep _two_ of them for me until Saturday?"), about=1),
        ),
        ("Brilliant, thank you!", "I'll be there at ten.", "See you then 👋"),
        "👍",
    ),
    Story(
        "16505550101",
        "Ana García",
        (
            Line(0, text("Hi, my plant does not look well. What is it missing?")),
            Line(
                0,
                {"type": "image", "image": {"caption": "It stands at the window"}},
                medium=picture(),
                mime_type="image/png",
            ),
            Line(
                0,
                {"type": "document", "document": {"filename": "Invoice 860198.pdf"}},
                medium=INVOICE,
                mime_type="application/pdf",
            ),
            Line(0, text("I bought it from you in May, see https://www.luckyshrub.example/orders/860198")),
        ),
        ("Oh, less water then?", "I'll try that, thank you so much!"),
        "❤️",
        "ana.garcia",
    ),
)
