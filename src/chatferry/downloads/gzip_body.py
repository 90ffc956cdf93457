"""Bodies that a host packs with gzip although nobody asked."""

import zlib
from collections.abc import Iterable, Iterator

from chatferry.downloads.failures import AGAIN
from chatferry.errors import DownloadError

_MOST = 1 << 16  # bytes at once, however many a block of packed bytes holds
_GZIP = 31  # zlib's name for the format


def unpacked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes in blocks of gzip, a little at a time. Raise DownloadError if they are damaged."""
    inflater = zlib.decompressobj(_GZIP)
    try:
        for block in blocks:
            rest = block
            while rest:
                if inflater.eof:  # several gzip files may follow each other
                    inflater = zlib.decompressobj(_GZIP)
                yield inflater.decompress(rest, _MOST)
                rest = inflater.unconsumed_tail or inflater.unused_data
        while last := inflater.decompress(b"", _MOST):
            yield last
    except zlib.error:
        raise DownloadError("the file is damaged on its way", AGAIN) from None
    if not inflater.eof:
        raise DownloadError("the file breaks off", AGAIN)
