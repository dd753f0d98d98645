"""Loops compiled to machine code (numba), kept on disk between processes where there is a place to write to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """`function` compiled when first called with new types; releases the interpreter's lock, keeps IEEE arithmetic.

    numba looks for changes in the function's own file only: kernels that call each other live in one module.
    """
    return _njit(function, set())


def reassociating(function: Function) -> Function:
    """Like `compiled`, but sums may be reordered to fill vector registers; NaN and infinity keep their meaning."""
    return _njit(function, {"reassoc", "contract", "nsz"})


def _njit(function: Function, fastmath: set[str]) -> Function:
    try:
        return cast(Function, numba.njit(cache=True, nogil=True, fastmath=fastmath)(function))
    except RuntimeError:  # neither beside the module nor in the user's folder may anything be kept: compile each time
        return cast(Function, numba.njit(nogil=True, fastmath=fastmath)(function))
