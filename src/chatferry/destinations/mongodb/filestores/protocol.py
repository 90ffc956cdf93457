"""The protocol of a file store: where the bytes of files go beside their documents in MongoDB."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pymongo.client_session import ClientSession

from chatferry.documents import Document

Settle = Callable[[ClientSession], None]
"""Turns written bytes into those of a file, in the transaction that writes its document."""


class FileStore(Protocol):
    """Keeps the bytes of the files of one collection."""

    def place(self, document: Document) -> Document:
        """Return fields of a file's document that locate its bytes, besides `store`, `path`, `url`."""
        ...

    def write(self, document: Document, content: Iterable[bytes]) -> Settle:
        """Bring a file's bytes to the store; if they break off, the earlier bytes stay.

        The result is called as often as the transaction is tried.
        """
        ...

    def read(self, document: Document, start: int) -> Iterator[bytes]:
        """Yield the bytes from `start` on, in pieces; nothing if the file is missing.

        Nothing is asked for before the first piece is taken.
        """
        ...


def settled(session: ClientSession) -> None:
    """Do nothing: the bytes are those of the file as soon as they are written."""
