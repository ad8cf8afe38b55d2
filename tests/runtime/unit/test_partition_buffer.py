"""What waits for a partition: what goes out together, in which order, what is refused, and what is given up."""

from collections.abc import Sequence

from wabus_events import MESSAGES, Record
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import Overloaded, Position, RecordRefused
from wabus_runtime.kafka.partition_buffer import BATCH_BYTES, BATCH_RECORDS, PartitionBuffer, Publish

End = KafkaUnavailable | RecordRefused | None


def record(size: int = 10) -> Record:
    return Record(MESSAGES.name, b"", b"x" * size, [])


class Waiting:
    """Two partitions, publishes, and how each of them ended, as often as it was told."""

    def __init__(self) -> None:
        self.buffers = {number: PartitionBuffer(MESSAGES.name, number) for number in (1, 2)}
        self.ends: dict[str, list[End]] = {}

    def publish(self, name: str, started: float, *partitions: int, size: int = 10) -> list[Position | None]:
        self.ends[name] = []
        positions: list[Position | None] = [None] * len(partitions)
        publish = Publish(len(partitions), started, self.ends[name].append, positions)
        records = [record(size) for _ in partitions]
        for index, partition in enumerate(partitions):
            self.buffers[partition].add(records, publish, index, index + 1)
        return positions

    @property
    def ended(self) -> list[str]:
        return [name for name, ends in self.ends.items() if ends]


def sizes(batch: Sequence[tuple[Record, Publish, int]]) -> list[int]:
    return [len(record.value or b"") for record, _, _ in batch]


def test_a_publish_ends_when_kafka_has_all_of_its_records_and_knows_where_they_are() -> None:
    waiting = Waiting()
    waiting.publish("other", 0.0, 1)
    positions = waiting.publish("one", 0.0, 1, 2)
    first, second = waiting.buffers.values()
    first.take(0.0)
    assert first.acknowledge(40, 0.0) == 2
    assert waiting.ends == {"other": [None], "one": []}
    second.take(0.0)
    assert second.acknowledge(7, 0.0) == 1
    assert waiting.ends["one"] == [None]
    assert positions == [Position(MESSAGES.name, 1, 41), Position(MESSAGES.name, 2, 7)]


def test_one_record_that_kafka_did_not_take_fails_its_publish_and_no_other() -> None:
    waiting = Waiting()
    waiting.publish("one", 0.0, 1, 2)
    waiting.publish("other", 0.0, 2)
    first, second = waiting.buffers.values()
    first.take(0.0)
    second.take(0.0)
    error = KafkaUnavailable()
    first.fail(error, 0.0)
    second.acknowledge(0, 0.0)
    assert waiting.ends == {"one": [error], "other": [None]}


def test_whoever_fails_at_being_told_keeps_it_from_nobody_else() -> None:
    waiting = Waiting()

    def failing(error: End) -> None:
        raise RuntimeError

    buffer = waiting.buffers[1]
    buffer.add([record()], Publish(1, 0.0, failing, None), 0, 1)
    waiting.publish("one", 0.0, 1)
    buffer.take(0.0)
    buffer.acknowledge(0, 0.0)
    assert waiting.ends == {"one": [None]}


def test_a_batch_holds_so_many_records_and_the_rest_goes_with_the_next_in_its_order() -> None:
    waiting = Waiting()
    for number in range(BATCH_RECORDS + 10):
        waiting.publish(str(number), 0.0, 1)
    buffer = waiting.buffers[1]
    buffer.take(0.0)
    buffer.acknowledge(0, 0.0)
    assert waiting.ended == [str(number) for number in range(BATCH_RECORDS)]
    assert len(buffer.take(0.0)) == 10


def test_a_batch_holds_so_many_bytes_but_at_least_one_record() -> None:
    waiting = Waiting()
    for number, size in enumerate((10, 2 * BATCH_BYTES, 10)):
        waiting.publish(str(number), 0.0, 1, size=size)
    buffer = waiting.buffers[1]
    taken: list[list[int]] = []
    while buffer.waiting:
        taken.append(sizes(buffer.take(0.0)))
        buffer.acknowledge(0, 0.0)
    assert taken == [[10], [2 * BATCH_BYTES], [10]]


