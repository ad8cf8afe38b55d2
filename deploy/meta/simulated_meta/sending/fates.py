"""What becomes of a message after Meta has taken it: which statuses, when, in which order. Pure; chance is a seed.

Sources: "Status messages webhook reference" (sent, delivered, read, failed; no order is promised), "Template pacing"
(held, then sent or dropped with 132015), "WhatsApp error codes" (130472, 131026, 131049).
"""

import random
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Json = dict[str, Any]


@dataclass
class Chaos:
    """How the statuses of a message go wrong: each a share from 0 to 1, the same ones for the same `seed`."""

    seed: int = 1
    doubled: float = 0.0
    """A status comes twice."""
    turned: float = 0.0
    """Read comes first, then delivered, then sent, each with Meta's own time."""
    skipped: float = 0.0
    """Delivered is left out."""
    unread: float = 0.0
    """Nobody reads it."""
    failed: float = 0.0
    """It fails with 131026 instead of being delivered."""
    failed_after_delivered: float = 0.0
    """It is delivered on one device, and fails on another."""
    held: float = 0.0
    """A template is held for assessment, and sent `held_seconds` later."""
    held_then_dropped: float = 0.0
    """A template is held for assessment, and fails with 132015 `held_seconds` later."""
    paused: float = 0.0
    """A template is answered as paused, and fails with 132015."""
    unwanted: float = 0.0
    """A marketing template fails with 131049."""
    experiment: float = 0.0
    """A marketing template fails with 130472."""
    withheld: float = 0.0
    """No webhook comes for `withheld_seconds`."""
    opaque_lost: float = 0.0
    """`biz_opaque_callback_data` is left out of its statuses: Meta documents it, and nobody promises it."""
    delays: list[float] = field(default_factory=lambda: [0.02, 0.1, 0.3])
    """Seconds from the answer to sent, delivered and read."""
    held_seconds: float = 2.0
    withheld_seconds: float = 10.0

    def changed(self, given: Json) -> "Chaos":
        """Raises ValueError for a name that there is not, or a share that is none."""
        known = {each.name for each in fields(self)}
        if unknown := given.keys() - known:
            raise ValueError(f"statuses know {', '.join(sorted(known))}; not {', '.join(sorted(unknown))}")
        new = Chaos(**({name: getattr(self, name) for name in known} | given))
        if not all(isinstance(getattr(new, name), int | float) and 0 <= getattr(new, name) <= 1 for name in SHARES):
            raise ValueError("a share is a number from 0 to 1")
        if len(new.delays) != 3:
            raise ValueError("delays are three: of sent, delivered and read")
        return new


SHARES = (
    *("doubled", "turned", "skipped", "unread", "failed", "failed_after_delivered", "held", "held_then_dropped"),
    *("paused", "unwanted", "experiment", "withheld", "opaque_lost"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One status webhook: when it comes, and which moment it names, both in seconds since the message was taken."""

    after: float
    state: str
    happened: float
    error: int | None = None
    with_opaque: bool = True


@dataclass(frozen=True, slots=True)
class Fate:
    steps: tuple[Step, ...]
    message_status: Literal["accepted", "held_for_quality_assessment", "paused"] = "accepted"
    """Of a template, what the call is answered with."""

    @property
    def delivered_after(self) -> float | None:
        """How many seconds after it was taken it arrives; None where it never does.

        Where nothing is told of that, it is the moment when it was read.
        """
        arrived = [step.happened for step in self.steps if step.state in ("delivered", "read")]
        return min(arrived, default=None)


def _plain(chaos: Chaos, error: int | None) -> Fate:
    """Where nothing is left to chance."""
    sent, delivered, read = chaos.delays
    if error is not None:
        return Fate((Step(sent, "failed", sent, error),))
    return Fate((Step(sent, "sent", sent), Step(delivered, "delivered", delivered), Step(read, "read", read)))


def fate(chaos: Chaos, n: int, *, is_template: bool, is_marketing: bool, error: int | None = None) -> Fate:
    """What becomes of the n-th message. `error` is why Meta can't deliver it whatever chance says."""
    if not any(getattr(chaos, name) for name in SHARES):
        return _plain(chaos, error)
    chance = random.Random(f"{chaos.seed}:{n}")  # noqa: S311
    draw = {name: chance.random() for name in SHARES}

    def happens(name: str) -> bool:
        return draw[name] < getattr(chaos, name)

    sent, delivered, read = chaos.delays
    is_paused = is_template and happens("paused")
    dropped = is_template and happens("held_then_dropped")
    is_held = not is_paused and (dropped or (is_template and happens("held")))
    start = chaos.held_seconds if is_held else 0.0
    if error is None and is_marketing and happens("unwanted"):
        error = 131049
    if error is None and is_marketing and happens("experiment"):
        error = 130472
    steps: list[tuple[str, float, int | None]]
    if error is not None:
        steps = [("failed", start + sent, error)]
    elif dropped or is_paused:
        steps = [("failed", start + sent, 132015)]
    elif happens("failed"):
        steps = [("sent", start + sent, None), ("failed", start + delivered, 131026)]
    else:
        steps = [("sent", start + sent, None), ("delivered", start + delivered, None)]
        if happens("failed_after_delivered"):
            steps.append(("failed", start + (delivered + read) / 2, 131026))
        if not happens("unread"):
            steps.append(("read", start + read, None))
        if happens("skipped") and len(steps) > 2:
            steps = [each for each in steps if each[0] != "delivered"]
    moments = [at for _, at, _ in steps]
    if happens("turned"):
        moments.reverse()
    answered = "paused" if is_paused else "held_for_quality_assessment" if is_held else "accepted"
    late = chaos.withheld_seconds if happens("withheld") else 0.0
    told = not happens("opaque_lost")
    made = [
        Step(late + moment, state, at, code, told) for (state, at, code), moment in zip(steps, moments, strict=True)
    ]
    if happens("doubled"):
        made += [Step(each.after + sent, each.state, each.happened, each.error, told) for each in made]
    return Fate(tuple(sorted(made, key=lambda each: each.after)), answered)
