"""Answers that last as long as something goes on: how many there may be, and what ends them."""

import asyncio

from chatferry.errors import RequestError

MOST = 32  # at once


class Streams:
    """A limit on lasting answers, and the sign that the server stops. Use it in the event loop only."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open = 0
        self._stopping = asyncio.Event()

    def begin(self) -> None:
        """Count an answer that begins, or refuse it."""
        if self._open >= self._most:
            raise RequestError(
                f"{self._most} clients are watching already. Try again later, or call import.operations.",
                status=429,
            )
        self._open += 1

    def end(self) -> None:
        """Count an answer that has ended."""
        self._open -= 1

    def stop(self) -> None:
        """Let all lasting answers end: the server stops."""
        self._stopping.set()

    async def is_stopped_within(self, seconds: float) -> bool:
        """Wait so long, and return whether the server stops."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True