def test_the_record_that_kafka_refuses_is_found_and_fails_alone_and_the_order_holds() -> None:
    waiting = Waiting()
    for number in range(100):
        waiting.publish(str(number), 0.0, 1, size=99 if number == 70 else 10)
    buffer = waiting.buffers[1]
    stored: list[int] = []
    batches = 0
    while buffer.waiting:
        batches += 1
        batch = buffer.take(0.0)
        if 99 in sizes(batch):
            buffer.refuse("PolicyViolationError", 0.0)
        else:
            stored += sizes(batch)
            buffer.acknowledge(len(stored) - len(batch), 0.0)
    (refused,) = waiting.ends.pop("70")
    assert isinstance(refused, RecordRefused)
    assert refused.reasons == {0: "PolicyViolationError"}
    assert all(ends == [None] for ends in waiting.ends.values())
    assert waiting.ended == [name for name in map(str, range(100)) if name != "70"]
    assert stored == [10] * 99
    assert batches < 30
    assert buffer.most > 10_000  # what goes out together grows again


def test_a_topic_that_takes_small_batches_only_is_given_no_others() -> None:
    waiting = Waiting()
    buffer = waiting.buffers[1]
    refusals: list[int] = []
    for _ in range(10):
        for number in range(100):
            waiting.publish(str(number), 0.0, 1, size=600)  # some 1,000 bytes each
        refused = 0
        while buffer.waiting:
            if len(buffer.take(0.0)) > 10:
                buffer.refuse("MessageSizeTooLargeError", 0.0, about_size=True)
                refused += 1
            else:
                buffer.acknowledge(0, 0.0)
        refusals.append(refused)
    assert refusals[0] > 0
    assert refusals[1:] == [0] * 9


def test_what_a_topic_refuses_whatever_it_is_needs_no_smaller_batches() -> None:
    waiting = Waiting()
    waiting.publish("one", 0.0, 1, 2)
    waiting.publish("other", 0.0, 1)
    first, second = waiting.buffers.values()
    first.take(0.0)
    assert first.refuse("TopicAuthorizationFailedError", 0.0, about_topic=True) == 2
    assert waiting.ended == ["other"]
    second.take(0.0)
    second.acknowledge(0, 0.0)
    (end,) = waiting.ends["one"]
    assert isinstance(end, RecordRefused)
    assert end.reasons == {0: "TopicAuthorizationFailedError"}


def test_what_may_be_there_or_not_outweighs_what_is_refused() -> None:
    waiting = Waiting()
    waiting.publish("one", 0.0, 1, 2)
    first, second = waiting.buffers.values()
    first.take(0.0)
    first.refuse("PolicyViolationError", 0.0)
    second.take(0.0)
    error = KafkaUnavailable()
    second.fail(error, 0.0)
    assert waiting.ends == {"one": [error]}


def test_what_has_waited_too_long_is_told_once_and_forgotten_and_the_rest_keeps_its_place() -> None:
    waiting = Waiting()
    waiting.publish("old", 1.0, 1, 2, size=1000)
    waiting.publish("young", 2.0, 1)
    first, second = waiting.buffers.values()
    assert [buffer.give_up_older(before=2.0) for buffer in (first, second, first)] == [1, 1, 0]
    assert [type(end) for end in waiting.ends["old"]] == [Overloaded]
    assert not second.waiting
    assert sizes(first.take(0.0)) == [10]
    first.acknowledge(0, 0.0)
    assert waiting.ends["young"] == [None]


def test_what_is_given_up_on_its_way_is_not_told_again_when_kafka_has_it_after_all() -> None:
    waiting = Waiting()
    waiting.publish("old", 1.0, 1)
    waiting.publish("young", 2.0, 1)
    buffer = waiting.buffers[1]
    buffer.take(0.0)
    assert buffer.give_up_older(before=2.0) == 0
    buffer.acknowledge(0, 0.0)
    assert [type(end) for end in waiting.ends["old"]] == [Overloaded]
    assert waiting.ends["young"] == [None]


def test_what_kafka_does_not_have_goes_again_before_all_else() -> None:
    waiting = Waiting()
    waiting.publish("one", 0.0, 1, size=1)
    waiting.publish("other", 0.0, 1, size=2)
    buffer = waiting.buffers[1]
    buffer.take(0.0)
    waiting.publish("later", 0.0, 1, size=3)
    buffer.put_back()
    assert not buffer.batch
    assert sizes(buffer.take(0.0)) == [1, 2, 3]


def test_who_publishes_again_when_told_to_have_waited_too_long_is_not_taken_for_what_was_forgotten() -> None:
    buffer = PartitionBuffer(MESSAGES.name, 1)

    def again(error: End) -> None:
        buffer.add([record()], Publish(1, 2.0, lambda _: None, None), 0, 1)

    buffer.add([record()], Publish(1, 1.0, again, None), 0, 1)
    assert buffer.give_up_older(before=2.0) == 1
    assert len(buffer.waiting) == 1
