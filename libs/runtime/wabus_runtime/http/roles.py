"""Who may call what: roles × routes, in one table for all services, whichever process answers. Pure.

A route that is not in it nobody may call. What a service answers to Meta, to browsers that come back from Meta, and to
whoever watches over processes, asks for no token and is not in it.
"""

from collections.abc import Mapping
from typing import Literal, get_args

Role = Literal["member", "agent", "service", "admin"]
"""The claim `role` of a token: a person of the organisation, one who answers customers, a program, an administrator.

Any other word is a member.
"""
ROLES: tuple[Role, ...] = get_args(Role)

EVERYBODY: frozenset[Role] = frozenset(ROLES)
READERS: frozenset[Role] = frozenset(("agent", "service", "admin"))
"""Who reads what customers write."""
ADMINISTRATORS: frozenset[Role] = frozenset(("admin",))

ROUTES: Mapping[str, frozenset[Role]] = {
    "GET /whatsapp/connect": EVERYBODY,
    "POST /whatsapp/connect": EVERYBODY,
    "GET /whatsapp/connection": EVERYBODY,
    "DELETE /whatsapp/connection": ADMINISTRATORS,
    "GET /templates": EVERYBODY,
    "GET /templates/status": EVERYBODY,
    "POST /templates/sync": ADMINISTRATORS,
    "GET /templates/sync/{sync_id}": EVERYBODY,
    "GET /templates/sync/{sync_id}/stream": EVERYBODY,
    "GET /templates/{template_id}": EVERYBODY,
    "GET /templates/{template_id}/versions": EVERYBODY,
    "POST /templates/{template_id}/render": EVERYBODY,
    "GET /webhook/health": EVERYBODY,
    "GET /webhook/health/detailed": EVERYBODY,
    "GET /webhook/health/history": EVERYBODY,
    "GET /webhook/health/stream": EVERYBODY,
    "POST /webhook/health/check": ADMINISTRATORS,
    "GET /conversations": READERS,
    "GET /conversations/search": READERS,
    "GET /conversations/stream": READERS,
    "GET /conversations/ws": READERS,
    "POST /stream-tickets": READERS,
    "GET /conversations/{conversation_id}": READERS,
    "GET /conversations/{conversation_id}/messages": READERS,
    "GET /conversations/{conversation_id}/messages/{message_id}/statuses": READERS,
    "POST /conversations/{conversation_id}/assign": READERS,
    "POST /conversations/{conversation_id}/close": READERS,
    "POST /conversations/{conversation_id}/reopen": READERS,
    "POST /conversations/{conversation_id}/snooze": READERS,
    "POST /conversations/{conversation_id}/read": READERS,
    "POST /conversations/{conversation_id}/unread": READERS,
    "POST /conversations/{conversation_id}/tags": READERS,
    "POST /conversations/{conversation_id}/notes": READERS,
    "GET /conversations/{conversation_id}/notes": READERS,
    "DELETE /conversations/{conversation_id}/notes/{note_id}": READERS,
    "POST /conversations/{conversation_id}/looking": READERS,
    "GET /teams": READERS,
    "PUT /teams": ADMINISTRATORS,
    "GET /routing": READERS,
    "PUT /routing": ADMINISTRATORS,
    "GET /media/{media_id}": READERS,
    "POST /media/tickets": READERS,
    "GET /contacts": READERS,
    "GET /contacts/{contact_id}": READERS,
    "GET /contacts/{contact_id}/export": ADMINISTRATORS,
    "DELETE /contacts/{contact_id}": ADMINISTRATORS,
    "POST /subscriptions": ADMINISTRATORS,
    "GET /subscriptions": ADMINISTRATORS,
    "GET /subscriptions/{subscription_id}": ADMINISTRATORS,
    "PATCH /subscriptions/{subscription_id}": ADMINISTRATORS,
    "DELETE /subscriptions/{subscription_id}": ADMINISTRATORS,
    "POST /subscriptions/{subscription_id}/replay": ADMINISTRATORS,
    "GET /subscriptions/{subscription_id}/secrets": ADMINISTRATORS,
    "POST /subscriptions/{subscription_id}/secrets": ADMINISTRATORS,
    "GET /subscriptions/{subscription_id}/deliveries": ADMINISTRATORS,
    "POST /subscriptions/{subscription_id}/deliveries/{event_id}/again": ADMINISTRATORS,
    "POST /messages": READERS,
    "POST /messages/batch": READERS,
    "POST /messages/check": READERS,
    "POST /messages/read": READERS,
    "POST /messages/reported": READERS,
    "POST /messages/block": READERS,
    "POST /messages/unblock": READERS,
    "POST /messages/opt-out": READERS,
    "POST /messages/opt-in": READERS,
    "GET /messages/policy": READERS,
    "PUT /messages/policy": ADMINISTRATORS,
    "GET /messages/keywords": READERS,
    "PUT /messages/keywords": ADMINISTRATORS,
    "GET /sends": READERS,
    "GET /sends/{send_id}": READERS,
    "POST /sends/{send_id}/cancel": READERS,
    "POST /sends/{send_id}/again": READERS,
    "POST /sends/pause": READERS,
    "POST /sends/resume": READERS,
    "GET /costs": EVERYBODY,
    "POST /costs/estimate": EVERYBODY,
    "GET /rates": EVERYBODY,
    "GET /numbers/{phone_number_id}/sending": READERS,
    "POST /numbers/{phone_number_id}/media": READERS,
    "GET /numbers/{phone_number_id}/media/{upload_id}": READERS,
    "GET /performance/templates": EVERYBODY,
    "GET /performance/templates/{template_id}": EVERYBODY,
    "GET /performance/templates/{template_id}/failures": EVERYBODY,
    "GET /performance/failures": EVERYBODY,
    "POST /performance/enable": ADMINISTRATORS,
    "GET /budgets": EVERYBODY,
    "PUT /budgets": ADMINISTRATORS,
    "GET /costs/forecast": EVERYBODY,
    "GET /costs/reconciliation": EVERYBODY,
    "GET /advice": EVERYBODY,
    "POST /advice/{advice_id}/dismiss": ADMINISTRATORS,
    "POST /experiments": ADMINISTRATORS,
    "GET /experiments": EVERYBODY,
    "POST /experiments/plan": EVERYBODY,
    "GET /experiments/holdout": EVERYBODY,
    "PUT /experiments/holdout": ADMINISTRATORS,
    "GET /experiments/{experiment_id}": EVERYBODY,
    "GET /experiments/{experiment_id}/looks": EVERYBODY,
    "POST /experiments/{experiment_id}/start": ADMINISTRATORS,
    "POST /experiments/{experiment_id}/stop": ADMINISTRATORS,
    "POST /experiments/{experiment_id}/decide": ADMINISTRATORS,
    "POST /experiments/{experiment_id}/assign": READERS,
}


def role_of(claim: str) -> Role:
    """The role that a token's claim means."""
    return claim if claim in ROLES else "member"


def allowed(method: str, route: str) -> frozenset[Role]:
    """The roles that may call a route, by its method and its path as aiohttp writes it."""
    return ROUTES.get(f"{'GET' if method == 'HEAD' else method} {route}", frozenset())


def needs_subject(role: Role, may: frozenset[Role]) -> bool:
    """Whether it has to be known who calls: whoever reads what customers write as a person is somebody."""
    return role == "agent" and may == READERS
