"""What Meta has of templates, `/templates` shows, health knows and a subscriber believes is one thing."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from profiles import examples
from wabus_events import (
    Event,
    Template,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    WabaEvent,
    fact_id,
)
from wabus_health_projector.health.fold import fold_all
from wabus_health_projector.health.state import WabaHealth
from wabus_template_sync.templates.comparison import changes, told_of, untold
from wabus_template_sync.templates.facts import Sync, synced
from wabus_template_sync.templates.fold import TemplateRow, step
from wabus_template_sync.templates.listing import Listed, Listing
from wabus_whatsapp.templates.parse import fingerprint_of, parse_template

START = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATES = ("t1", "t2")
VALUES = {
    "status": ["APPROVED", "PAUSED", "UNPAUSED", "REJECTED", "DISABLED", "REINSTATED", "LOCKED", "UNLOCKED", "DELETED"],
    "quality": ["GREEN", "YELLOW", "RED"],
    "category": ["MARKETING", "UTILITY"],
}
AFTER = {"UNPAUSED": "APPROVED", "REINSTATED": "APPROVED", "LOCKED": None, "UNLOCKED": None}
ABOUT: dict[str, Any] = {"waba_id": "w", "org_id": "org"}


def graph_lists(template_id: str, has: dict[str, str], date: int) -> dict[str, Any]:
    return {
        **{"id": template_id, "name": template_id, "language": "en", "components": []},
        **{"status": has["status"], "category": has["category"]},
        **{"quality_score": {"score": has["quality"], "date": date}, "rejected_reason": has["reason"]},
    }


@dataclass
class Asked:
    """Something that Graph was asked and that has not been told yet."""

    at: datetime
    listing: Listing | None = None
    template_id: str = ""
    found: Template | None = None


class Tables:
    """A partition of templates.v1, and what template-sync's projection makes of it."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.rows: dict[str, TemplateRow] = {}
        self.confirmed_at: datetime | None = None

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            self.log.append(event)
            if isinstance(event, TemplatesSynced):
                self.confirmed_at = max(filter(None, (self.confirmed_at, event.started_at)))
            about = getattr(event, "template_id", None) or getattr(
                getattr(event, "template", None), "template_id", None
            )
            for template_id in [about] if about else list(self.rows):
                known = self.rows.get(template_id) or TemplateRow("w", template_id)
                self.rows[template_id] = step(known, event, self.confirmed_at)[0]

    @property
    def listed(self) -> dict[str, Listed]:
        return {
            template_id: Listed(
                row.template.status if row.template else None,
                row.template.fingerprint if row.template else None,
                row.present,
                row.asked_at,
                not row.told and not row.in_doubt,
            )
            for template_id, row in self.rows.items()
            if row.presence_place
        }

    def shown(self) -> dict[str, dict[str, Any]]:
        return {template_id: aspects(row.shown) for template_id, row in self.rows.items() if row.shown}


def aspects(template: Template) -> dict[str, Any]:
    score = template.raw.get("quality_score", {}).get("score", template.quality)
    return {
        **{"status": template.status, "quality": template.quality, "category": template.category},
        **{"reason": template.rejected_reason or "NONE", "score in raw": score},
    }


