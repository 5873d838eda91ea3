"""The pages of the manual, and the code blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"# (\S+\.\w+)\n")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    :param info: what stands behind the fence: ``toml fragment``.
    """

    page: Path
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def file(self) -> str:
        """The name of the file that is shown, which is a comment in the first line; or nothing."""
        match = _FILE_NAME.match(self.text)
        return match[1] if match else ""

    @property
    def is_fragment(self) -> bool:
        """The block is no configuration of its own: what it refers to must be filled in."""
        return "fragment" in self.info.split()

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page, those of the repository included."""
    found = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("pingap_plugins/*/README.md")]
    return sorted([*found, *ROOT.glob("contrib/*/README.md")])


def every_block(page: Path) -> list[Block]:
    """Return all blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["text"])
        for match in _FENCE.finditer(text)
    ]


def blocks(language: str, page: Path | None = None) -> list[Block]:
    """Return the blocks in a language, of one page or of all."""
    found = [block for path in ([page] if page else pages()) for block in every_block(path)]
    return [block for block in found if block.language == language]


def shown_file(page: str, name: str) -> str:
    """Return the text of a file that a page shows."""
    path = DOCS / page
    text = path.read_text()
    languages = {match["info"].partition(" ")[0] for match in _FENCE.finditer(text)}
    every = [block for language in sorted(languages) for block in blocks(language, path)]
    (found,) = (block.text for block in every if block.file == name)
    return found


def without_code(text: str) -> str:
    """Return a page without its code, lines kept."""
    text = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    return re.sub(r"`[^`\n]*`", "``", text)
