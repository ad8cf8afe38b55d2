"""The world a first start begins with: one app, one WABA with a phone number and eight templates, a valid token."""

import secrets
import time
from typing import Any

from simulated_meta.state import Phone, Token, Waba, World

Json = dict[str, Any]

DEMO_WABA = "102290129340398"
DEMO_PHONE = "106540352242922"
DEMO_TEMPLATE = "1689556908129837"


def new_world(app_id: str, app_secrets: list[str]) -> World:
    """The demo world. Its token never expires; read it with `GET /_control/tokens`."""
    world = World(app_id=app_id, app_secrets=app_secrets, business_id="506914307656634")
    waba = Waba(
        id=DEMO_WABA,
        name="Lucky Shrub",
        business_id=world.business_id,
        message_template_namespace="58f2e1a4_0b4c_4f4e_9d0a_7f1c2f0a9b1e",
        timezone_id="47",  # "Ad account, timezone IDs": TZ_EUROPE_BERLIN
        country="DE",
        templates={template["id"]: template for template in demo_templates()},
    )
    waba.phones[DEMO_PHONE] = Phone(
        id=DEMO_PHONE, waba_id=DEMO_WABA, display_phone_number="+1 555-078-3881", verified_name="Lucky Shrub"
    )
    world.wabas[waba.id] = waba
    token = Token(value="EAA" + secrets.token_hex(60), waba_ids=[waba.id], issued_at=int(time.time()))
    world.tokens[token.value] = token
    return world


def new_waba(world: World, waba_id: str | None = None, name: str | None = None, business_id: str | None = None) -> Waba:
    """Another WABA with one phone number and no template, of the world's portfolio or of another."""
    waba_id = waba_id or world.new_id()
    phone_id = world.new_id()
    waba = Waba(id=waba_id, name=name or f"WABA {waba_id}", business_id=business_id or world.business_id)
    number = int(phone_id) % 10_000_000
    waba.phones[phone_id] = Phone(
        id=phone_id,
        waba_id=waba_id,
        display_phone_number=f"+1 555-{number // 10_000:03d}-{number % 10_000:04d}",
        verified_name=waba.name,
    )
    world.wabas[waba_id] = waba
    return waba


def template(template_id: str, name: str, **changes: Any) -> Json:
    """One template as Graph keeps it, approved unless told otherwise."""
    whole: Json = {
        "name": name,
        "parameter_format": "POSITIONAL",
        "components": [{"type": "BODY", "text": f"Hello, this is {name}."}],
        "language": "en_US",
        "status": "APPROVED",
        "category": "UTILITY",
        "quality_score": {"score": "UNKNOWN", "date": 1748454394},
        "rejected_reason": "NONE",
    }
    return whole | changes | {"id": template_id}


def many_templates(world: World, count: int, start: int = 0) -> list[Json]:
    """`count` templates of all sorts, for scale tests."""
    statuses = ("APPROVED", "APPROVED", "APPROVED", "APPROVED", "PENDING", "REJECTED", "PAUSED")
    languages = ("en_US", "de", "pt_BR", "ar", "hi")
    return [
        template(
            world.new_id(),
            f"bulk_template_{number // len(languages):05d}",
            language=languages[number % len(languages)],
            status=statuses[number % len(statuses)],
            category=("UTILITY", "MARKETING", "AUTHENTICATION")[number % 3],
            components=[
                {"type": "BODY", "text": f"Order {{{{1}}}} number {number}", "example": {"body_text": [["A-17"]]}},
                {"type": "FOOTER", "text": "Reply STOP to opt out"},
            ],
        )
        for number in range(start, start + count)
    ]


