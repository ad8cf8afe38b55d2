"""`python -m simulated_meta`: the simulated Meta as a process of its own, on `--host` and `--port`."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from simulated_meta.app import create_app
from simulated_meta.seed import new_world
from simulated_meta.state import Store
from simulated_meta.webhooks.delivery import Way


def main(arguments: Sequence[str] | None = None) -> None:
    env = os.environ
    parser = argparse.ArgumentParser(prog="simulated-meta", description="A simulated Meta for tests and trying things.")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; every token can be read there")
    parser.add_argument("--port", type=int, help="default: META_PORT, or 8081")
    given = parser.parse_args(arguments)
    try:
        app_id = env["META_APP_ID"]
        secrets = [part.strip() for part in env["META_APP_SECRETS"].split(",") if part.strip()]
        port = given.port or int(env.get("META_PORT", "8081"))
        delay_scale = float(env.get("META_RETRY_SCALE", "1"))
    except KeyError as missing:
        sys.exit(f"simulated-meta: {missing.args[0]} is missing")
    except ValueError:
        sys.exit("simulated-meta: META_PORT and META_RETRY_SCALE must be numbers")
    if not secrets:
        sys.exit("simulated-meta: META_APP_SECRETS is missing")
    public_url = env.get("PUBLIC_URL", "http://127.0.0.1:8080").rstrip("/")
    callback_url = env.get("META_CALLBACK_URL", f"{public_url}/webhooks/whatsapp")
    path = Path(env.get("META_HOME", ".wabus/meta")) / "world.json"
    world = Store.read(path) or new_world(app_id, secrets)
    callback = (callback_url, env.get("META_VERIFY_TOKEN"))
    if callback != (world.callback_url, world.verify_token):
        world.callback_url, world.verify_token, world.callback_verified = *callback, False
    world.app_id, world.app_secrets = app_id, secrets
    if public_url not in world.redirect_uris:
        world.redirect_uris = [public_url]
    store = Store(world, path)
    store.save()
    loop = None
    with contextlib.suppress(ImportError):  # it is twice as fast where it is there
        import uvloop

        loop = uvloop.new_event_loop()
    web.run_app(
        create_app(
            store, delay_scale=delay_scale, way=Way(public_url, env.get("META_CALLBACK_THROUGH", "").rstrip("/"))
        ),
        host=given.host,
        port=port,
        access_log=None,
        print=None,
        shutdown_timeout=1.0,
        loop=loop,
    )


if __name__ == "__main__":
    main()
