"""What the end-to-end tests share: a shell that leaves nothing running, and a film of an empty room."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.e2e.shell import Shell


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    await shell.close()
    await asyncio.sleep(0)  # the transports close their pipes on the next turn of the loop


@pytest.fixture
def film(tmp_path: Path) -> str:
    """Two seconds of a room without anybody."""
    path = tmp_path / "room.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (320, 240))
    for level in range(60):
        writer.write(np.full((240, 320, 3), 80 + level, np.uint8))
    writer.release()
    return str(path)
