"""Who writes in a language without spaces is found by any part of what they wrote, as others are by their words."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from conversations_world import Inbox
from threads import BEN, BEN_ID, received
from wabus_conversations.worker import upkeep

pytest_plugins = ["conversations_world"]

Found = Callable[[str], Awaitable[list[str]]]


@pytest.fixture
def found(inbox: Inbox) -> Found:
    async def found(q: str) -> list[str]:
        return [each["text"] for each in (await inbox.ask("/conversations/search", q=q))["messages"]]

    return found


SAID = {
    "我想退款谢谢": ("我想退款", "想退款谢", "谢谢", "我想退款谢谢"),
    "返金したいです。カードは?": ("返金", "金した", "ｶｰﾄﾞ", "です カード", "は"),
    "อยากขอคืนเงินค่าน้ำ": ("คืนเงิน", "เงิน", "น้ำ"),
    "ຂໍຄືນເງິນ": ("ຄືນ", "ເງິນ"),
    "ခရီးစဉ်ကိုပယ်ဖျက်ချင်ပါတယ်": ("ပယ်ဖျက်", "ခရီးစဉ်"),
    "ខ្ញុំ\u200bចង់\u200bបាន\u200bប្រាក់": ("ចង់បាន", "ប្រាក់"),
    "주문을 환불해주세요": ("환불", "주문", "불해주", "주문 환불"),
    "订单Order-4711的iPhone15手机壳": ("iphone15", "手机壳", "手机壳 order", "4711"),
    "壳𠮷野家": ("𠮷野", "野家", "𠮷"),
    "退款，款到": ("款到", "款到 退款"),
    "the red shoes": ("red", "shoes THE"),
}
"""What people wrote, each with what nobody else wrote, by which it is found."""
UNSAID = ["款退", "退款到", "退谢", "返した", "ドカ", "เงินคืน", "ເງິນຄືນ", "ဖျက်ပယ်", "បានចង់", "문주", "환주", "iphone"]
"""What is in none of it, though the letters are."""


async def test_nobody_has_to_guess_the_whole_sentence_of_a_language_without_spaces(inbox: Inbox, found: Found) -> None:
    await inbox.fold(*(received(str(number), number, text={"body": said}) for number, said in enumerate(SAID)))
    await inbox.fold(received("1", 1, text={"body": "我想退款谢谢"}), org_id="rival")

    for said, parts in SAID.items():
        assert {part: await found(part) for part in parts} == {key: [said] for key in parts}
    assert {part: await found(part) for part in UNSAID} == {key: [] for key in UNSAID}
    assert await found("款") == await found("退款") == ["退款，款到", "我想退款谢谢"]


async def test_what_many_say_without_spaces_is_found_page_by_page(inbox: Inbox) -> None:
    # Most are newer than whatever a search may look at first.
    said = [f"第{number}次说退款" if number < 40 else f"第{number}次说订单" for number in range(620)]
    await inbox.fold(*(received(text, number, BEN, BEN_ID) for number, text in enumerate(said)))

    async def found(q: str, after: dict[str, str]) -> list[str]:
        answer = await inbox.ask("/conversations/search", after, q=q, limit="100")
        rest = await found(q, {"after": answer["next"]}) if answer["next"] else []
        return [*(each["text"] for each in answer["messages"]), *rest]

    for word in ("订单", "说退款", "单"):
        assert await found(word, {}) == [text for text in reversed(said) if word in text]


async def test_what_was_written_before_an_upgrade_is_found_too_once_all_was_looked_through(
    inbox: Inbox, found: Found
) -> None:
    said = [f"第{number}次我想退款" for number in range(5)]
    await inbox.fold(*(received(text, number) for number, text in enumerate(said)), received("the red shoes", 9))
    await inbox.pool.execute("UPDATE messages SET pieces = NULL")
    now = datetime.now(UTC)
    assert await found("退款") == []
    assert await found("第1次我想退款") == ["第1次我想退款"]

    await upkeep.make_pieces(inbox.pool, now, lambda: None, at_once=2)
    assert await found("退款") == [], "a worker of before the upgrade may still write"
    await upkeep.make_pieces(inbox.pool, now + timedelta(hours=2), lambda: None, at_once=2)

    assert await found("退款") == list(reversed(said))
    assert await inbox.pool.fetchval("SELECT count(*) FROM messages WHERE pieces IS NOT NULL") == len(said)
    assert await inbox.pool.fetchval("SELECT count(*) FROM texts_without_pieces") == 0
