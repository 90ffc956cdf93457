"""A crowd that means a server harm: silent connections, slow bodies and wrong log-ins, from many addresses.

    python -m benchmarks.crowd PORT --silent 1000 --slow 50 --log-ins 200

It says `ready` once all are there, and at SIGTERM how the server answered. Its addresses are in 127.0.0.0/8,
all of which Linux has on every machine.
"""

import argparse
import asyncio
import json
import resource
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import count

_GUESS = b'{"user": "admin", "password": "wrong"}'
_HEAD = (
    b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
_BEGINNINGS = (b"", b"GET /api/info HTTP/1.1\r\nHost: ")
_TROUBLE = (OSError, EOFError)
Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Crowd:
    """Keeps up a number of connections of each kind; `answers` counts what became of them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers = Counter[str]()
        self.open = Counter[str]()

    async def _connect(self, address: str) -> Connected:
        return await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))

    async def keep(self, kind: str, address: str, harm: Callable[[Connected], Awaitable[None]]) -> None:
        """Do harm on a connection from an address, and again as soon as the server ends it."""
        while True:
            writer = None
            try:
                reader, writer = await self._connect(address)
                self.open[kind] += 1
                await harm((reader, writer))
                self._note(kind, await reader.read(1 << 16))
            except _TROUBLE:
                self._note(kind, b"")
            finally:
                if writer is not None:
                    self.open[kind] -= 1
                    writer.close()
            await asyncio.sleep(0.5)

    async def guess(self, address: str) -> None:
        """Try a wrong password."""
        with suppress(*_TROUBLE):
            reader, writer = await self._connect(address)
            try:
                writer.write(_HEAD % len(_GUESS) + _GUESS)
                self._note("log-in", await reader.read(1 << 16))
            finally:
                writer.close()

    def _note(self, kind: str, answer: bytes) -> None:
        self.answers[f"{kind} {answer[9:12].decode(errors='replace') or 'closed'}"] += 1


def silence(beginning: bytes) -> Callable[[Connected], Awaitable[None]]:
    """Begin a call, or not even that."""

    async def harm(connected: Connected) -> None:
        connected[1].write(beginning)

    return harm


async def trickle(connected: Connected) -> None:
    """Send a body of 9 kB, one byte in a second."""
    reader, writer = connected
    writer.write(_HEAD % 9000)
    while not reader.at_eof() and not reader._buffer:  # type: ignore[attr-defined]  # nothing else tells
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(1)


def addresses() -> Iterator[str]:
    """One new address after the other."""
    for number in count(1):
        yield f"127.{10 + number // 62_500 % 200}.{number // 250 % 250}.{number % 250 + 1}"


async def run(port: int, silent: int, slow: int, log_ins: float) -> Counter[str]:
    """Let the crowd do harm until the process is told to end; what the server answered."""
    crowd, over = Crowd(port), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    tasks = []
    for number in range(silent):
        harm = silence(_BEGINNINGS[number % len(_BEGINNINGS)])
        tasks.append(asyncio.create_task(crowd.keep("silent", f"127.1.0.{number // 50 + 1}", harm)))
    for number in range(slow):
        address = f"127.2.0.{number % 250 + 1}"
        tasks.append(asyncio.create_task(crowd.keep("slow", address, trickle)))
    while crowd.open.total() < 0.9 * (silent + slow):
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    fresh, guesses = addresses(), set[asyncio.Task[None]]()
    began, tried = time.monotonic(), 0
    while not over.is_set():
        await asyncio.sleep(0.01)
        while tried < (time.monotonic() - began) * log_ins and len(guesses) < 500:
            tried += 1
            guess = asyncio.create_task(crowd.guess(next(fresh) if tried % 2 else "127.3.0.1"))
            guesses.add(guess)
            guess.add_done_callback(guesses.discard)
    for task in [*tasks, *guesses]:
        task.cancel()
    return crowd.answers


def main() -> None:
    parser = argparse.ArgumentParser(description="Do a server harm, as a crowd.")
    parser.add_argument("port", type=int)
    parser.add_argument("--silent", type=int, default=1000, help="connections that say nothing much")
    parser.add_argument("--slow", type=int, default=50, help="bodies that come byte by byte")
    parser.add_argument("--log-ins", type=float, default=200, help="wrong log-ins in a second")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(asyncio.run(run(given.port, given.silent, given.slow, given.log_ins))), flush=True)


if __name__ == "__main__":
    main()
