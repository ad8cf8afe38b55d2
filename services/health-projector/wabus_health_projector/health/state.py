"""What is known of one WABA, as the fold of its events: only the facts that can still decide about its health.

Every fact carries its own place in history. Of two facts about the same thing the one with the greater
(`at`, `id`) stands, so the state is the same in whatever order, and however often, the events were read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator
from wabus_events import CheckedNumber, PhoneNumber, SendingRestriction
from wabus_whatsapp.templates.state import DELETED, is_overruled

SyncStatus = Literal["never", "requested", "syncing", "synced", "failed"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Fact(_Frozen):
    """Something that an event said."""

    at: datetime
    """The event's own time, UTC."""
    id: str
    """The event's id: decides between facts of the same time."""
    logged_at: datetime
    """When Kafka got it; for an event delivered several times, the first time."""
    org_id: str | None = None
    """Whose the account was, as the event says; None where it does not, or was folded by a release before 0.3."""


class _AboutAccount(Fact):
    """What Graph said of the account itself; None where it said nothing."""

    portfolio_id: str | None = None
    time_zone_id: int | None = None
    time_zone: str | None = None
    currency: str | None = None
    country: str | None = None


class Connection(_AboutAccount):
    """The organisation's latest connection of this WABA."""

    callback_url: str | None = None
    scopes: tuple[str, ...] = ()
    token_expires_at: datetime | None = None
    phone_numbers: tuple[PhoneNumber, ...] = ()


class Disconnection(Fact):
    reason: str


class Evidence(Fact):
    """Proof that Meta reaches us: `detail` is the callback URL of a handshake, or the field of a signed webhook."""

    detail: str


class Proofs(_Frozen):
    """From when on there is evidence of one kind, whoever has the account."""

    first: dict[str, Evidence] = {}
    """The first for each organisation that an event was for."""
    unclaimed: tuple[Evidence, ...] = ()
    """Those that were for none, such as the handshake while an account is being connected. Newest first, at most
    `fold.PROOFS_KEPT`."""


class SyncStep(Fact):
    sync_id: str


class SyncDone(SyncStep):
    started_at: datetime
    total: int
    approved: int
    by_status: dict[str, int]


class SyncFailure(SyncStep):
    started_at: datetime
    code: str
    message: str
    retryable: bool
    graph_code: int | None = None


class Checked(_AboutAccount):
    """What Graph answered to an active check."""

    our_callback_url: str
    subscribed: bool
    token_expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    numbers: tuple[CheckedNumber, ...] = ()
    can_send_message: str | None = None
    restrictions: tuple[SendingRestriction, ...] = ()
    fields_missing: tuple[str, ...] | None = None
    app_callback_host: str | None = None


class CheckFailure(Fact):
    """Graph refused an active check, for a reason that concerns the account."""

    our_callback_url: str
    code: str
    message: str


class Flag(Fact):
    flagged: bool


class MessagingLimit(Fact):
    event: str
    tier: str | None = None


class NameReview(Fact):
    decision: str
    name: str | None = None
    rejection_reason: str | None = None


class SecurityNotice(Fact):
    event: str


class NumberHealth(_Frozen):
    """What Meta's webhooks said of one business phone number."""

    display_phone_number: str
    flag: Flag | None = None
    limits: tuple[MessagingLimit, ...] = ()
    """The latest two, newest first."""
    name: NameReview | None = None
    security: SecurityNotice | None = None

    def only(self, counts: "Counts") -> "NumberHealth":
        """The same with only what counts."""
        return self.model_copy(
            update={
                "flag": kept(self.flag, counts),
                "limits": tuple(filter(counts, self.limits)),
                "name": kept(self.name, counts),
                "security": kept(self.security, counts),
            }
        )


class Restriction(_Frozen):
    kind: str
    expires_at: datetime | None = None


class AccountEvent(Fact):
    """The latest `account_update` of its kind."""

    ban_state: str | None = None
    restrictions: tuple[Restriction, ...] = ()
    violation: str | None = None


