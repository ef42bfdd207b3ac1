"""How many threads linear algebra takes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from tunesmith.core.errors import require


def one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread.

    A fit of a small model makes thousands of small products; where other processes keep the cores busy, handing each to two threads took
    forty times as long (1,360 rows of 384 features: 3 s instead of 0.07 s).
    """
    return require("threadpoolctl", "fitting small models").threadpool_limits(1)  # type: ignore[no-any-return]
