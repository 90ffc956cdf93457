"""How much memory this process has held, and how often it looks for garbage."""

import atexit
import gc
import resource
import sys
from pathlib import Path


def peak_memory() -> float:
    """Return the most memory that this process has held, in MiB."""
    try:
        # getrusage would count what the process that started this one held at that moment.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):  # not Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def collect_rarely() -> None:
    """Look for garbage in cycles seldom, and not in what the process leaves behind at its end.

    Batches of records live short and hold no cycles: looking for some every 700 objects costs a third of an
    import's time.
    """
    gc.set_threshold(100_000, 20, 20)
    atexit.register(gc.freeze)
