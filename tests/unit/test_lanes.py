"""What waits for Kafka: what goes out together, in which order, and what is given up."""

from wabus_events import MESSAGES, Record
from wabus_runtime.kafka import KafkaUnavailable
from wabus_runtime.lanes import ROUND_RECORDS, Lanes, Overloaded, Position, Publish


def record(size: int = 10) -> Record:
    return Record(MESSAGES.name, b"", b"x" * size, [])


class Waiting:
    """Publishes and how each of them ended, as often as it was told."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.ends: dict[str, list[KafkaUnavailable | None]] = {}

    def publish(self, name: str, started: float, *partitions: int, size: int = 10) -> list[Position | None]:
        self.ends[name] = []
        positions: list[Position | None] = [None] * len(partitions)
        publish = Publish(len(partitions), started, self.ends[name].append, positions)
        for index, partition in enumerate(partitions):
            self.lanes.add((MESSAGES.name, partition), record(size), publish, index)
        return positions


def test_a_publish_ends_when_kafka_has_all_of_its_records_and_knows_where_they_are() -> None:
    waiting = Waiting()
    waiting.publish("other", 0.0, 1)
    positions = waiting.publish("one", 0.0, 1, 2)
    first, second = waiting.lanes.take()
    first[1].settle(None, Position(*first[0], 40))
    assert waiting.ends == {"other": [None], "one": []}
    second[1].settle(None, Position(*second[0], 7))
    assert waiting.ends["one"] == [None]
    assert positions == [Position(MESSAGES.name, 1, 41), Position(MESSAGES.name, 2, 7)]


def test_one_record_that_kafka_did_not_take_fails_its_publish_and_no_other() -> None:
    waiting = Waiting()
    waiting.publish("one", 0.0, 1, 2)
    waiting.publish("other", 0.0, 2)
    (_, first), (_, second) = waiting.lanes.take()
    error = KafkaUnavailable()
    first.settle(error)
    second.settle(None)
    assert waiting.ends == {"one": [error], "other": [None]}


def test_whoever_fails_at_being_told_keeps_it_from_nobody_else() -> None:
    waiting = Waiting()

    def failing(error: KafkaUnavailable | None) -> None:
        raise RuntimeError

    waiting.lanes.add((MESSAGES.name, 1), record(), Publish(1, 0.0, failing, None), 0)
    waiting.publish("one", 0.0, 1)
    waiting.publish("other", 0.0, 2)
    for _, lane in waiting.lanes.take():
        lane.settle(None)
    assert waiting.ends == {"one": [None], "other": [None]}


def test_a_round_holds_so_many_records_and_the_rest_goes_with_the_next_in_its_order() -> None:
    waiting = Waiting()
    for number in range(ROUND_RECORDS + 10):
        waiting.publish(str(number), 0.0, 1)
    waiting.publish("elsewhere", 0.0, 2)
    ((_, lane),) = waiting.lanes.take()
    lane.settle(None)
    assert [name for name, ends in waiting.ends.items() if ends] == [str(number) for number in range(ROUND_RECORDS)]
    assert waiting.lanes.count == 11
    assert [place[1] for place, _ in waiting.lanes.take()] == [2, 1]
    assert waiting.lanes.count == 0


def test_what_has_waited_too_long_is_told_once_and_forgotten_and_the_rest_keeps_its_place() -> None:
    waiting = Waiting()
    waiting.publish("old", 1.0, 1, 2, size=1000)
    waiting.publish("young", 2.0, 1)
    waiting.lanes.give_up(before=2.0)
    waiting.lanes.give_up(before=2.0)
    assert [type(end) for end in waiting.ends["old"]] == [Overloaded]
    assert waiting.lanes.count == 1
    ((place, lane),) = waiting.lanes.take()
    assert (place[1], len(lane.records), lane.size) == (1, 1, 410)
    lane.settle(None)
    assert waiting.ends["young"] == [None]


def test_what_is_given_up_on_its_way_is_not_told_again_when_kafka_has_it_after_all() -> None:
    waiting = Waiting()
    waiting.publish("old", 1.0, 1)
    waiting.publish("young", 2.0, 1)
    ((_, lane),) = waiting.lanes.take()
    lane.give_up(before=2.0)
    lane.settle(None)
    assert [type(end) for end in waiting.ends["old"]] == [Overloaded]
    assert waiting.ends["young"] == [None]


def test_when_kafka_is_away_all_that_waits_ends() -> None:
    waiting = Waiting()
    waiting.publish("one", 0.0, 1, 2)
    error = KafkaUnavailable()
    waiting.lanes.fail(error)
    assert waiting.ends == {"one": [error]}
    assert (waiting.lanes.count, waiting.lanes.take()) == (0, [])
