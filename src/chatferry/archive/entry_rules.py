"""The rules: what an entry may be called, how large it may grow and how many there may be."""

import re
import stat
from itertools import takewhile

from msgspec import Struct

from chatferry.archive.messages import REPACK, TRUST, amount, fault, quoted
from chatferry.errors import ArchiveError
from chatferry.sizes import GIB, MIB


class Limits(Struct, frozen=True):
    """Limits of an archive. More is refused at opening, or as soon as it shows.

    entries      entries, folders and ignored ones included
    entry_bytes  bytes of one entry, inflated
    total_bytes  bytes of all entries, inflated
    ratio        inflated / packed size, of one entry and of the whole archive
    ratio_from   inflated bytes from which on the ratio is judged: small files may well repeat themselves
    names_bytes  bytes of all names, and of a zip's table of contents: these are held in memory
    """

    entries: int = 1_000_000
    entry_bytes: int = 64 * GIB
    total_bytes: int = 512 * GIB
    ratio: int = 200
    ratio_from: int = 64 * MIB
    names_bytes: int = 128 * MIB


DEFAULT_LIMITS = Limits()


class ArchiveEntry(Struct, frozen=True, gc=False):
    """The place and the expected content of an entry. An archive can have very many entries."""

    size: int
    packed: int
    offset: int = 0
    crc: int | None = None
    deflated: bool = False
    path: str = ""  # as folder and dict know it


class Listing(Struct, frozen=True):
    """An archive's entries by name, sorted, without the folders that wrap all of them: `wrapping`."""

    entries: dict[str, ArchiveEntry]
    wrapping: str = ""


class EntryRules:
    """The judge of entries: takes them in as a container finds them, and refuses unsafe ones."""

    def __init__(self, archive: str, limits: Limits) -> None:
        self.last = ""  # the last entry as the archive writes it
        self._archive = archive
        self._limits = limits
        self._count = 0
        self._names = 0  # bytes
        self._total = 0
        self._entries: dict[str, ArchiveEntry] = {}
        self._written: dict[str, str] = {}  # how the archive writes a name, where it was cleaned

    def admit(self, written: str) -> str | None:
        """Count an entry and judge its name. Returns the clean name, or None if the entry is junk."""
        self.last = written
        self._count += 1
        self.expect(self._count)
        self._names += len(written) if written.isascii() else 4 * len(written)
        self.judge_names(self._names)
        if reason := _unsafe(written):
            raise self.fault(written, reason, REPACK)
        parts = [part for part in written.split("/") if part not in ("", ".")]
        last = parts[-1] if parts else ""
        if "__MACOSX" in parts or last == ".DS_Store" or last.startswith("._"):
            return None
        name = "/".join(parts)
        # Python makes surrogates of bytes that are not UTF-8.
        return name if name.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", name)

    def judge_mode(self, written: str, mode: int) -> None:
        """Refuse special files, by the bits of a Unix file mode."""
        if kind := _SPECIAL_FILES.get(stat.S_IFMT(mode)):
            raise self.fault(written, f"is {kind}", REPACK)

    def add(self, written: str, name: str, entry: ArchiveEntry) -> None:
        """Take in a file entry whose name was admitted."""
        if not name:
            raise self.fault(written, "has no name", REPACK)
        if name in self._entries:
            first = self._written.get(name, name)
            raise self.fault(first, f"is there twice, the second time as {quoted(written)}", REPACK)
        self._judge_size(written, entry)
        if written != name:
            self._written[name] = written
        self._entries[name] = entry

    def _judge_size(self, written: str, entry: ArchiveEntry) -> None:
        limits = self._limits
        if entry.size > limits.entry_bytes:
            why = f"has {amount(entry.size)}, more than the {amount(limits.entry_bytes)} allowed"
            raise self.fault(written, why, TRUST.format("entry_bytes"))
        if beyond_ratio(limits, entry.size, entry.packed):
            why = f"inflates to more than {limits.ratio} times its packed size"
            raise self.fault(written, why, TRUST.format("ratio"))
        self._total += entry.size
        if self._total > limits.total_bytes:
            why = f"brings the total beyond the {amount(limits.total_bytes)} allowed"
            raise self.fault(written, why, TRUST.format("total_bytes"))

    def expect(self, count: int) -> None:
        """Refuse more entries than allowed."""
        if count > self._limits.entries:
            after = f" (the first beyond is {quoted(self.last)})" if self.last else ""
            why = f"holds more than the {self._limits.entries} entries allowed{after}"
            raise fault(self._archive, why, TRUST.format("entries"))

    def judge_names(self, size: int) -> None:
        """Refuse names that take more memory than allowed."""
        if size > self._limits.names_bytes:
            allowed = amount(self._limits.names_bytes)
            why = f"has names of {amount(size)}, more than the {allowed} allowed"
            raise fault(self._archive, why, TRUST.format("names_bytes"))

    def judge_ratio(self, packed: int) -> None:
        """Refuse an archive whose entries together inflate too much: many of them can share the same data."""
        if beyond_ratio(self._limits, self._total, packed):
            why = f"inflates to {amount(self._total)}, more than {self._limits.ratio} times its size"
            raise fault(self._archive, why, TRUST.format("ratio"))

    def contents(self) -> Listing:
        names = sorted(self._entries)
        start = _wrapping(names)
        entries = {name[start:]: self._entries[name] for name in names}
        return Listing(entries, names[0][: start - 1] if start else "")

    def fault(self, written: str, why: str, remedy: str) -> ArchiveError:
        return fault(self._archive, f"{quoted(written)} {why}", remedy)


_SPECIAL_FILES = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def beyond_ratio(limits: Limits, inflated: int, packed: int) -> bool:
    return inflated > limits.ratio_from and inflated > limits.ratio * packed


def _unsafe(written: str) -> str:
    """Return why a name must not be trusted, "" if it may be."""
    if "\0" in written:
        return "has a zero byte in its name"
    if written.startswith(("/", "\\")) or written[1:3] in (":/", ":\\"):
        return "has an absolute path"
    if ".." in written and ".." in re.split(r"[/\\]", written):
        return 'has a ".." in its path'
    return ""


def _wrapping(names: list[str]) -> int:
    """Return how many characters to cut from sorted names: folders around everything, with a file inside.

    "export/users.json" and "export/general/1.json" are wrapped; the `teams` of a Slack Grid is content, even
    if there is only one team.
    """
    if not names:
        return 0
    pairs = zip(names[0].split("/")[:-1], names[-1].split("/")[:-1], strict=False)
    shared = [folder for folder, other in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    depth = min(name.count("/") for name in names)
    if "teams" in shared and depth > shared.index("teams") + 1:
        depth = shared.index("teams")
    if depth > len(shared):
        return 0
    return sum(len(folder) + 1 for folder in shared[:depth])