class Review(Fact):
    decision: str


class Alert(Fact):
    kind: str
    severity: str
    active: bool
    description: str | None = None


class Capability(Fact):
    """`limit` is conversations a day that the business may start, -1 for no limit."""

    limit: int


class TemplateStatus(Fact):
    """A status that Meta told by webhook, and which template it is about."""

    name: str
    language: str
    status: str
    reason: str | None = None


class TemplateQuality(Fact):
    """The same for a quality."""

    name: str
    language: str
    quality: str


class TemplateNotice(Fact):
    """What the latest status webhook warned of: FLAGGED, LOCKED or nothing. Graph lists nothing of it."""

    name: str
    language: str
    notice: str | None = None


class TemplateTold(Fact):
    """A template as it was told whole last. Of two the one with the greater `number` stands, then the later."""

    number: int = 0
    """The version's number, 0 where it has none."""
    present: bool = True
    name: str
    language: str
    status: str | None = None
    reason: str | None = None
    quality: str | None = None


class TroubleBegan(Fact):
    """A template was told to have become a trouble. Which of two stands is as for `TemplateTold`."""

    number: int = 0
    value: str


class TemplateHealth(_Frozen):
    """What is known of one template; what it adds up to is `ShownTemplate`."""

    told: TemplateTold | None = None
    asked_at: datetime | None = None
    """When Graph was asked for it last."""
    status_told: TemplateStatus | None = None
    quality_told: TemplateQuality | None = None
    notice: TemplateNotice | None = None
    status_began: TroubleBegan | None = None
    """When it last became PAUSED, REJECTED or the like, however often that was told since; so for a RED quality."""
    quality_began: TroubleBegan | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_release_0_2(cls, given: Any) -> Any:
        """Rows of releases before 0.3 have one `status` and one `quality`, whoever told them last."""
        if not isinstance(given, dict) or not ("status" in given or "quality" in given):
            return given
        rows: dict[str, dict[str, Any]] = given
        status, quality = rows.get("status", {}), rows.get("quality", {})
        place = {name: (status or quality)[name] for name in ("at", "id", "logged_at", "name", "language")}
        known = {"status": status.get("status"), "reason": status.get("reason"), "quality": quality.get("quality")}
        return {"told": {**place, **known}}

    def only(self, counts: "Counts", since: datetime) -> "TemplateHealth":
        """The same with only what counts, and with when Graph was asked if that was not before `since`."""
        return self.model_copy(
            update={
                "told": kept(self.told, counts),
                "asked_at": self.asked_at if self.asked_at and self.asked_at >= since else None,
                "status_told": kept(self.status_told, counts),
                "quality_told": kept(self.quality_told, counts),
                "notice": kept(self.notice, counts),
                "status_began": kept(self.status_began, counts),
                "quality_began": kept(self.quality_began, counts),
            }
        )

    @property
    def mentions_trouble(self) -> bool:
        """Whether anybody ever told a trouble of it that may still stand: of thousands of templates few need a look."""
        told, status, quality, notice = self.told, self.status_told, self.quality_told, self.notice
        return (
            (told is not None and (told.status in TROUBLED or told.quality in TROUBLED))
            or (status is not None and status.status in TROUBLED)
            or (quality is not None and quality.quality in TROUBLED)
            or (notice is not None and notice.notice in TROUBLED)
        )

    def shown(self, template_id: str, asked_for_all: datetime | None) -> "ShownTemplate | None":
        """The template by everything we know, or None if Meta has it no more or never had it.

        `asked_for_all` is when the WABA's last comparison with Meta that ended well began. Told whole or by webhook:
        which word stands is said in `wabus_whatsapp.templates.state`.
        """
        asked = max(filter(None, (self.asked_at, asked_for_all)), default=None)
        told, status, quality, notice = self.told, self.status_told, self.quality_told, self.notice
        status_stands = status if status and not is_overruled(status.at, asked) else None
        quality_stands = quality if quality and not is_overruled(quality.at, asked) else None
        notice_stands = notice if notice and (told or not is_overruled(notice.at, asked)) else None
        named = told or status_stands or quality_stands or notice_stands
        if named is None or (told and not told.present) or (status_stands and status_stands.status == DELETED):
            return None
        status_now = status_stands.status if status_stands else told and told.status
        quality_now = quality_stands.quality if quality_stands else told and told.quality
        return ShownTemplate(
            template_id=template_id,
            name=named.name,
            language=named.language,
            status=status_now,
            status_at=_since(
                status_now, self.status_began, status.at if status and status.status == status_now else None, told
            ),
            reason=status_stands.reason if status_stands else told and told.reason,
            quality=quality_now,
            quality_at=_since(
                quality_now,
                self.quality_began,
                quality.at if quality and quality.quality == quality_now else None,
                told,
            ),
            notice=notice_stands and notice_stands.notice,
            notice_at=notice_stands and notice_stands.at,
            told_at=max((fact.at for fact in (told, status, quality, notice) if fact), default=None),
        )


