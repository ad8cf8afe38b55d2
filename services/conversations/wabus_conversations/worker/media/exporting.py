"""The content of media as files, for `wabus export`."""

import os
from pathlib import Path

from wabus_runtime.identity.holdings import FileUnavailable, Row, SaveFile
from wabus_runtime.settings import load

from wabus_conversations.settings import MediaStoreSettings
from wabus_conversations.store.objects import MediaStore, ObjectMissing, StoreUnavailable


def files() -> SaveFile:
    """Writes the content that a row of `media_objects` leads to, under its SHA-256; its type is in the row."""
    store = MediaStore(load(MediaStoreSettings).media_store_url)

    async def save(table: str, row: Row, folder: Path) -> bool:
        if table != "media_objects":
            return False
        # As `to_jsonb` writes bytes: PostgreSQL documentation, "bytea Hex Format".
        path = folder / str(row["sha256"]).removeprefix("\\x")
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                if row["bytes"]:
                    async for chunk in store.read(row["key"], 0, row["bytes"]):
                        file.write(chunk)
        except ObjectMissing:
            path.unlink()
            return False
        except StoreUnavailable as error:
            raise FileUnavailable(f"the store of media did not answer: {error}") from None
        return True

    return save
