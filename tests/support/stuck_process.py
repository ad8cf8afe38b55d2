"""A process of the runtime that can be made to hang, for tests of what ends it."""

PROCESS = """
import asyncio, re, time
from aiohttp import web
from wabus_runtime.observe.liveness import watched
from wabus_runtime.service.process import Service, background, run
from wabus_runtime.settings import HttpSettings

async def hang(request):
    match request.match_info["how"]:
        case "waits":
            time.sleep(600)
        case "computes":
            while True:
                pass
        case "holds-the-interpreter":
            re.match("(a+)+$", "a" * 64 + "b")

async def waits_for_ever(ready):
    ready()
    with watched("waits-for-ever", limit=HANGS_AFTER):
        await asyncio.Event().wait()

def install(app, settings, role):
    app.router.add_get("/hang/{how}", hang)
    background(app, "waits-for-ever", waits_for_ever)

run([Service("tried", {"all": HttpSettings}, install)])
"""
"""`GET /hang/{how}` hangs its event loop; its background loop waits for ever and counts as stuck after HANGS_AFTER."""