def believed(log: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """What somebody believes who does nothing but follow what is told whole, in the order of the log."""
    known: dict[str, Template] = {}
    for event in log:
        match event:
            case TemplateChanged():
                known[event.template.template_id] = event.template
            case TemplateRemoved():
                known.pop(event.template_id, None)
            case _:
                pass
    return {template_id: aspects(template) for template_id, template in known.items()}


class OneTruth(RuleBasedStateMachine):
    """Changes at Meta, webhooks late, lost, twice and out of order, and syncs and fetches that overlap all of it."""

    @initialize(may_lose=st.booleans(), listed_at_the_end=st.booleans())
    def connect(self, may_lose: bool, listed_at_the_end: bool) -> None:
        self.may_lose, self.listed_at_the_end = may_lose, listed_at_the_end
        self.begin_to_list(0)
        self.end_the_sync()
        self.now += 1

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lost = self.may_lose = self.listed_at_the_end = False
        self.meta = {
            t: {"status": "APPROVED", "quality": "UNKNOWN", "category": "UTILITY", "reason": "NONE"} for t in TEMPLATES
        }
        self.changed: set[tuple[str, str, int]] = set()
        self.sent: list[WabaEvent] = []
        self.undelivered: list[WabaEvent] = []
        self.tables = Tables()
        self.unfollowed: list[Any] = []
        self.sync: Asked | None = None
        self.fetches: list[Asked] = []
        self.count = 0

    @rule(
        template_id=st.sampled_from(TEMPLATES),
        change=st.sampled_from([(aspect, value) for aspect in VALUES for value in VALUES[aspect]]),
        pause=st.sampled_from([0.0, 0.3, 1.0, 1.7]),
        lost=st.booleans(),
    )
    def change_at_meta(self, template_id: str, change: tuple[str, str], pause: float, lost: bool) -> None:
        self.now += pause
        aspect, value = change
        second = int(self.now)
        # Of two changes of one aspect within a second nobody can know the order.
        if template_id not in self.meta or (template_id, aspect, second) in self.changed:
            return
        self.changed.add((template_id, aspect, second))
        has = self.meta[template_id]
        after = AFTER.get(value, value)
        if after:
            has[aspect] = after
            if aspect == "status":
                has["reason"] = "SCAM" if value == "REJECTED" else "NONE"
        if value == "DELETED":
            del self.meta[template_id]
        self.count += 1
        about: dict[str, Any] = {
            **ABOUT,
            **{"id": fact_id("webhook", self.count), "time": START + timedelta(seconds=second), "value": {}},
            **{"template_id": template_id, "name": template_id, "language": "en"},
        }
        match aspect:
            case "status":
                reason = "SCAM" if value == "REJECTED" else "LOW_QUALITY" if value == "PAUSED" else None
                webhook = TemplateStatusChanged(event=value, reason=reason, **about)
            case "quality":
                webhook = TemplateQualityChanged(new_quality=value, **about)
            case _:
                webhook = TemplateCategoryChanged(new_category=value, **about)
        self.sent.append(webhook)
        if lost and self.may_lose:
            self.lost = True
        else:
            self.undelivered.append(webhook)

    @precondition(lambda self: bool(self.undelivered))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        webhook = data.draw(st.sampled_from(self.undelivered))
        self.undelivered.remove(webhook)
        self.log_webhook(webhook)

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data())
    def deliver_again_much_later(self, data: st.DataObject) -> None:
        self.log_webhook(data.draw(st.sampled_from(self.sent)))

    def log_webhook(self, webhook: WabaEvent) -> None:
        self.tables.append([webhook])
        self.unfollowed.append(webhook)

    @precondition(lambda self: bool(self.unfollowed))
    @rule(data=st.data())
    def follow_some(self, data: st.DataObject) -> None:
        some = data.draw(
            st.lists(st.sampled_from(self.unfollowed), min_size=1, unique_by=lambda event: event.template_id)
        )
        self.follow(some)
        self.unfollowed = [event for event in self.unfollowed if event not in some]

    def follow(self, webhooks: Sequence[Any]) -> None:
        for template_id in {webhook.template_id for webhook in webhooks}:
            self.tables.append(untold(self.tables.rows[template_id], ABOUT))

    @precondition(lambda self: self.sync is None)
    @rule(pause=st.sampled_from([0.0, 0.4, 1.1]))
    def begin_to_list(self, pause: float) -> None:
        asked_at = START + timedelta(seconds=self.now)
        self.now += pause / 2  # the page is from a little later
        self.sync = Asked(asked_at, Listing("w", self.tables.listed))
        assert self.sync.listing
        self.sync.listing.take(deepcopy([graph_lists(*one, int(self.now)) for one in self.meta.items()]))
        self.now += pause / 2

    @precondition(lambda self: self.sync is not None)
    @rule()
    def end_the_sync(self) -> None:
        asked, self.sync = self.sync, None
        assert asked
        assert asked.listing
        self.count += 1
        sync = Sync(f"sync-{self.count}", "w", "org", "manual", asked.at)
        now = self.tables.listed
        wanted = asked.listing.to_compare(now, asked.at)
        rows = [self.tables.rows[template_id] for template_id in wanted if template_id in self.tables.rows]
        differences = asked.listing.differences(wanted, rows, asked.at)
        in_doubt = {row.template_id for row in rows if row.in_doubt}
        assert all(one.fields or one.template.template_id in in_doubt for one in differences.changed)
        told = changes(differences, rows, asked.at, ABOUT, sync.sync_id)
        finished_at = START + timedelta(seconds=self.now)
        end = synced(
            sync,
            differences.numbers,
            asked.listing.counts(now, asked.at),
            observed_at=asked.at,
            finished_at=finished_at,
        )
        self.tables.append([*told, end])

    @precondition(lambda self: len(self.fetches) < 2)
    @rule(template_id=st.sampled_from(TEMPLATES), pause=st.sampled_from([0.0, 0.4, 1.1]))
    def begin_to_fetch(self, template_id: str, pause: float) -> None:
        asked_at = START + timedelta(seconds=self.now)
        found = None
        if template_id in self.meta:
            raw = graph_lists(template_id, self.meta[template_id], int(self.now))
            found = parse_template(deepcopy(raw), fingerprint_of(raw))
        self.fetches.append(Asked(asked_at, template_id=template_id, found=found))
        self.now += pause

    @precondition(lambda self: bool(self.fetches))
    @rule(data=st.data())
    def end_the_fetch(self, data: st.DataObject) -> None:
        self._end_the_fetch(self.fetches.pop(data.draw(st.integers(0, len(self.fetches) - 1))))

    def _end_the_fetch(self, asked: Asked) -> None:
        row = self.tables.rows.get(asked.template_id)
        known = [row.asked_at if row else None, self.tables.confirmed_at]
        if any(at and at >= asked.at for at in known):
            return
        self.count += 1
        rows = [row] if row else []
        self.tables.append(told_of(rows, asked.found, asked.at, ABOUT, str(self.count)))

    def teardown(self) -> None:
        if self.sync:
            self.end_the_sync()
        last_change = self.now
        if not self.lost:
            self._deliver_the_rest()
            assert self.tables.shown() == self._meta()
        # A listing, or fetches, that began after the last change bring Meta's state, whatever was lost before.
        self.now = last_change + 1
        if self.listed_at_the_end:
            self.begin_to_list(0.4)
            self._deliver_the_rest()
            self.end_the_sync()
        else:
            self.fetches = []
            for template_id in TEMPLATES:
                self.begin_to_fetch(template_id, 0.4)
            self._deliver_the_rest()
            while self.fetches:
                self._end_the_fetch(self.fetches.pop())
        self._agree()
        self.undelivered = self.sent  # Meta repeats for days what it believes to be undelivered
        self._deliver_the_rest()
        assert self.tables.shown() == self._meta()

    def _meta(self) -> dict[str, dict[str, Any]]:
        return {template_id: {**has, "score in raw": has["quality"]} for template_id, has in self.meta.items()}

    def _deliver_the_rest(self) -> None:
        for webhook in self.undelivered:
            self.log_webhook(webhook)
        self.undelivered = []
        self.follow(self.unfollowed)
        self.unfollowed = []
        self._agree()

    def _agree(self) -> None:
        shown = self.tables.shown()
        assert believed(self.tables.log) == shown
        by_number: dict[str, int] = {}
        for event in self.tables.log:
            if isinstance(event, TemplateChanged | TemplateRemoved):
                template_id = event.template.template_id if isinstance(event, TemplateChanged) else event.template_id
                if event.version_number is not None:  # as earlier releases told
                    assert event.version_number > by_number.get(template_id, 0)
                    by_number[template_id] = event.version_number
        for log in (self.tables.log, self.tables.log[::-1], self.tables.log * 2):
            health = fold_all(WabaHealth(waba_id="w"), [(event, START) for event in log])
            known = {each.template_id: (each.status, each.quality) for each in health.shown_templates if each.status}
            listed = {template_id: known[template_id] for template_id in shown}
            assert listed == {template_id: (one["status"], one["quality"]) for template_id, one in shown.items()}
            whole = {template_id for template_id, row in self.tables.rows.items() if row.announced}
            assert known.keys() & whole <= shown.keys()


