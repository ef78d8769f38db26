"""How the simulator's inner loops become machine code: the decorators for all of them."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Machine code at the first call, kept on disk; without the interpreter's lock while it runs.

    No fast-math and no threads, so that the same input gives the same bits.
    """
    return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))


def within(function: F) -> F:
    """As `compiled`, for what is called once a pixel: always a part of its caller."""
    return cast(F, njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function))
