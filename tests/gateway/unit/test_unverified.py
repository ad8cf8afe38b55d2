"""Who begins to send a body and does not go on keeps no webhook out; what has just begun makes way for nobody."""

import asyncio

from wabus_gateway.api.unverified import Body, Unverified


async def begin(bodies: Unverified) -> tuple[Body | None, asyncio.Timeout]:
    timeout = asyncio.timeout(60)
    return bodies.begin(timeout), timeout


async def reading(bodies: Unverified, size: int = 0) -> bool:
    """A body of which so much has come and nothing more does; whether it was given up."""
    try:
        async with asyncio.timeout(60) as timeout:
            body = bodies.begin(timeout)
            assert body is not None
            try:
                assert bodies.add(body, size)
                await asyncio.Event().wait()
            finally:
                bodies.end(body)
    except TimeoutError:
        return True
    return False


async def test_the_slowest_body_makes_way_for_the_next_when_there_is_no_room() -> None:
    bodies = Unverified(2, 100, fresh=0.05)
    slow = [asyncio.create_task(reading(bodies)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (await begin(bodies))[0] is None
    await asyncio.sleep(0.06)
    body, _ = await begin(bodies)
    assert body is not None
    assert await asyncio.wait_for(slow[0], 5)
    assert not slow[1].done()
    slow[1].cancel()
    await asyncio.wait([slow[1]])
    bodies.end(body)
    assert len(bodies) == 0


async def test_bytes_that_wait_make_way_for_bytes_that_come() -> None:
    bodies = Unverified(10, 100, fresh=0.05)
    slow = [asyncio.create_task(reading(bodies, 40)) for _ in range(2)]
    await asyncio.sleep(0.06)
    body, _ = await begin(bodies)
    assert body is not None
    assert bodies.add(body, 50)
    assert await asyncio.wait_for(slow[0], 5)
    assert not slow[1].done()
    assert bodies.add(body, 50)
    assert await asyncio.wait_for(slow[1], 5)
    assert not bodies.add(body, 1)
    bodies.end(body)
    assert len(bodies) == 0


async def test_a_body_that_is_here_makes_way_for_nobody() -> None:
    bodies = Unverified(1, 100, fresh=0.05)
    body, _ = await begin(bodies)
    assert body is not None
    bodies.is_here(body)
    await asyncio.sleep(0.06)
    assert (await begin(bodies))[0] is None
    bodies.end(body)
    assert (await begin(bodies))[0] is not None
