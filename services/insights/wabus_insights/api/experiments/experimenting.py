"""Experiments: planning, starting, stopping, deciding them, and what they show."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
from aiohttp import web
from wabus_events import (
    Event,
    ExperimentDecided,
    ExperimentDefined,
    ExperimentPlan,
    ExperimentStopped,
    HoldoutChosen,
    PersonDrawn,
    contact_id,
    fact_id,
)
from wabus_events.models.insights.experiments import PlannedArm, PlannedGuardrail
from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.answers import Problem, checked, json_response
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.headers import idempotency_key, tagged_response
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_whatsapp.assignment import SLOTS, arm_of, is_held_out, reweighted, slices_of
from wabus_whatsapp.assignment import Slice as SliceOfArm
from wabus_whatsapp.ids import Ids, Kind

from wabus_insights.api.experiments import views
from wabus_insights.api.experiments.models import (
    AssignRequest,
    AssignView,
    DecideRequest,
    ExperimentPath,
    ExperimentRequest,
    Experiments,
    ExperimentsQuery,
    ExperimentView,
    HoldoutBody,
    ListPlace,
    Looks,
    LooksQuery,
    PlanRequest,
    PlanView,
    StartRequest,
    StopRequest,
)
from wabus_insights.experiments.decision import findings
from wabus_insights.experiments.evidence import p_value, threshold
from wabus_insights.experiments.plan import SENDABLE, digest_of, in_slots, problems
from wabus_insights.experiments.reading import OPAQUE_OF_A_DRAW, draw_id
from wabus_insights.experiments.sizes import PEEKS, peeking, sizes
from wabus_insights.tables.experiments import counting, definitions, people
from wabus_insights.tables.experiments.definitions import Experiment
from wabus_insights.tables.experiments.standing import standing, standing_of
from wabus_insights.worker.experiments.looking import results, started

FOLDED_WITHIN = 5.0  # seconds until what was published is in the tables; after it the answer is 202


@dataclass(frozen=True)
class ExperimentsApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms
    announcements: Announcements
    directory: Directory
    ids: Ids

    async def define(self, request: web.Request) -> web.Response:
        """POST /experiments"""
        caller = await authorise(request)
        key, asked = idempotency_key(request), await json_body(request, ExperimentRequest)
        plan = await self._planned(caller.org_id, asked)
        experiment_id = UUID(fact_id("experiment", caller.org_id, f"key {key}" if key else str(uuid4())))
        digest = plan.digest()
        if (known := await definitions.one(self.pool(), caller.org_id, experiment_id)) is None:
            event = ExperimentDefined(
                id=fact_id(ExperimentDefined.type, str(experiment_id)),
                time=datetime.now(UTC),
                org_id=caller.org_id,
                experiment_id=str(experiment_id),
                plan=plan,
                plan_hash=digest,
                salt=uuid4().hex,
                requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
            )
            known = await self._published(event, experiment_id, lambda found: True)
        if known and known.plan_hash != digest:
            raise Problem(422, "key_reused", "Another request had this key", "This Idempotency-Key was sent with "
                          "another plan. Please use a new key.")  # fmt: skip
        return await self._answer(caller.org_id, experiment_id, known, 201)

    async def list_all(self, request: web.Request) -> web.Response:
        """GET /experiments"""
        caller = await authorise(request)
        asked, now = checked(ExperimentsQuery, dict(request.query)), datetime.now(UTC)
        after = place_of(asked.after, ListPlace) if asked.after else None
        rows = await definitions.listed(self.pool(), caller.org_id, asked.limit + 1, after)
        page, last = page_of(rows, asked.limit)
        found = [views.summary(each, now) for each in page]
        following = cursor_of((last.defined_at, str(last.experiment_id))) if last else None
        return tagged_response(request, Experiments(experiments=found, next=following))

    async def show(self, request: web.Request) -> web.Response:
        """GET /experiments/{experiment_id}"""
        caller = await authorise(request)
        experiment = await self._experiment(request, caller.org_id)
        return tagged_response(request, await self._view(experiment))

    async def looks(self, request: web.Request) -> web.Response:
        """GET /experiments/{experiment_id}/looks"""
        caller = await authorise(request)
        experiment = await self._experiment(request, caller.org_id)
        asked = checked(LooksQuery, dict(request.query))
        withheld = (experiment.decision or {}).get("outcome") == "sample_ratio"
        rows = await counting.looks(self.pool(), experiment.experiment_id, asked.limit, asked.before)
        rows = [] if withheld else rows
        found = [
            {"at": row["at"], "arm": row["arm"], "people": row["people"], "evidence": row["log_evidence"],
             "p_value": p_value(row["highest"]), "low": row["low"], "high": row["high"]}
            for row in rows
        ]  # fmt: skip
        needed = threshold(experiment.plan.alpha, len(experiment.plan.arms) - 1)
        return tagged_response(request, Looks.model_validate({"looks": found, "threshold": needed}))

    async def start(self, request: web.Request) -> web.Response:
        """POST /experiments/{experiment_id}/start: for the first time, or with other weights."""
        caller = await authorise(request)
        experiment, asked = await self._experiment(request, caller.org_id), await json_body(request, StartRequest)
        now = datetime.now(UTC)
        if experiment.state(now) not in ("planned", "running"):
            raise _ended()
        if experiment.started_at and asked.weights is None:
            return await self._answer(caller.org_id, experiment.experiment_id, experiment, 200)
        names = {arm.arm for arm in experiment.plan.arms}
        weights = {arm.arm: arm.weight for arm in experiment.plan.arms}
        if asked.weights is not None:
            weights = in_slots(asked.weights) or {}
        if not weights or not weights.keys() <= names:
            raise _invalid("The weights are of arms of the plan, and add up to 1.", "weights")
        if gone := sorted(arm for arm in experiment.stops if weights.get(arm)):
            raise _invalid(
                f"Nobody is drawn into {', '.join(gone)} any more: an arm that was stopped stays so.", "weights"
            )
        before = [SliceOfArm(**each) for each in experiment.slices or ()]
        slices = reweighted(before, weights) if before else slices_of(weights)
        epoch = experiment.epoch + 1
        by = await self.pseudonyms.of(caller.org_id, caller.subject)
        event = started(experiment, epoch, slices, now, by)
        known = await self._published(event, experiment.experiment_id, lambda found: found.epoch >= epoch)
        if known and known.epoch == epoch and known.slices != [each.model_dump() for each in event.slices]:
            raise _changed()  # of two who give weights at once the first in the log does
        return await self._answer(caller.org_id, experiment.experiment_id, known, 200)

    async def stop(self, request: web.Request) -> web.Response:
        """POST /experiments/{experiment_id}/stop: nobody is drawn any more, and who was drawn is still counted."""
        caller = await authorise(request)
        experiment, asked = await self._experiment(request, caller.org_id), await json_body(request, StopRequest)
        if experiment.decided_at:
            raise _ended()
        _check_arm(experiment, asked.arm, "arm")
        event = ExperimentStopped(
            id=fact_id(ExperimentStopped.type, str(experiment.experiment_id), asked.arm or "", "by_hand"),
            time=datetime.now(UTC),
            org_id=caller.org_id,
            experiment_id=str(experiment.experiment_id),
            arm=asked.arm,
            reason="by_hand",
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        arm = asked.arm
        known = await self._published(
            event, experiment.experiment_id, lambda found: arm in found.stops if arm else found.stopped_at is not None
        )
        return await self._answer(caller.org_id, experiment.experiment_id, known, 200)

    async def decide(self, request: web.Request) -> web.Response:
        """POST /experiments/{experiment_id}/decide: by hand; what is shown is told with it, as it is."""
        caller = await authorise(request)
        experiment, asked = await self._experiment(request, caller.org_id), await json_body(request, DecideRequest)
        if experiment.decided_at:
            raise _ended()
        _check_arm(experiment, asked.winner, "winner")
        now = datetime.now(UTC)
        known = await standing(self.pool(), experiment, now)
        finding = findings(experiment.plan, known)
        event = ExperimentDecided(
            id=fact_id(ExperimentDecided.type, str(experiment.experiment_id)),
            time=now,
            org_id=caller.org_id,
            experiment_id=str(experiment.experiment_id),
            outcome="stopped",
            winner=asked.winner,
            better=finding.better,
            worse=finding.worse,
            reason="by_hand",
            arms=[] if finding.is_imbalanced else results(experiment, known, finding),
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        found = await self._published(event, experiment.experiment_id, lambda found: found.decided_at is not None)
        if (
            found
            and found.decision
            and (found.decision["outcome"], found.decision["winner"])
            != (
                "stopped",
                asked.winner,
            )
        ):
            raise _changed()
        return await self._answer(caller.org_id, experiment.experiment_id, found, 200)

    async def assign(self, request: web.Request) -> web.Response:
        """POST /experiments/{experiment_id}/assign: for platforms that send by themselves."""
        caller = await authorise(request)
        experiment, asked = await self._experiment(request, caller.org_id), await json_body(request, AssignRequest)
        number = contact_id(asked.to) if asked.to else None
        person = number or asked.recipient
        if person is None:
            raise _invalid("Give the person's number as `to`, or their user id as `recipient`.", "to")
        named: tuple[tuple[Kind, str | None], ...] = (("wa_id", number), ("user_id", asked.recipient))
        keys = [UUID(self.ids.identifier(caller.org_id, kind, value)) for kind, value in named if value]
        now = datetime.now(UTC)
        if await self._is_held_out(experiment, person):
            return json_response(
                AssignView(arm=None, sends=False, template=None, withheld="holdout", biz_opaque_callback_data=None)
            )
        known = await people.arm_of(self.pool(), experiment.experiment_id, keys)
        arm, kept_as = known or (None, keys[0])
        arm = experiment.winner_for_all or arm
        is_drawn_now = arm is None
        if arm is None:
            if experiment.state(now) != "running" or not experiment.slices:
                raise _ended()
            arm = arm_of([SliceOfArm(**each) for each in experiment.slices], experiment.salt, person)
        given = experiment.plan.given(arm, experiment.stops)
        if given is None:
            raise _ended()
        if is_drawn_now:
            event = PersonDrawn(
                id=fact_id(PersonDrawn.type, str(experiment.experiment_id), str(keys[0])),
                time=now,
                org_id=caller.org_id,
                experiment_id=str(experiment.experiment_id),
                arm=arm,
                epoch=experiment.epoch,
                to=number,
                recipient=asked.recipient,
                requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
            )
            await self.publisher.publish([event])
        template = views.template_of(given)
        withheld = None if template else "experiment"
        told_by = f"{OPAQUE_OF_A_DRAW}{draw_id(experiment.experiment_id, kept_as)}"
        view = AssignView(
            arm=arm, sends=template is not None, template=template, withheld=withheld, biz_opaque_callback_data=told_by
        )
        return json_response(view)

    async def plan(self, request: web.Request) -> web.Response:
        """POST /experiments/plan: how many people an effect needs, and what peeking would cost."""
        await authorise(request)
        asked = await json_body(request, PlanRequest)
        try:
            found = sizes(asked.baseline, asked.effect, asked.alpha, asked.power, comparisons=asked.arms - 1)
        except ValueError:
            raise _invalid("Both rates are between 0 and 1, and they differ.", "effect") from None
        if found is None:
            raise Problem(422, "too_small", "Too small an effect", "Nobody has so many people: plan for a larger one.",
                          fields=["effect"])  # fmt: skip
        costs = [(looks, await asyncio.to_thread(peeking, looks, asked.alpha)) for looks in PEEKS]
        an_arm = [-(-each // 2) for each in (found.any_time, found.median, found.once)]
        said = (
            f"{an_arm[0]:,} people an arm show it in {asked.power:.0%} of the cases, and you may look and stop at any "
            f"time: half of the experiments have shown it by {an_arm[1]:,}. A test that may be looked at once, at its "
            f"end, would need {an_arm[2]:,}; looked at {costs[-1][0]} times it would find a difference that is not "
            f"there in {costs[-1][1]:.0%} of the cases."
        )
        view = {
            "people_per_arm": an_arm[0], "half_stop_by": an_arm[1], "people_per_arm_at_one_look": an_arm[2],
            "peeking": [{"looks": looks, "false_positives": round(share, 3)} for looks, share in costs], "said": said,
        }  # fmt: skip
        return json_response(PlanView.model_validate(view))

    async def holdout(self, request: web.Request) -> web.Response:
        """GET /experiments/holdout"""
        caller = await authorise(request)
        known = await definitions.holdout(self.pool(), caller.org_id)
        return tagged_response(request, HoldoutBody(share=known[0] / SLOTS if known else 0))

    async def set_holdout(self, request: web.Request) -> web.Response:
        """PUT /experiments/holdout"""
        caller = await authorise(request)
        asked, now = await json_body(request, HoldoutBody), datetime.now(UTC)
        known = await definitions.holdout(self.pool(), caller.org_id)
        event = HoldoutChosen(
            id=fact_id(HoldoutChosen.type, caller.org_id, now.isoformat()),
            time=now,
            org_id=caller.org_id,
            share=round(asked.share * SLOTS),
            # Of the organisation alone, and the same for ever: who is held out stays so.
            salt=known[1] if known else fact_id("holdout", caller.org_id),
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        await self.publisher.publish([event])
        return json_response(HoldoutBody(share=event.share / SLOTS), 202)

    async def _planned(self, org_id: str, asked: ExperimentRequest) -> ExperimentPlan:
        """The plan with the templates as they are now. Raises a problem that says all that is wrong."""
        if self.directory.owner(asked.waba_id, datetime.now(UTC)) != org_id:
            raise Problem(422, "not_your_account", "Not your account", "There is no account of yours with this id.",
                          fields=["waba_id"])  # fmt: skip
        wanted = {(arm.template.name, arm.template.language) for arm in asked.arms if arm.template}
        known = await definitions.templates(self.pool(), asked.waba_id, sorted(wanted))
        for name, language in sorted(wanted):
            template = known.get((name, language))
            if template is None or template.status not in SENDABLE:
                raise _invalid("A template is not known, or is not approved. See GET /templates.", "arms")
        given = [arm.weight for arm in asked.arms]
        even = all(share is None for share in given)
        places = [f"{place:02}" for place in range(len(given))]  # arms that have one name are refused below
        shares = {place: 1 / len(given) if even else share or 0.0 for place, share in zip(places, given, strict=True)}
        weights = list((in_slots(shares) or dict.fromkeys(places, 0)).values())
        arms: list[PlannedArm] = []
        for arm, weight in zip(asked.arms, weights, strict=True):
            template = known[arm.template.name, arm.template.language] if arm.template else None
            arms.append(
                PlannedArm(
                    arm=arm.arm,
                    weight=weight,
                    template_name=arm.template and arm.template.name,
                    template_language=arm.template and arm.template.language,
                    template_id=template and template.template_id,
                    template_version=template and template.version,
                    template_digest=template and digest_of(template.template),
                    category=template and template.category,
                    components=arm.template.components if arm.template else [],
                )
            )
        fields = asked.model_dump(exclude={"arms", "guardrails"})
        guardrails = [PlannedGuardrail(harm=each.harm, alpha=each.alpha) for each in asked.guardrails]
        plan = ExperimentPlan(**fields, arms=arms, guardrails=guardrails)
        if wrong := problems(plan):
            raise _invalid(" ".join(each.message for each in wrong[:3]), *{each.field for each in wrong})
        return plan

    async def _is_held_out(self, experiment: Experiment, person: str) -> bool:
        """Whether a person is in the organisation's holdout, and the experiment is on what these do not get."""
        categories = {arm.category for arm in experiment.plan.arms if arm.category}
        known = await definitions.holdout(self.pool(), experiment.org_id) if "MARKETING" in categories else None
        return known is not None and is_held_out(*known, person, "marketing")

    async def _experiment(self, request: web.Request, org_id: str) -> Experiment:
        experiment_id = UUID(checked(ExperimentPath, dict(request.match_info)).experiment_id)
        found = await definitions.one(self.pool(), org_id, experiment_id)
        if found is None:
            raise Problem(404, "experiment_not_found", "No such experiment", "There is no experiment of yours there.")
        return found

    async def _published(
        self, event: Event, experiment_id: UUID, is_in: Callable[[Experiment], bool]
    ) -> Experiment | None:  # fmt: skip
        """Publish, and wait until the tables have it; None if that takes longer."""
        await self.publisher.publish([event])
        found: list[Experiment] = []

        async def is_folded() -> bool:
            experiment = await definitions.one(self.pool(), event.org_id or "", experiment_id)
            if experiment and is_in(experiment):
                found.append(experiment)
            return bool(found)

        await self.announcements.until(is_folded, FOLDED_WITHIN)
        return found[0] if found else None

    async def _answer(self, org_id: str, experiment_id: UUID, known: Experiment | None, status: int) -> web.Response:
        headers = {"Location": f"/experiments/{experiment_id}"}
        if known is None:
            return json_response({"experiment_id": str(experiment_id)}, 202, headers)
        return json_response(await self._view(known), status, headers)

    async def _view(self, experiment: Experiment) -> ExperimentView:
        now = datetime.now(UTC)
        tallies = await counting.tallies(self.pool(), experiment.experiment_id)
        known = standing_of(experiment, tallies, now)
        return views.view(experiment, known, findings(experiment.plan, known), tallies, now)


def _check_arm(experiment: Experiment, arm: str | None, field: str) -> None:
    if arm is not None and arm not in {each.arm for each in experiment.plan.arms}:
        raise _invalid("The experiment has no such arm.", field)


def _ended() -> Problem:
    return Problem(409, "experiment_not_running", "Not running", "The experiment has not begun, or has ended.")


def _changed() -> Problem:
    return Problem(409, "experiment_changed", "It was changed meanwhile", "Somebody else, or the experiment itself, "
                   "was first. Look at it as it is now.")  # fmt: skip


def _invalid(detail: str, *fields: str) -> Problem:
    return Problem(422, "invalid_request", "The request is invalid", detail, fields=sorted(fields))