def demo_templates() -> list[Json]:
    good = {"score": "GREEN", "date": 1748454394}
    return [
        template(
            "1689556908129832",
            "order_confirmation",
            quality_score=good,
            components=[
                {
                    "type": "HEADER",
                    "format": "TEXT",
                    "text": "Order {{1}}",
                    "example": {"header_text": ["860198-230332"]},
                },
                {
                    "type": "BODY",
                    "text": "Thank you for your order, {{1}}! It will arrive on {{2}}.",
                    "example": {"body_text": [["Pablo", "June 27"]]},
                },
                {"type": "FOOTER", "text": "Lucky Shrub: your gateway to succulents"},
                {
                    "type": "BUTTONS",
                    "buttons": [
                        {
                            "type": "URL",
                            "text": "Track order",
                            "url": "https://www.luckyshrub.example/orders/{{1}}",
                            "example": ["https://www.luckyshrub.example/orders/860198"],
                        },
                        {"type": "PHONE_NUMBER", "text": "Call us", "phone_number": "+15550783881"},
                    ],
                },
            ],
        ),
        template(
            "1689556908129833",
            "order_confirmation",
            quality_score=good,
            language="de",
            components=[
                {
                    "type": "HEADER",
                    "format": "TEXT",
                    "text": "Bestellung {{1}}",
                    "example": {"header_text": ["860198"]},
                },
                {
                    "type": "BODY",
                    "text": "Vielen Dank für Ihre Bestellung, {{1}}! Sie kommt am {{2}}.",
                    "example": {"body_text": [["Jürgen", "27. Juni"]]},
                },
                {"type": "FOOTER", "text": "Lucky Shrub – Ihr Weg zu Sukkulenten"},
            ],
        ),
        template(
            "1689556908129834",
            "summer_sale",
            category="MARKETING",
            previous_category="UTILITY",
            language="pt_BR",
            parameter_format="NAMED",
            quality_score={"score": "YELLOW", "date": 1748454394},
            components=[
                {
                    "type": "HEADER",
                    "format": "IMAGE",
                    "example": {"header_handle": ["https://scontent.example/sale.jpg"]},
                },
                {
                    "type": "BODY",
                    "text": "Oi {{first_name}}, aproveite {{discount}} de desconto até domingo!",
                    "example": {
                        "body_text_named_params": [
                            {"param_name": "first_name", "example": "João"},
                            {"param_name": "discount", "example": "25%"},
                        ]
                    },
                },
                {
                    "type": "BUTTONS",
                    "buttons": [
                        {"type": "QUICK_REPLY", "text": "Quero saber mais"},
                        {"type": "QUICK_REPLY", "text": "Parar promoções"},
                    ],
                },
            ],
        ),
        template(
            "1689556908129835",
            "login_code",
            category="AUTHENTICATION",
            message_send_ttl_seconds=600,
            components=[
                {
                    "type": "BODY",
                    "text": "*{{1}}* is your verification code.",
                    "add_security_recommendation": True,
                    "example": {"body_text": [["123456"]]},
                },
                {"type": "FOOTER", "text": "This code expires in 10 minutes.", "code_expiration_minutes": 10},
                {
                    "type": "BUTTONS",
                    "buttons": [
                        {
                            "type": "URL",
                            "text": "Copy code",
                            "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}",
                            "example": ["https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp123456"],
                        }
                    ],
                },
            ],
        ),
        template(
            "1689556908129836",
            "plant_collection",
            category="MARKETING",
            status="PENDING",
            components=[
                {"type": "BODY", "text": "New succulents are here, {{1}}!", "example": {"body_text": [["Ana"]]}},
                {"type": "CAROUSEL", "cards": [_card("blue-elf", "Blue Elf aloe"), _card("burro", "Burro's tail")]},
            ],
        ),
        template(
            DEMO_TEMPLATE,
            "weekend_offer",
            category="MARKETING",
            quality_score=good,
            components=[
                {
                    "type": "LIMITED_TIME_OFFER",
                    "limited_time_offer": {"text": "Expiring offer!", "has_expiration": True},
                },
                {"type": "BODY", "text": "{{1}}, use code {{2}}!", "example": {"body_text": [["Pablo", "CARIBE25"]]}},
                {
                    "type": "BUTTONS",
                    "buttons": [
                        {"type": "COPY_CODE", "text": "Copy offer code", "example": ["CARIBE25"]},
                        {"type": "URL", "text": "Book now", "url": "https://www.luckyshrub.example/offers"},
                    ],
                },
            ],
        ),
        template(
            "1689556908129838",
            "win_a_prize",
            category="MARKETING",
            status="REJECTED",
            rejected_reason="PROMOTIONAL",
            language="es",
            components=[{"type": "BODY", "text": "¡Gana un premio ahora mismo!"}],
        ),
        template(
            "1689556908129839",
            "appointment_reminder",
            language="ar",
            quality_score=good,
            components=[
                {"type": "HEADER", "format": "LOCATION"},
                {"type": "BODY", "text": "موعدك غدًا الساعة {{1}}.", "example": {"body_text": [["10:00"]]}},
                {
                    "type": "BUTTONS",
                    "buttons": [
                        {"type": "FLOW", "text": "تغيير الموعد", "flow_id": 1479537139650973, "flow_action": "NAVIGATE"}
                    ],
                },
            ],
        ),
    ]


def _card(handle: str, text: str) -> Json:
    return {
        "components": [
            {
                "type": "HEADER",
                "format": "IMAGE",
                "example": {"header_handle": [f"https://scontent.example/{handle}.jpg"]},
            },
            {"type": "BODY", "text": text},
            {
                "type": "BUTTONS",
                "buttons": [{"type": "URL", "text": "Shop", "url": f"https://www.luckyshrub.example/{handle}"}],
            },
        ]
    }
