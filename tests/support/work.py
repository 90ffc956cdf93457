"""How much more work a call takes for an input eight times as large.

Measured in the time of this thread alone, so that a busy machine changes little. No time is judged by itself.
"""

import gc
import time
from collections.abc import Callable

SMALL, LARGE = 8_000, 64_000
_MOST = 25.0  # linear work grows 8 times, quadratic 64 times
_NEGLIGIBLE = 0.004  # seconds: so little cannot be compared, and is no quadratic work on 64 kB
_TRIES = 4


def growth(call: Callable[[int], Callable[[], object]]) -> float:
    """How many times more work `call(LARGE)()` is than `call(SMALL)()`; 0 for next to none.

    The best of some tries, as caches and other processes can only make it worse.
    """
    small, large = call(SMALL), call(LARGE)
    least = _seconds(large)
    if least < _NEGLIGIBLE:
        return 0.0
    most = _seconds(small)
    for _ in range(_TRIES):
        if least / most < _MOST:
            break
        least, most = min(least, _seconds(large)), max(most, _seconds(small))
    return least / most


def is_linear(growth: float) -> bool:
    return growth < _MOST


def _seconds(call: Callable[[], object]) -> float:
    gc.collect(0)
    gc.disable()
    try:
        start = time.thread_time()
        call()
        return time.thread_time() - start
    finally:
        gc.enable()