TestOneTruth = OneTruth.TestCase
TestOneTruth.settings = settings(max_examples=examples(300), stateful_step_count=30, deadline=None)


class World(OneTruth):
    """The same for examples: one template, listed as APPROVED and not rated."""

    def __init__(self) -> None:
        super().__init__()
        self.connect(may_lose=True, listed_at_the_end=True)

    def change(self, *change: str, after: float = 1, lost: bool = False) -> Any:
        """A change at Meta so many seconds later; its webhook."""
        self.change_at_meta("t1", change, after, lost)
        return self.sent[-1]

    def deliver_all(self, *webhooks: Any) -> None:
        """Webhooks arrive together and are followed."""
        for webhook in webhooks:
            self.log_webhook(webhook)
        self.follow(webhooks)

    def compare(self) -> TemplatesSynced:
        self.now += 1
        self.begin_to_list(0.4)
        self.end_the_sync()
        end = self.tables.log[-1]
        assert isinstance(end, TemplatesSynced)
        return end

    @property
    def states(self) -> list[Any]:
        """What `/templates`, a subscriber and health have of the template."""
        self._agree()
        health = fold_all(WabaHealth(waba_id="w"), [(event, START) for event in self.tables.log])
        [in_health] = [each for each in health.shown_templates if each.template_id == "t1"] or [None]
        known = [self.tables.shown().get("t1"), believed(self.tables.log).get("t1")]
        return [
            *((one["status"], one["quality"]) if one else None for one in known),
            (in_health.status, in_health.quality) if in_health else None,
        ]

    def told(self) -> list[TemplateChanged]:
        return [event for event in self.tables.log if isinstance(event, TemplateChanged)]


