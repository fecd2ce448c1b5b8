"""What is in a package, file by file, and what docs/contents.md says of it."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.rig import ROOT

PAGE = ROOT / "docs/contents.md"


class Archive(NamedTuple):
    """Bytes of each file, unpacked and packed."""

    sizes: Mapping[str, tuple[int, int]]

    @classmethod
    def of_wheel(cls, path: Path) -> Archive:
        with zipfile.ZipFile(path) as archive:
            return cls({one.filename: (one.file_size, one.compress_size) for one in archive.infolist()})

    @classmethod
    def of_tarball(cls, path: Path) -> Archive:
        """Packed as a whole: its size is shared out."""
        with tarfile.open(path) as archive:
            sizes = {one.name.removeprefix("package/"): one.size for one in archive.getmembers()}
        share = path.stat().st_size / sum(sizes.values())
        return cls({name: (size, round(size * share)) for name, size in sizes.items()})

    def only(self, wanted: Callable[[str], bool]) -> tuple[float, ...]:
        """Of these files: how many, and KB unpacked and packed."""
        found = [sizes for name, sizes in self.sizes.items() if wanted(name)]
        return len(found), *(sum(each) / 1_000 for each in zip(*found, strict=True))


def said_of(part: str) -> tuple[float, ...]:
    """The page's row: files, KB unpacked and packed."""
    (row,) = re.findall(rf"^\| {re.escape(part)} \|([\d |]+)\|$", PAGE.read_text(), re.M)
    return tuple(float(number) for number in row.split("|"))
