"""What Meta tells of templates. Pure.

Sources: "message_template_status_update", "message_template_quality_update", "template_category_update",
"message_template_components_update" webhook references.
"""

from typing import Any, Literal, get_args

Json = dict[str, Any]

Action = Literal[
    "approve", "reject", "pause", "unpause", "disable", "reinstate", "flag", "review", "appeal", "archive", "remove"
]
ACTIONS: tuple[str, ...] = get_args(Action)
STATUS_AFTER: dict[str, str] = {
    **{"approve": "APPROVED", "unpause": "APPROVED", "reinstate": "APPROVED", "flag": "APPROVED"},
    **{"reject": "REJECTED", "pause": "PAUSED", "disable": "DISABLED", "review": "PENDING"},
    **{"appeal": "IN_APPEAL", "archive": "ARCHIVED", "remove": "PENDING_DELETION"},
}
EVENT_OF: dict[str, str] = STATUS_AFTER | {"flag": "FLAGGED", "reinstate": "REINSTATED"}


def template_status(template: Json, action: str, time: int, reason: str | None = None) -> Json:
    """Value of `message_template_status_update`."""
    value: Json = {
        "event": EVENT_OF[action],
        "message_template_id": int(template["id"]),
        "message_template_name": template["name"],
        "message_template_language": template["language"],
        "reason": None if action == "remove" else "NONE",
        "message_template_category": template["category"],
    }
    match action:
        case "reject":
            value["reason"] = reason or "INVALID_FORMAT"
            if value["reason"] == "INVALID_FORMAT":
                value["rejection_info"] = {
                    "reason": "Parameters are placed next to each other without text between them.",
                    "recommendation": "Put words between the parameters, then send the template for review again.",
                }
        case "pause":
            value["other_info"] = {
                "title": reason or "FIRST_PAUSE",
                "description": "Your WhatsApp message template has been paused for 3 hours because it had issues.",
            }
        case "unpause":
            value["other_info"] = {"title": "UNPAUSE", "description": "Your WhatsApp message template was unpaused."}
        case "disable":
            value["disable_info"] = {"disable_date": time}
            value["other_info"] = {"title": "DISABLED", "description": "Your WhatsApp message template was disabled."}
        case _:
            pass
    return value


def template_named(template: Json) -> Json:
    return {
        "message_template_id": int(template["id"]),
        "message_template_name": template["name"],
        "message_template_language": template["language"],
    }


def template_quality(template: Json, previous: str, new: str) -> Json:
    """Value of `message_template_quality_update`."""
    return {"previous_quality_score": previous, "new_quality_score": new, **template_named(template)}


def template_category(template: Json, previous: str, new: str) -> Json:
    """Value of `template_category_update`."""
    return {**template_named(template), "previous_category": previous, "new_category": new}


def template_components(template: Json) -> Json:
    """Value of `message_template_components_update`."""
    parts = {part.get("type"): part for part in template["components"]}
    value: Json = template_named(template)
    if header := parts.get("HEADER", {}).get("text"):
        value["message_template_title"] = header
    if body := parts.get("BODY", {}).get("text"):
        value["message_template_element"] = body
    if footer := parts.get("FOOTER", {}).get("text"):
        value["message_template_footer"] = footer
    if buttons := parts.get("BUTTONS", {}).get("buttons"):
        value["message_template_buttons"] = [
            {
                "message_template_button_type": button["type"],
                "message_template_button_text": button.get("text", ""),
                **({"message_template_button_url": button["url"]} if "url" in button else {}),
            }
            for button in buttons
        ]
    return value