def _since(
    value: str | None, began: TroubleBegan | None, webhook_at: datetime | None, told: TemplateTold | None
) -> datetime | None:
    """Since when something is as it is now. `webhook_at` is when a webhook said so last; what became of it follows."""
    return began.at if began and began.value == value else webhook_at or (told and told.at)


@dataclass(frozen=True, slots=True)
class ShownTemplate:
    """A template as it is by everything we know, with since when."""

    template_id: str
    name: str
    language: str
    status: str | None
    status_at: datetime | None
    reason: str | None
    quality: str | None
    quality_at: datetime | None
    notice: str | None
    notice_at: datetime | None
    told_at: datetime | None
    """When anything was told of it last."""

    @property
    def troubles(self) -> dict[str, datetime | None]:
        """What is not in good order, each with since when; a poor quality is RED."""
        known = {self.status: self.status_at, self.notice: self.notice_at, self.quality: self.quality_at}
        return {trouble: at for trouble, at in known.items() if trouble in TROUBLED}


TROUBLED = frozenset({"PAUSED", "DISABLED", "REJECTED", "FLAGGED", "LOCKED", "RED"})


class WabaHealth(_Frozen):
    """The state of one WABA. Read `owner`, `connection` and `sync_status` rather than the fields they come from."""

    waba_id: str
    first_logged_at: datetime | None = None

    connections: dict[str, Connection] = {}
    """The latest of each organisation that ever connected it."""
    first_connections: dict[str, Fact] = {}
    disconnections: dict[str, Disconnection] = {}
    """The latest of each organisation; of nobody in particular under the empty string."""

    handshake_first: Evidence | None = None
    handshake_last: Evidence | None = None
    webhook_first: Evidence | None = None
    webhook_last: Evidence | None = None
    configuration_first: Evidence | None = None
    configuration_last: Evidence | None = None
    """Graph's `webhook_configuration` named our callback."""
    handshakes: Proofs = Proofs()
    webhooks: Proofs = Proofs()
    configurations: Proofs = Proofs()
    """By organisation, for one that has the account from another."""
    days_seen: tuple[date, ...] = ()
    """The UTC days with a signed webhook, newest first, at most `fold.DAYS_KEPT`."""

    sync_requested: SyncStep | None = None
    sync_started: SyncStep | None = None
    sync_done: SyncDone | None = None
    sync_failures: tuple[SyncFailure, ...] = ()
    """Newest first, at most `fold.FAILURES_KEPT`."""

    ended_syncs: tuple[SyncStep, ...] = ()
    """Newest first, at most `fold.SYNCS_KEPT`: whoever asked for one of them can see that its outcome is in."""

    numbers: dict[str, NumberHealth] = {}
    """By the digits of the display phone number."""
    account_events: dict[str, AccountEvent] = {}
    checked: Checked | None = None
    check_failed: CheckFailure | None = None
    review: Review | None = None
    alerts: dict[str, Alert] = {}
    capabilities: tuple[Capability, ...] = ()
    """The latest two, newest first."""
    templates: dict[str, TemplateHealth] = {}
    """By template id."""
    templates_asked_at: datetime | None = None
    """When the last comparison of all templates with Meta that ended well began."""

    @property
    def owner(self) -> str | None:
        """The organisation that connected it last, whether or not it is still connected."""
        if not self.connections:
            return None
        return max(self.connections, key=lambda org_id: (*order(self.connections[org_id]), org_id))

    @property
    def connection(self) -> Connection | None:
        """The owner's connection, or None if there is none or it has been given up since."""
        owner = self.owner
        if owner is None:
            return None
        connection = self.connections[owner]
        ended = (self.disconnections.get(owner), self.disconnections.get(""))
        return None if any(end and order(end) > order(connection) for end in ended) else connection

    @property
    def moved_at(self) -> datetime | None:
        """When the account ended to be another organisation's; None if it never was.

        That is when the other one gave it up, for what is verified while the owner connects it is the owner's.
        """
        owner = self.owner
        others = {org_id: each for org_id, each in self.connections.items() if org_id != owner}
        if owner is None or not others:
            return None
        before = max(others, key=lambda org_id: (*order(others[org_id]), org_id))
        mine = [each for each in (self.first_connections.get(owner), self.connections[owner]) if each]
        taken = min((each for each in mine if order(each) > order(others[before])), key=order)
        given_up = [
            end.at
            for end in (self.disconnections.get(before), self.disconnections.get(""))
            if end and order(others[before]) < order(end) < order(taken)
        ]
        return min(given_up, default=taken.at)

    @property
    def of_owner(self) -> "WabaHealth":
        """The state as if no other organisation had ever had the account: what was said before, or to another, is none
        of the owner's."""
        moved_at, owner = self.moved_at, self.owner
        if moved_at is None or owner is None:
            return self

        def counts(fact: Fact) -> bool:
            return fact.at >= moved_at and fact.org_id in (None, owner)

        changed: dict[str, Any] = {name: kept(getattr(self, name), counts) for name in _SINGLE}
        changed |= {name: tuple(filter(counts, getattr(self, name))) for name in _SEVERAL}
        for name in ("account_events", "alerts"):
            changed[name] = {key: fact for key, fact in getattr(self, name).items() if counts(fact)}
        for kind, proofs in (
            ("handshake", self.handshakes), ("webhook", self.webhooks), ("configuration", self.configurations)
        ):  # fmt: skip
            first, last = f"{kind}_first", f"{kind}_last"
            known = (getattr(self, first), getattr(self, last), proofs.first.get(owner), *proofs.unclaimed)
            changed[first] = min((each for each in known if each and counts(each)), key=order, default=None)
        seen = changed["webhook_last"]
        days = tuple(day for day in self.days_seen if day > moved_at.date() or (seen and day == seen.at.date()))
        numbers = {key: number.only(counts) for key, number in self.numbers.items()}
        templates = {key: each.only(counts, moved_at) for key, each in self.templates.items()}
        asked = self.templates_asked_at
        first_connection = self.first_connections.get(owner)
        return self.model_copy(
            update={
                **changed,
                "days_seen": days,
                "connections": {owner: self.connections[owner]},
                "first_connections": {
                    owner: first_connection
                    if first_connection and counts(first_connection)
                    else self.connections[owner]
                },
                "disconnections": {
                    org_id: end
                    for org_id, end in self.disconnections.items()
                    if org_id in (owner, "") and end.at > moved_at
                },
                "numbers": {key: number for key, number in numbers.items() if any(facts(number))},
                "templates": {key: each for key, each in templates.items() if each != TemplateHealth()},
                "templates_asked_at": asked if asked and asked >= moved_at else None,
            }
        )

    def gap_before(self, connection: Connection) -> datetime | None:
        """When the account was given up last before it was connected as it is now; None if it never was.

        From then until the connection Meta told us nothing of it.
        """
        ended = [each.at for each in self.disconnections.values() if order(each) < order(connection)]
        return max(ended, default=None)

    def with_syncs_since(self, connection: Connection) -> "WabaHealth":
        """The same state, as if nothing were known of the syncs of before the connection."""

        def later(step: SyncStep | None) -> bool:
            return step is not None and step.at >= connection.at

        return self.model_copy(
            update={
                "sync_requested": self.sync_requested if later(self.sync_requested) else None,
                "sync_started": self.sync_started if later(self.sync_started) else None,
                "sync_done": self.sync_done if later(self.sync_done) else None,
                "sync_failures": tuple(filter(later, self.sync_failures)),
                "ended_syncs": tuple(filter(later, self.ended_syncs)),
            }
        )

    @property
    def verified_at(self) -> datetime | None:
        """When the first proof came that Meta's webhooks reach us, or None without any."""
        proofs = (self.handshake_first, self.webhook_first, self.configuration_first)
        return min((proof.at for proof in proofs if proof), default=None)

    @property
    def sync_status(self) -> SyncStatus:
        """Where the newest sync is. One that has ended stays ended: clocks of two processes may disagree."""
        failed, done, begun, asked = self.last_failure, self.sync_done, self.sync_started, self.sync_requested
        ended = {end.sync_id for end in (failed, done, *self.ended_syncs) if end}
        steps: list[tuple[tuple[datetime, str], SyncStatus]] = []
        if failed:
            steps.append((order(failed), "failed"))
        if done:
            steps.append((order(done), "synced"))
        if begun and begun.sync_id not in ended:
            steps.append((order(begun), "syncing"))
        if asked and asked.sync_id not in ended and not (begun and begun.sync_id == asked.sync_id):
            steps.append((order(asked), "requested"))
        return max(steps)[1] if steps else "never"

    @property
    def shown_templates(self) -> list[ShownTemplate]:
        """The templates that Meta has, by id."""
        shown = (each.shown(template_id, self.templates_asked_at) for template_id, each in self.templates.items())
        return [each for each in shown if each]

    @property
    def troubled_templates(self) -> dict[str, TemplateHealth]:
        """What is known of those of them that are not in good order, by id."""
        suspects = {template_id: each for template_id, each in self.templates.items() if each.mentions_trouble}
        shown = self.model_copy(update={"templates": suspects}).shown_templates
        return {each.template_id: suspects[each.template_id] for each in shown if each.troubles}

    @property
    def last_failure(self) -> SyncFailure | None:
        return self.sync_failures[0] if self.sync_failures else None

    @property
    def updated_at(self) -> datetime | None:
        """When the log last changed what stands here: the newest `logged_at` of all facts that stand."""
        return max((fact.logged_at for fact in facts(self)), default=self.first_logged_at)


_SINGLE = (
    "handshake_last", "webhook_last", "configuration_last", "sync_requested", "sync_started", "sync_done", "checked",
    "check_failed", "review",
)  # fmt: skip
_SEVERAL = ("sync_failures", "ended_syncs", "capabilities")

Counts = Callable[[Fact], bool]
F = TypeVar("F", bound=Fact)


def kept(fact: F | None, counts: Counts) -> F | None:
    """The fact if it counts."""
    return fact if fact is not None and counts(fact) else None


def order(fact: Fact) -> tuple[datetime, str]:
    """Which of two facts about the same thing stands: the greater."""
    return fact.at, fact.id


def facts(state: Any) -> Iterator[Fact]:
    """Every fact in a state."""
    if isinstance(state, Fact):
        yield state
    elif isinstance(state, BaseModel):
        for name in type(state).model_fields:
            yield from facts(getattr(state, name))
    elif isinstance(state, dict):
        for value in state.values():
            yield from facts(value)
    elif isinstance(state, tuple):
        for value in state:
            yield from facts(value)


def digits(number: str) -> str:
    """A phone number's digits: Graph writes "+1 555-010-9999", webhooks 15550109999."""
    if number.isdigit():
        return number
    return "".join(character for character in number if character.isdigit()) or number