def test_a_rating_and_the_pause_that_follows_within_a_second_both_reach_everybody_in_any_order() -> None:
    for in_order in (True, False):
        world = World()
        webhooks = [world.change("quality", "RED"), world.change("status", "PAUSED", after=0.3)]
        for webhook in webhooks if in_order else webhooks[::-1]:
            world.deliver_all(webhook)

        assert world.states == [("PAUSED", "RED")] * 3


def test_a_poor_rating_is_not_hidden_by_an_approval_that_meta_told_a_second_later() -> None:
    world = World()
    rated = world.change("quality", "RED")
    approved = world.change("status", "APPROVED")

    world.deliver_all(approved)
    world.deliver_all(rated)

    assert world.states == [("APPROVED", "RED")] * 3


def test_a_paused_template_that_was_locked_and_unlocked_is_still_paused_for_everybody() -> None:
    world = World()
    world.deliver_all(world.change("status", "PAUSED"), world.change("status", "LOCKED"))
    assert world.states == [("PAUSED", "UNKNOWN")] * 3

    world.deliver_all(world.change("status", "UNLOCKED"))
    assert world.states == [("PAUSED", "UNKNOWN")] * 3


def test_nobody_is_told_of_a_change_where_graph_lists_what_a_webhook_told() -> None:
    world = World()
    world.deliver_all(world.change("status", "PAUSED"))
    told = len(world.told())

    end = world.compare()

    assert (len(world.told()), end.changed) == (told, 0)
    assert world.states == [("PAUSED", "UNKNOWN")] * 3


def test_a_pause_delivered_after_a_comparison_that_found_it_over_stays_over_for_everybody() -> None:
    world = World()
    paused = world.change("status", "PAUSED")
    world.change("status", "UNPAUSED", lost=True)
    world.compare()

    world.deliver_all(paused)

    assert world.states == [("APPROVED", "UNKNOWN")] * 3


def test_a_pause_that_was_followed_while_a_comparison_ran_is_over_where_graph_says_so() -> None:
    world = World()
    paused = world.change("status", "PAUSED")
    world.change("status", "UNPAUSED", lost=True)
    world.now += 1
    world.begin_to_list(0.4)
    world.deliver_all(paused)

    world.end_the_sync()

    assert world.states == [("APPROVED", "UNKNOWN")] * 3


def test_templates_disabled_while_a_comparison_told_of_their_pause_are_disabled_for_everybody() -> None:
    world = World()
    paused = world.change("status", "PAUSED")
    world.begin_to_list(0.4)
    disabled = world.change("status", "DISABLED")
    world.log_webhook(paused)
    world.log_webhook(disabled)
    world.end_the_sync()

    world.follow([disabled])
    world.follow([paused])  # what follows the older webhook comes to its turn last

    assert world.states == [("DISABLED", "UNKNOWN")] * 3


def test_a_webhook_that_meta_repeats_hours_later_takes_nobody_back_in_time() -> None:
    world = World()
    paused, unpaused = world.change("status", "PAUSED"), world.change("status", "UNPAUSED")
    world.deliver_all(paused)
    world.deliver_all(unpaused)
    told = len(world.told())

    world.now += 7200
    world.deliver_all(paused)

    assert len(world.told()) == told
    assert world.states == [("APPROVED", "UNKNOWN")] * 3


def test_a_template_is_told_with_the_quality_of_today_in_graph_s_own_form_too() -> None:
    world = World()
    world.change("quality", "GREEN", lost=True)
    world.compare()

    world.deliver_all(world.change("quality", "RED"))

    assert world.told()[-1].template.raw["quality_score"] == {"score": "RED"}


def test_followers_of_an_earlier_release_that_hold_a_superseded_version_are_put_right_by_the_next_comparison() -> None:
    world = World()
    disabled = world.change("status", "DISABLED")
    world.compare()
    stale = world.told()[0].template.model_copy(update={"status": "PAUSED"})
    about: dict[str, Any] = {**ABOUT, "id": "told-late", "time": disabled.time, "added": False, "observed": False}
    world.tables.append([TemplateChanged(template=stale, caused_by=disabled.id, **about)])
    assert believed(world.tables.log)["t1"]["status"] == "PAUSED"

    end = world.compare()

    assert world.states == [("DISABLED", "UNKNOWN")] * 3
    assert end.changed == 0
