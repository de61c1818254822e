"""From an index to a sample at network size: load, resize, keep in memory; and bad files."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from kdepth.data.sample import Record, load_sample, resize_sample
from kdepth.errors import UserError

ON_BAD_SAMPLE = ("stop", "skip")

# tf.data turns an exception of a worker into an error of its own with a long text; the real one
# waits here meanwhile.
_pending: list[UserError] = []


def pending_error() -> UserError | None:
    """Takes the user's mistake that stopped a pipeline, if one did; the next call returns None."""
    error = _pending[0] if _pending else None
    _pending.clear()
    return error


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turns TensorFlow's report of a failed worker back into the worker's own `UserError`.

    Wrap whatever iterates over a dataset: `with kdepth.data.user_errors(): model.fit(...)`.
    """
    _pending.clear()
    try:
        yield
    except Exception as error:
        # By name, so that this file needs no TensorFlow: tf.errors.OpError is the base of what
        # tf.data raises.
        from_graph = any(base.__name__ == "OpError" for base in type(error).__mro__)
        cause = pending_error() if from_graph else None
        if cause is None:
            raise
        raise cause from None


class Decoder:
    """Loads samples by index, resized; several threads may call it at once.

    Args:
        records: the samples.
        keys: what to load.
        height: network input height.
        width: network input width.
        method: of `resize_image`.
        on_bad_sample: "stop": a bad file raises; "skip": the next readable sample takes its place,
            always the same one, so that the order and the number of steps stay.
        cached: keep every loaded sample in memory.

    Attributes:
        is_cached: as `cached`.
        bad_samples: name -> message of every sample that could not be read.
    """

    def __init__(
        self,
        records: Sequence[Record],
        keys: frozenset[str],
        height: int,
        width: int,
        method: str,
        on_bad_sample: str = "stop",
        cached: bool = False,
    ) -> None:
        if on_bad_sample not in ON_BAD_SAMPLE:
            raise UserError(
                f"--on_bad_sample is one of {', '.join(ON_BAD_SAMPLE)}, received {on_bad_sample!r}"
            )
        self.records = records
        self.keys = keys
        self.is_cached = cached
        self.bad_samples: dict[str, str] = {}
        self._height, self._width, self._method = height, width, method
        self._skip = on_bad_sample == "skip"
        self._cache: dict[int, dict[str, np.ndarray]] | None = {} if cached else None
        self._lock = threading.Lock()

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        """Returns the sample at network size; its `index` (int64) is of what was really loaded.

        Raises:
            UserError: if it cannot be read (with "skip": if none can). It is kept for
                `pending_error` as well.
        """
        try:
            for candidate in range(index, index + len(self.records)):
                sample = self._try(candidate % len(self.records))
                if sample is not None:
                    return sample
            first = next(iter(self.bad_samples.values()))
            raise UserError(f"none of the {len(self.records)} samples can be read; one: {first}")
        except UserError as error:
            _pending.append(error)
            raise

    def _try(self, index: int) -> dict[str, np.ndarray] | None:
        """Loads one sample; None if it is bad and to be skipped."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        record = self.records[index]
        if record.name in self.bad_samples:
            return None
        try:
            native = load_sample(record, self.keys)
        except UserError as error:
            if not self._skip:
                raise
            self._report(record, str(error))
            return None
        sample = resize_sample(native, record, self._height, self._width, self._method)
        sample["index"] = np.int64(index)
        if self._cache is not None:
            self._cache[index] = sample
        return sample

    def _report(self, record: Record, message: str) -> None:
        with self._lock:
            if record.name not in self.bad_samples:
                self.bad_samples[record.name] = message
                logging.warning("bad sample %d skipped: %s", len(self.bad_samples), message)
