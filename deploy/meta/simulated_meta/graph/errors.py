"""What Graph refuses with: each error as it really comes, with where that was seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass
class GraphError(Exception):
    """An error as Graph reports it. See "Handle Errors" (Graph API) and "Error codes" (WhatsApp Business Platform)."""

    message: str
    code: int
    status: int = 400  # HTTP
    type: str = "OAuthException"
    subcode: int | None = None
    transient: bool = False
    user_title: str | None = None
    user_message: str | None = None
    details: str | None = None
    """What the errors of messages have in `error_data`: "WhatsApp error codes", Error response syntax."""

    def body(self, trace_id: str) -> Json:
        error: Json = {"message": self.message, "type": self.type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.details is not None:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.transient:
            error["is_transient"] = True
        if self.user_title:
            error |= {"error_user_title": self.user_title, "error_user_msg": self.user_message or ""}
        return {"error": error | {"fbtrace_id": trace_id}}


def no_token() -> GraphError:
    """See "Access tokens" (Facebook Login), Errors."""
    return GraphError("An access token is required to request this resource.", 104, status=401)


def malformed_token() -> GraphError:
    """See "Error codes" (WhatsApp Business Platform), 190."""
    return GraphError("Invalid OAuth access token - Cannot parse access token", 190, status=401)


def refused_app_token() -> GraphError:
    """`APP_ID|SECRET` with a secret that is not, or no longer, the app's. See firebase-ios-sdk#2262."""
    return GraphError("Invalid OAuth access token signature.", 190)


def refused_proof() -> GraphError:
    """See "Securing Graph API calls", and facebook-python-business-sdk#528."""
    return GraphError("Invalid appsecret_proof provided in the API argument", 100, type="GraphMethodException")


def expired_token() -> GraphError:
    """See "Debugging and error handling" (Facebook Login), subcode 463."""
    return GraphError("Error validating access token: Session has expired.", 190, status=401, subcode=463)


def revoked_token() -> GraphError:
    """See "Debugging and error handling" (Facebook Login), subcode 460."""
    message = (
        "Error validating access token: The session has been invalidated because the user changed their "
        "password or Facebook has changed the session for security reasons."
    )
    return GraphError(message, 190, status=401, subcode=460)


def missing_scope(scope: str) -> GraphError:
    """See "Permissions" (Graph API), and rapidpro#6664."""
    return GraphError(f"(#200) Requires {scope} permission to manage the object", 200, status=403)


def no_permission() -> GraphError:
    """See "Error codes" (WhatsApp Business Platform), 10."""
    return GraphError("(#10) Application does not have permission for this action", 10, status=403)


def unknown_object(object_id: str, method: str = "get") -> GraphError:
    """What is not there and what may not be seen look the same: "Error codes" (Graph API), 100 with subcode 33."""
    message = (
        f"Unsupported {method.lower()} request. Object with ID '{object_id}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation. Please read the Graph API documentation"
    )
    return GraphError(message, 100, type="GraphMethodException", subcode=33)


def unknown_path(path: str) -> GraphError:
    """Also for a version that does not exist yet: "Versioning" (Graph API)."""
    return GraphError(f"Unknown path components: {path}", 2500)


def bad_parameter(message: str) -> GraphError:
    return GraphError(f"(#100) {message}", 100)


def not_one_of(name: str, known: Sequence[str], given: str) -> GraphError:
    """How Graph refuses a value that is none of an enumeration, as in `subscribed_fields` of a page: restfb#1210."""
    return bad_parameter(f'Param {name} must be one of {{{", ".join(known)}}} - got "{given}".')


def not_subscribed() -> GraphError:
    """See chatwoot#12488, chatwoot#13279, evolution-api#807."""
    return bad_parameter(
        "Before override the current callback uri, your app must be subscribed to receive messages for WhatsApp "
        "Business Account"
    )


def callback_refused(why: str) -> GraphError:
    """See evolution-api#807, chatwoot#12488."""
    return GraphError(f"(#2200) Callback verification failed with the following errors: {why}", 2200)


def rate_limited(code: int = 80008) -> GraphError:
    """Code 4 limits the app, 80007 and 80008 a WABA. See "Rate Limits" (Graph API)."""
    if code == 4:
        return GraphError("(#4) Application request limit reached", 4, transient=True)
    message = f"(#{code}) There have been too many calls to this WhatsApp Business account. Wait a bit and try again."
    return GraphError(message, code, subcode=2494055)


def no_such_field(name: str, node: str) -> GraphError:
    """For a field or an edge that this type of object has not, or no longer: rapidpro#1545, pipedream#9004."""
    return bad_parameter(f"Tried accessing nonexisting field ({name}) on node type ({node})")


def insights_unavailable() -> GraphError:
    """For accounts of the European Union, the United Kingdom and Japan. "Error codes", Template insights errors."""
    why = "Template insights are not available yet for this WhatsApp Business account."
    title = "Template insights unavailable"
    return GraphError(f"(#100) {title}", 100, subcode=200005, user_title=title, user_message=why)


def insights_stay_on() -> GraphError:
    """See "Error codes" (WhatsApp Business Platform), Template insights errors."""
    why = "Invalid operation. Template Insights cannot be disabled once enabled."
    title = "Cannot disable template insights"
    return GraphError(f"(#100) {title}", 100, subcode=200006, user_title=title, user_message=why)


def insights_off() -> GraphError:
    """See "Error codes" (WhatsApp Business Platform), Template insights errors.

    Public reports also have code 1 with subcode 4182004 for it, in the same words.
    """
    why = "Template Insights have not been enabled for this WhatsApp Business Account."
    return GraphError(
        f"(#100) {why}", 100, subcode=200007, user_title="Template Insights not enabled", user_message=why
    )


def other_app() -> GraphError:
    """What `debug_token` says of a token of another app: facebook-sdk-for-unity#551, quickstart-unity#1040."""
    return bad_parameter("The App_id in the input_token did not match the Viewing App")
