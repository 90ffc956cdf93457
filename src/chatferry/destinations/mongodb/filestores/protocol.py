"""The protocol of a file store: where the bytes of files go beside their documents in MongoDB."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pymongo.client_session import ClientSession

from chatferry.documents import Document

Settle = Callable[[ClientSession], None]
"""Makes bytes that were written those of a file, in the transaction that writes its document."""


class FileStore(Protocol):
    """Keeps the bytes of the files of one collection."""

    def place(self, document: Document) -> Document:
        """What the document of a file says about where its bytes are, besides `store`, `path` and `url`."""
        ...

    def write(self, document: Document, content: Iterable[bytes]) -> Settle:
        """Bring a file's bytes to the store; if they break off, those that were there before stay.

        What comes back is called as often as the transaction is tried.
        """
        ...

    def read(self, document: Document, start: int) -> Iterator[bytes]:
        """The bytes from the place `start` on, in pieces; none if there are none.

        Nothing is asked for before the first piece is.
        """
        ...


def settled(session: ClientSession) -> None:
    """The bytes are those of the file as soon as they are written."""
