"""What a caller gives to fill a template in."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StringConstraints

Text = Annotated[str, StringConstraints(max_length=32_768, pattern=r"^[^\x00]*$")]
"""As long as the longest message may be."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Currency(_Strict):
    fallback_value: Text
    """What is shown where the amount can't be put in the recipient's own way."""
    code: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    amount_1000: StrictInt = Field(ge=-(2**53), le=2**53)
    """The amount times 1000."""


class Coded(_Strict):
    """An amount of money."""

    type: Literal["currency"]
    currency: Currency


class Moment(_Strict):
    fallback_value: Text


class Dated(_Strict):
    """A date and time, as text."""

    type: Literal["date_time"]
    date_time: Moment


Value = Text | Annotated[Coded | Dated, Field(discriminator="type")]
Values = Annotated[list[Value], Field(max_length=100)] | dict[Text, Value]
"""Parameters in their order (`{{1}}`, `{{2}}`), or by name."""


class Media(_Strict):
    id: Text | None = None
    link: Text | None = None
    filename: Text | None = None
    """Of a document."""


class Location(_Strict):
    latitude: Annotated[float, Field(ge=-90, le=90)] | Text
    longitude: Annotated[float, Field(ge=-180, le=180)] | Text
    name: Text | None = None
    address: Text | None = None


class Product(_Strict):
    product_retailer_id: Text
    catalog_id: Text


class HeaderValues(_Strict):
    """The one of these that the header's format asks for."""

    text: Values | None = None
    image: Media | None = None
    video: Media | None = None
    gif: Media | None = None
    document: Media | None = None
    location: Location | None = None
    product: Product | None = None


def _digits(key: object) -> object:
    """A key of JSON's is text: Python would read a number from other texts too, such as `1_0`."""
    if isinstance(key, str) and not re.fullmatch("[0-9]{1,2}", key):
        raise ValueError("not just digits")
    return key


ButtonIndex = Annotated[int, BeforeValidator(_digits), Field(ge=0, le=99)]
ButtonValue = Text | dict[str, Any]
"""The end of the address, the code, the payload of a quick reply or call; an `action` object for a flow or products,
`ttl_minutes` and `payload` for a call."""


class CardValues(_Strict):
    header: HeaderValues | None = None
    body: Values | None = None
    buttons: dict[ButtonIndex, ButtonValue] = {}


class TapTarget(_Strict):
    """What a tap on the message itself opens, and the title shown for it."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
    url: Text


class RenderBody(CardValues):
    """The parameters of a template, part by part; buttons by their index from 0."""

    carousel: Annotated[list[CardValues], Field(max_length=20)] = []
    offer_expires_at_ms: StrictInt | None = Field(default=None, ge=0, le=2**53)
    """When a limited-time offer expires, in milliseconds since 1970."""
    tap_target: TapTarget | None = None
