"""Groups of parts: what other processes take at once, here or on other machines, and what they need."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

from msgspec import Struct

from chatferry.store.parts import NumberedPart

CHUNK = 3000  # messages' work that a process takes at once, in whole parts
_AHEAD = 4  # groups that are looked ahead, to see the end coming
NOTICE = 0.2  # seconds after which a wish to stop is noticed

Chunk = list[NumberedPart]
"""Parts for one process."""
G = TypeVar("G")
"""What one process is given."""


class WorkResult(Struct):
    """What a worker made of a chunk. `memory`: the most that `process` has held, in MiB."""

    made: list[Any]
    process: str
    memory: float


def chunked(parts: Iterable[NumberedPart]) -> Iterator[Chunk]:
    """Yield parts in chunks, ever smaller at the end, so that no worker is left alone with much to do."""
    source = iter(parts)
    ahead: deque[NumberedPart] = deque()
    work = 0  # in those
    while True:
        while work < _AHEAD * CHUNK and (part := next(source, None)) is not None:
            ahead.append(part)
            work += _work_in(part)
        if not ahead:
            return
        rest = work - min(CHUNK, work // _AHEAD)
        chunk: Chunk = []
        while ahead and work > rest:
            chunk.append(ahead.popleft())
            work -= _work_in(chunk[-1])
        yield chunk


def _work_in(part: NumberedPart) -> int:
    """Return the work that a part is, in messages."""
    return part.part.messages + 10


def work_on_chunks(
    chunks: Iterator[G],
    submit: Callable[[G], Future[WorkResult]],
    running: dict[Future[WorkResult], G],
    capacity: Callable[[], int],
    check: Callable[[], None],
    run_locally: Callable[[G], Iterator[Any]] | None = None,
) -> Iterator[WorkResult]:
    """Submit chunks, at most `capacity()` at once; yield results. Unfinished chunks are in `running`.

    `run_locally` takes a chunk as long as no result is ready.
    """
    while True:
        while len(running) < capacity() and (chunk := next(chunks, None)) is not None:
            try:
                running[submit(chunk)] = chunk
            except BaseException:
                running[Future()] = chunk
                raise
        if not running:
            return
        spare = next(chunks, None) if run_locally and not any(map(Future.done, running)) else None
        if run_locally and spare is not None:
            yield WorkResult([*run_locally(spare)], "", 0)
        for future in wait(running, 0 if spare else NOTICE, FIRST_COMPLETED).done:
            done = future.result()
            del running[future]
            yield done
        check()
