"""`python -m wabus_local.meta`: the simulated Meta as a process of its own, on META_PORT."""

import os
import sys
from pathlib import Path

from aiohttp import web

from wabus_local.meta.app import create_app
from wabus_local.meta.seed import new_world
from wabus_local.meta.state import Store


def main() -> None:
    env = os.environ
    try:
        app_id, secrets = (
            env["META_APP_ID"],
            [part.strip() for part in env["META_APP_SECRETS"].split(",") if part.strip()],
        )
        port = int(env.get("META_PORT", "8081"))
        delay_scale = float(env.get("META_RETRY_SCALE", "1"))
    except KeyError as missing:
        sys.exit(f"wabus: {missing.args[0]} is missing")
    except ValueError:
        sys.exit("wabus: META_PORT and META_RETRY_SCALE must be numbers")
    public_url = env.get("PUBLIC_URL", "http://127.0.0.1:8080").rstrip("/")
    path = Path(env.get("WABUS_HOME", ".wabus")) / "meta" / "world.json"
    world = Store.read(path) or new_world(app_id, secrets)
    callback = (f"{public_url}/webhooks/whatsapp", env.get("META_VERIFY_TOKEN"))
    if callback != (world.callback_url, world.verify_token):
        world.callback_url, world.verify_token, world.callback_verified = *callback, False
    world.app_id, world.app_secrets = app_id, secrets
    if public_url not in world.redirect_uris:
        world.redirect_uris = [public_url]
    store = Store(world, path)
    store.save()
    web.run_app(
        create_app(store, delay_scale=delay_scale),
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
        shutdown_timeout=1.0,
    )


if __name__ == "__main__":
    main()
