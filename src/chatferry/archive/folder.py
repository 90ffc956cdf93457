"""A folder, and a dict in place of a folder."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from chatferry.archive.entry_rules import ArchiveEntry, EntryRules, Limits, Listing
from chatferry.archive.messages import quoted, unreadable
from chatferry.archive.streams import OffsetFile


class FolderContainer:
    def __init__(self, root: Path) -> None:
        self._root = root

    def blocks(self, entry: ArchiveEntry) -> Iterator[bytes]:
        # A link can have taken the file's place since the folder was listed.
        descriptor = os.open(self._root / entry.path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            # one byte more than listed shows that it has grown
            yield from OffsetFile(file).blocks(0, entry.size + 1)

    def close(self) -> None:
        pass


def open_folder(archive: str, root: Path, limits: Limits) -> tuple[Listing, FolderContainer]:
    rules = EntryRules(archive, limits)
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            folders += _add_folder(rules, root, folder)
        except OSError as error:
            raise unreadable(f"{archive}: {quoted(folder)}" if folder else str(root), error) from error
    return rules.contents(), FolderContainer(root)


def _add_folder(rules: EntryRules, root: Path, folder: str) -> list[str]:
    """Add the files of a folder; return its folders."""
    folders = []
    with os.scandir(root / folder) as found:
        for item in found:
            path = f"{folder}/{item.name}" if folder else item.name
            name = rules.admit(path)
            if name is None:
                continue
            status = item.stat(follow_symlinks=False)
            rules.judge_mode(path, status.st_mode)
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
            else:
                rules.add(path, name, ArchiveEntry(status.st_size, status.st_size, path=path))
    return folders


class DictContainer:
    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def blocks(self, entry: ArchiveEntry) -> Iterator[bytes]:
        yield self._contents[entry.path]

    def close(self) -> None:
        pass


def open_dict(
    archive: str, source: Mapping[str, bytes | str], limits: Limits
) -> tuple[Listing, DictContainer]:
    rules = EntryRules(archive, limits)
    contents = {path: data.encode() if isinstance(data, str) else data for path, data in source.items()}
    for path, data in contents.items():
        name = rules.admit(path)
        if name is not None and not path.endswith("/"):
            rules.add(path, name, ArchiveEntry(len(data), len(data), path=path))
    return rules.contents(), DictContainer(contents)
