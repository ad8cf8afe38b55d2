"""Frames by each door: the same content, encoded once."""

import json
import struct

import pytest
from wabus_runtime.feed.frames import Frame, bye, text_message


def test_a_frame_says_the_same_by_each_door() -> None:
    frame = Frame("change", {"conversation": {"text": "grüße\n\nevent: bye"}})
    event, chunked, message = (frame.written(door, "c1") for door in ("sse", "chunked", "websocket"))

    lines = event.decode().split("\n")
    assert lines[:2] == ["id: c1", "event: change"]
    data = lines[2].removeprefix("data: ")
    assert lines[3:] == ["", ""]
    assert json.loads(data) == {
        "type": "change", "cursor": "c1", "conversation": {"text": "grüße\n\nevent: bye"},
    }  # fmt: skip
    assert chunked == f"{len(event):x}\r\n".encode() + event + b"\r\n"
    assert message.endswith(data.encode())


def test_who_has_more_to_come_gets_no_place_to_come_back_to() -> None:
    frame = Frame("change", {"a": 1})
    event = frame.written("sse", None)
    assert b"id:" not in event
    assert b'"cursor":null' in event


def test_a_frame_is_encoded_once_for_all_who_get_it() -> None:
    frame = Frame("change", {"a": 1})
    assert frame.written("chunked", "c") is frame.written("chunked", "c")


def test_a_frame_without_content_is_whole_json() -> None:
    assert json.loads(Frame("alive", {}).written("sse", None).decode().split("data: ")[1]) == {
        "type": "alive", "cursor": None,
    }  # fmt: skip
    assert json.loads(bye("slow", 5).written("sse", "c").decode().split("data: ")[1])["reason"] == "slow"


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"), (125, b"\x81\x7d"), (126, b"\x81\x7e" + struct.pack(">H", 126)),
        (65_535, b"\x81\x7e\xff\xff"), (65_536, b"\x81\x7f" + struct.pack(">Q", 65_536)),
    ],
)  # fmt: skip
def test_a_text_message_has_the_length_that_the_standard_wants(size: int, head: bytes) -> None:
    assert text_message(b"x" * size) == head + b"x" * size
