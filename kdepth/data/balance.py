"""Even choice from a list: some of it, or more than there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Chooses items evenly over a list, in its order.

    Args:
        items: at least one.
        count: how many; beyond their number items are repeated, each as often as any other or once
            more.
    """
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]
