"""What the gateway is measured against: aiohttp that only checks the HMAC, and a gateway as one would first write it.

Run as `python gateway_baselines.py bare|straightforward PORT`; settings come from the environment as for the gateway.
"""

import hashlib
import hmac
import json
import os
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer

SECRET = os.environ["META_APP_SECRETS"].split(",")[0].encode()
PRODUCER: web.AppKey[AIOKafkaProducer] = web.AppKey("producer", AIOKafkaProducer)


async def bare(request: web.Request) -> web.Response:
    """Read the body, check the HMAC, publish nothing."""
    body = await request.read()
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Hub-Signature-256", "")):
        return web.Response(status=403)
    return web.Response(text="EVENT_RECEIVED")


async def straightforward(request: web.Request) -> web.Response:
    """The same, then one `send_and_wait` for each message."""
    body = await request.read()
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Hub-Signature-256", "")):
        return web.Response(status=403)
    topic = os.environ["TOPIC_PREFIX"] + "messages.v1"
    for entry in json.loads(body)["entry"]:
        for change in entry["changes"]:
            for message in change["value"].get("messages", []):
                value = json.dumps({"waba_id": entry["id"], "message": message}).encode()
                await request.app[PRODUCER].send_and_wait(topic, value, key=message["from"].encode())
    return web.Response(text="EVENT_RECEIVED")


async def _producing(app: web.Application) -> AsyncIterator[None]:
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"], acks="all", enable_idempotence=True
    )
    await producer.start()
    app[PRODUCER] = producer
    yield
    await producer.stop()


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    app = web.Application()
    app.router.add_post("/webhooks/whatsapp", bare if kind == "bare" else straightforward)
    if kind != "bare":
        app.cleanup_ctx.append(_producing)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
