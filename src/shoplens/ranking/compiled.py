"""Loops compiled to machine code (numba), kept on disk between processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """`function` compiled when first called with new types; releases the interpreter's lock, keeps IEEE arithmetic.

    numba looks for changes in the function's own file only: kernels that call each other live in one module.
    """
    return cast(Function, numba.njit(cache=True, nogil=True)(function))


def reassociating(function: Function) -> Function:
    """Like `compiled`, but sums may be reordered to fill vector registers; NaN and infinity keep their meaning."""
    return cast(Function, numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})(function))
