"""A key's partition is the one that Kafka's own clients choose, so that every producer agrees."""

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st
from wabus_runtime.kafka.clients import partition_of


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_partition_is_that_of_kafkas_java_client(key: bytes, hashed: int) -> None:
    """The values of Kafka's own UtilsTest.testMurmur2."""
    assert partition_of(key, 2**31 - 1) == (hashed & 0x7FFFFFFF) % (2**31 - 1)


@given(st.binary(max_size=80), st.integers(1, 200))
def test_the_partition_is_that_of_the_python_client(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
