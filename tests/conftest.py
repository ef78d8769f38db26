"""What all tests share."""

from pathlib import Path

import pytest

SHARED_DIR = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared_dir() -> Path:
    """Films and data for judging, which lie beside the checkout; a test that needs them skips without."""
    if not SHARED_DIR.is_dir():
        pytest.skip("the films for judging are not beside this checkout")
    return SHARED_DIR
