"""Rules of media: hashes, names, types by content, ranges, and when a medium is asked for again."""

import base64
import hashlib
import unicodedata
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threads import facts, imported, received
from wabus_conversations.media.addresses import may_have_token
from wabus_conversations.media.content_types import BYTES, SERVED, found_again, found_in
from wabus_conversations.media.fetching import (
    DIFFERS_MOST,
    LONGEST_PAUSE,
    Ended,
    Later,
    Reason,
    State,
    after_failure,
    deadline_of,
    is_too_late,
)
from wabus_conversations.media.names import LONGEST, disposition, safe_name
from wabus_conversations.media.ranges import NotThere, Part, part_of
from wabus_conversations.media.reading import digest, medium_in
from wabus_conversations.threads.facts import MessageFact
from wabus_conversations.worker.media.wanting import new_medium

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WEEK = timedelta(days=7)

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(100)
FILES = {
    "image/jpeg": JPEG,
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(100),
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(100),
    "video/mp4": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(100),
    "video/3gpp": b"\x00\x00\x00\x18ftyp3gp4\x00\x00\x02\x00isom3gp4" + bytes(100),
    "audio/mp4": b"\x00\x00\x00\x18ftypM4A \x00\x00\x02\x00isomiso2" + bytes(100),
    "audio/ogg": b"OggS\x00\x02" + bytes(22) + b"OpusHead" + bytes(100),
    "audio/mpeg": b"\xff\xfb\x90\x64" + bytes(100),
    "audio/aac": b"\xff\xf1\x50\x80" + bytes(100),
    "audio/amr": b"#!AMR\n" + bytes(100),
    "application/pdf": b"%PDF-1.7\n" + bytes(100),
}
HOSTILE = {
    "html": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "script": b"  <script>alert(1)</script>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "svg as xml": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "archive": b"PK\x03\x04\x14\x00\x00\x00" + bytes(100),
    "program": b"MZ\x90\x00" + bytes(200),
    "text": b"hello world\n" * 10,
    "nothing": b"",
}


@given(st.binary(min_size=32, max_size=32))
def test_a_hash_is_the_same_bytes_however_it_is_written(value: bytes) -> None:
    whole = base64.b64encode(value).decode()
    assert {digest(value.hex()), digest(value.hex().upper()), digest(whole), digest(whole.rstrip("="))} == {value}
    assert digest(base64.urlsafe_b64encode(value).decode()) == value


@given(st.one_of(st.text(), st.none(), st.integers(), st.binary(max_size=40).map(bytes.hex)))
def test_what_is_no_hash_is_none(told: object) -> None:
    found = digest(told)
    assert found is None or len(found) == 32


def test_the_shortened_hash_of_metas_documentation_is_none() -> None:
    assert digest("3f9d94d399fa61c191bc1d4ca71375a0") is None


def test_a_message_tells_of_its_medium() -> None:
    sha = hashlib.sha256(b"x").digest()
    part = {"id": "123", "mime_type": "Audio/OGG; codecs=opus", "sha256": base64.b64encode(sha).decode(), "voice": True}
    told = medium_in({"type": "audio", "audio": part}, "audio")
    assert told is not None
    assert (told.kind, told.meta_id, told.type, told.sha256, told.name) == ("audio", "123", "audio/ogg", sha, None)


@pytest.mark.parametrize("meta_id", ["../me", "1?fields=x", "", 5, None, "1" * 101, "1\n"])
def test_an_id_that_would_be_another_address_is_none(meta_id: object) -> None:
    assert medium_in({"type": "image", "image": {"id": meta_id}}, "image") is None


@pytest.mark.parametrize("message", [{}, {"image": []}, {"image": None}, {"text": {"body": "hello"}}])
def test_a_message_without_a_medium_has_none(message: dict[str, object]) -> None:
    assert medium_in(message, "image") is None
    assert medium_in({"text": {"id": "1"}}, "text") is None


