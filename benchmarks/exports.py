"""Generated Slack exports of several shapes, made once and kept."""

from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace

import testdata
from benchmarks.measuring import apart
from testdata.slack_export import Shape, write_export

TOP_UP = 0.01
"""How much more than before a newer export holds, as a fraction."""

_SEED = 7
SHAPES = {
    "usual": Shape(users=200, channels=40, messages=0, seed=_SEED),
    "narrow": Shape(users=50, channels=8, messages=0, seed=_SEED),
    # 45,001 rooms with the direct ones. One day: with more, its day files would be smaller than others' too.
    "wide": Shape(users=33_000, channels=23_900, messages=0, seed=_SEED, days=1),
    # Nearly all messages are in the one day file of the one channel: of a million, half a gigabyte.
    "one-file": Shape(users=100, channels=1, messages=0, seed=_SEED, days=1),
}


def export(cache: Path, shape: str, messages: int, extended: float = 0.0) -> Path:
    """An export with so many messages; `extended`: the same with a fraction more."""
    name = f"{shape}-{messages}{'-extended' if extended else ''}"
    path = cache / f"{name}-{_generator()}.zip"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = cache / f"unfinished-{path.name}"
        apart(_write, unfinished, replace(SHAPES[shape], messages=messages), extended)
        unfinished.rename(path)
    return path


def _write(path: Path, shape: Shape, extended: float) -> None:
    write_export(path, shape, extended=extended, revised=False)


def _generator() -> str:
    """What tells the generator from what it was: exports of another one are not taken."""
    digest = sha256()
    for path in sorted(Path(testdata.__path__[0]).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
