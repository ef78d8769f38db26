"""What all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# In CI the same examples every time, so that a change is judged by itself; at a desk new ones are looked for.
# No example has a deadline, which a busy machine would miss.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

SHARED_DIR = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared_dir() -> Path:
    """Films and data for judging, which lie beside the checkout; a test that needs them skips without."""
    if not SHARED_DIR.is_dir():
        pytest.skip("the films for judging are not beside this checkout")
    return SHARED_DIR


EMPTY_ROOM = """
name = "empty"
about = "Nobody is in the room."
duration_s = 60.0
[robot]
position_m = [0.0, 0.0, 0.75]
"""


@pytest.fixture
def empty_room(tmp_path: Path) -> Path:
    """A scenario in which nobody is there, so that only orders and callers move anything."""
    file = tmp_path / "empty.toml"
    file.write_text(EMPTY_ROOM)
    return file
