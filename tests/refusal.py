"""What every refusal of a file looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kdepth.errors import UserError


def refused(read: Callable[[Path], object], path: Path, *words: str) -> str:
    """The one line with which `read` refuses a file: it begins with the path and has these words."""
    with pytest.raises(UserError) as error:
        read(path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message
    for word in words:
        assert word in message, message
    return message
