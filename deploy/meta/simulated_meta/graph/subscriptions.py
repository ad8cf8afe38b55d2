"""Who gets which webhooks: an app's subscription to a WABA, and the app's own callback."""

from simulated_meta.context import Meta
from simulated_meta.graph import errors
from simulated_meta.graph.access import Call, authenticate
from simulated_meta.graph.answers import Json
from simulated_meta.graph.errors import GraphError, bad_parameter
from simulated_meta.state import Subscription, Waba
from simulated_meta.webhooks.delivery import handshake

CALLBACK_LENGTH_MAX = 200  # characters; see "Webhook overrides"

# "Webhooks reference", Fields, and the pages of `standby` and `messaging_handovers`. `user_id_update` is none of them:
# "Changelog", Aug 11, 2026.
FIELDS = (
    *("account_alerts", "account_review_update", "account_settings_update", "account_update", "automatic_events"),
    *("business_capability_update", "business_username_update", "calls", "flows", "group_lifecycle_update"),
    *("group_participants_update", "group_settings_update", "group_status_update", "history"),
    *("message_template_components_update", "message_template_quality_update", "message_template_status_update"),
    *("messages", "messaging_handovers", "partner_solutions", "payment_configuration_update"),
    *("phone_number_name_update", "phone_number_quality_update", "security", "smb_app_state_sync"),
    *("smb_message_echoes", "standby", "template_category_update", "user_preferences"),
)


async def subscribed_apps(call: Call, waba: Waba) -> Json:
    """Whether the app gets the WABA's webhooks, and where. See "Webhook overrides".

    An override is taken once the app is subscribed without one (Requirements; chatwoot#13279), and while the app itself
    has a callback for `messages` (chatwoot#14713). Subscribing without an override takes away the one before.
    """
    meta = call.meta
    app_id = meta.world.app_id
    if call.method == "GET":
        return {"data": _listed(meta, waba)}
    if call.method == "DELETE":
        waba.subscribed_apps.pop(app_id, None)
    else:
        url, verify_token = call.parameters.get("override_callback_uri"), call.parameters.get("verify_token")
        if url:
            if not verify_token:
                raise bad_parameter("The parameter verify_token is required")
            if len(url) > CALLBACK_LENGTH_MAX:
                raise bad_parameter("override_callback_uri must be at most 200 characters long")
            if app_id not in waba.subscribed_apps or not meta.world.has_messages_callback:
                raise errors.not_subscribed()
            if why := await handshake(meta.session, url, verify_token):
                raise errors.callback_refused(why)
        waba.subscribed_apps[app_id] = Subscription(override_callback_uri=url, verify_token=verify_token)
    meta.store.changed()
    return {"success": True}


def _listed(meta: Meta, waba: Waba) -> list[Json]:
    """As "Webhook overrides" shows it, Get WABA alternate callback."""
    world = meta.world
    found = waba.subscribed_apps.get(world.app_id)
    if found is None:
        return []
    link = f"https://www.facebook.com/games/?app_id={world.app_id}"
    app: Json = {"whatsapp_business_api_data": {"link": link, "name": world.app_name, "id": world.app_id}}
    if found.override_callback_uri:
        app["override_callback_uri"] = found.override_callback_uri
    return [app]


async def app_subscriptions(call: Call) -> Json:
    """The app's own callback, for the app's own token only: "Application, subscriptions" (Graph API reference)."""
    if authenticate(call) is not None:
        raise GraphError("(#15) This method must be called with an app access token.", 15, status=403)
    world = call.meta.world
    if call.method == "POST":
        url, verify_token = call.parameters.get("callback_url"), call.parameters.get("verify_token")
        if not url or not verify_token:
            raise bad_parameter("The parameters callback_url and verify_token are required")
        if why := await handshake(call.meta.session, url, verify_token):
            raise errors.callback_refused(why)
        world.callback_url, world.verify_token, world.callback_verified = url, verify_token, True
        call.meta.store.changed()
        return {"success": True}
    fields = [
        {"name": name, "version": world.graph_version}
        for name in FIELDS
        if name != "messages" or world.has_messages_callback
    ]
    active = {
        "object": "whatsapp_business_account",
        "callback_url": world.callback_url,
        "active": True,
        "fields": fields,
    }
    return {"data": [active] if world.callback_verified else []}