@given(
    st.text(max_size=400) | st.text(alphabet="./\\ab\u202e\u0000\u2066 :é日", max_size=300),
    st.sampled_from(("document", "image")),
)
def test_any_name_becomes_a_plain_one(told: str, kind: str) -> None:
    name = safe_name(told, kind, "application/pdf")
    assert name
    assert len(name) <= LONGEST + 1
    assert len(name.encode()) <= 255
    assert not set(name) & set('/\\:*?"<>|')
    assert name == name.strip(" ")
    assert not name.startswith(".")
    assert all(unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in name)
    assert safe_name(name, kind, "application/pdf") == name
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("../../x.exe", "x.exe"),
        ("..\\..\\x.exe", "x.exe"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\r\nSet-Cookie: b", "aSet-Cookie_ b"),
        ("NUL.txt", "_NUL.txt"),
        (".bashrc", "bashrc"),
        ("  Rechnung März.pdf ", "Rechnung März.pdf"),
        ("/", "document.pdf"),
        (None, "document.pdf"),
    ],
)
def test_names_that_were_seen(told: str | None, name: str) -> None:
    assert safe_name(told, "document", "application/pdf") == name


def test_a_long_name_keeps_its_extension() -> None:
    assert safe_name("x" * 1_000 + ".pdf", "document", "application/pdf").endswith("x.pdf")
    assert len(safe_name("日" * 1_000 + ".pdf", "document", "application/pdf").encode()) <= 255


GRAPH = "https://graph.facebook.com"


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1", True),
        ("https://LOOKASIDE.fbsbx.com:443/", True),
        ("https://graph.facebook.com/x", True),
        ("http://lookaside.fbsbx.com/", False),
        ("https://fbsbx.com.example.org/", False),
        ("https://example.org/#.fbsbx.com", False),
        ("https://example.org\\@lookaside.fbsbx.com/", False),
        ("https://user@lookaside.fbsbx.com/", False),
        ("https://notfbsbx.com/", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("file:///etc/passwd", False),
        ("https://lookaside.fbsbx.com:99999/", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_a_token_goes_to_meta_and_to_nobody_else(url: str, may: bool) -> None:
    assert may_have_token(url, GRAPH) is may


def test_a_token_goes_where_graph_is_wherever_that_is() -> None:
    assert may_have_token("http://127.0.0.1:8081/whatsapp_business/attachments/", "http://127.0.0.1:8081")
    assert not may_have_token("http://127.0.0.1:8082/", "http://127.0.0.1:8081")


@given(st.text(max_size=60))
def test_whatever_an_address_is_it_is_answered(url: str) -> None:
    assert may_have_token(url, GRAPH) in (True, False)


@pytest.mark.parametrize("told", FILES)
def test_what_a_file_is_said_to_be_and_is(told: str) -> None:
    found = found_in(FILES[told], told)
    assert (found.as_told, found.served_as) == (True, told)
    assert found_again(found.type, told) == found


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("told", ["image/jpeg", "video/mp4", "application/pdf", "text/html", "image/svg+xml", None])
def test_what_a_browser_would_run_is_served_as_bytes_whatever_was_said(what: str, told: str | None) -> None:
    found = found_in(HOSTILE[what], told)
    assert found.served_as == BYTES
    assert not found.is_shown


def test_a_picture_of_another_kind_than_was_said_is_served_as_what_it_is() -> None:
    found = found_in(FILES["image/png"], "image/jpeg")
    assert (found.as_told, found.served_as, found.is_shown) == (False, "image/png", True)


@pytest.mark.parametrize(
    ("head", "told", "as_told"),
    [
        (b"Dear Ana,\nthank you.", "text/plain", None),
        (b"", "text/plain", None),
        (b"a,b\n1,2\n", "text/csv", None),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "application/vnd.ms-excel", True),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "application/vnd.ms-powerpoint", True),
        (b"MZ\x90\x00" + bytes(100), "text/plain", False),
        (b"no picture", "image/jpeg", False),
        (b"no film", "video/quicktime", False),
        (b"<html><script>", "text/plain", False),
    ],
)
def test_nobody_is_warned_of_a_text_or_a_table_that_is_one(head: bytes, told: str, as_told: bool | None) -> None:
    found = found_in(head, told)
    assert found.as_told is as_told
    assert found_again(found.type, told).as_told is as_told


@given(st.binary(max_size=300), st.sampled_from([None, "image/jpeg", "text/html", "x/y"]))
def test_whatever_the_bytes_are_they_are_served_as_something_harmless(head: bytes, told: str | None) -> None:
    assert found_in(head, told).served_as in SERVED | {BYTES}


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-0", Part(0, 1)),
        ("bytes=0-", Part(0, 100)),
        ("bytes=90-200", Part(90, 100)),
        ("bytes=-10", Part(90, 100)),
        ("bytes=-1000", Part(0, 100)),
        ("Bytes= 1-2", Part(1, 3)),
        ("bytes=2-1", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=", None),
        ("bytes=-", None),
    ],
)
def test_ranges(header: str | None, part: Part | None) -> None:
    assert part_of(header, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_not_there(header: str) -> None:
    with pytest.raises(NotThere):
        part_of(header, 100)


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9]*-[0-9]*", fullmatch=True), st.integers(1, 10**9))
def test_a_part_is_always_inside(header: str, size: int) -> None:
    try:
        part = part_of(header, size)
    except NotThere:
        return
    assert part is None or 0 <= part.start < part.end <= size


@given(
    st.sampled_from(Reason),
    st.integers(1, 1_000),
    st.integers(0, 10),
    st.floats(0, 1),
    st.none() | st.floats(0, 100_000),
    st.integers(1, 7 * 86_400),
)
def test_until_the_id_ends_only_what_can_never_be_is_given_up(
    reason: Reason, attempts: int, differed: int, share: float, wait: float | None, left: int
) -> None:
    deadline = NOW + timedelta(seconds=left)
    decided = after_failure(
        reason, attempts=attempts, differed=differed, now=NOW, deadline=deadline, share=share, wait=wait
    )
    if isinstance(decided, Ended):
        assert decided.state is State.REFUSED
        assert reason is Reason.TOO_LARGE or (reason is Reason.HASH_DIFFERS and differed >= DIFFERS_MOST)
    else:
        assert NOW < decided.at <= deadline
        assert decided.at <= NOW + timedelta(seconds=max(LONGEST_PAUSE, wait or 0))


def test_with_meta_away_for_an_hour_a_medium_comes_within_two() -> None:
    now, attempts = NOW, 0
    while now < NOW + timedelta(hours=1):
        attempts += 1
        decided = after_failure(
            Reason.META_UNAVAILABLE, attempts=attempts, differed=0, now=now, deadline=NOW + WEEK, share=1
        )
        assert isinstance(decided, Later)
        now = decided.at
    assert now < NOW + timedelta(hours=2)
    assert attempts < 12


def test_with_meta_away_for_eight_days_it_is_lost_when_the_id_ends_and_asked_for_then() -> None:
    now, attempts = NOW, 0
    while True:
        attempts += 1
        decided = after_failure(
            Reason.META_UNAVAILABLE, attempts=attempts, differed=0, now=now, deadline=NOW + WEEK, share=1
        )
        if isinstance(decided, Ended):
            break
        now = decided.at
    assert decided == Ended(State.LOST, Reason.META_UNAVAILABLE)
    assert now == NOW + WEEK
    assert attempts < 400


def test_the_id_of_a_history_is_as_old_as_the_history() -> None:
    old = NOW - timedelta(days=14)
    assert deadline_of(old, NOW, from_history=True) == NOW + WEEK
    assert deadline_of(old, NOW, from_history=False) == old + WEEK


def test_what_ended_long_ago_is_not_asked_for_at_all() -> None:
    assert is_too_late(0, NOW, NOW - timedelta(days=2))
    assert not is_too_late(0, NOW, NOW - timedelta(hours=2))
    assert not is_too_late(1, NOW, NOW - timedelta(days=2))


@pytest.mark.parametrize("field", ["messages", "message_echoes"])
def test_a_medium_of_before_the_connection_comes_by_itself_and_for_a_week_from_then(field: str) -> None:
    event = imported("wamid.past", -14 * 86_400.0, kind="image", ours=field == "message_echoes")
    image = {"id": "77", "mime_type": "image/jpeg", "sha256": "ab" * 32}
    item = {"id": "wamid.past", "type": "image", "image": image}
    (fact,) = facts([event.model_copy(update={"value": {field: [item]}})])
    assert isinstance(fact, MessageFact)
    assert fact.content == orjson.dumps(item)
    medium = new_medium(fact, NOW)
    assert medium is not None
    assert (medium.meta_id, medium.sha256_told, medium.deadline) == ("77", bytes.fromhex("ab" * 32), NOW + WEEK)


def test_only_messages_with_media_have_some() -> None:
    (fact,) = facts([received("1", 1)])
    assert isinstance(fact, MessageFact)
    assert new_medium(fact, NOW) is None
