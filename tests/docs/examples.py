"""The fenced blocks of our documents, and how they are run.

`console`: lines that begin with `$ ` are run by bash, with the indented lines they go on in; what
follows is the output expected, `...` being anything. `python`: run, all blocks of a document in
one namespace. `json`: shown, not run. Before any other block, and before one that cannot be run,
stands `<!-- not run: why -->`.
"""

import doctest
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"^(?P<mark><!-- not run: [^\n]+ -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^\$ (?P<command>.*\n(?:[ ].*\n)*)(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
JOB_ID = re.compile(r"job_[0-9a-f]{4,}(?:\.\.\.)?")
SHOWN = ("json",)
RUN = ("console", "python")
IN_DOCUMENTS = "localhost:8000"
LOOSELY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, and the line it begins in."""

    document: Path
    line: int
    language: str
    text: str
    is_marked: bool  # as not to be run

    @property
    def is_run(self) -> bool:
        return self.language in RUN and not self.is_marked


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Of a console: each command, and the output expected of it."""
    for match in COMMAND.finditer(text):
        yield match["command"], match["output"]


def blocks_of(document: Path) -> list[Block]:
    """All of them, in order."""
    text = document.read_text()
    return [
        Block(
            document,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["text"],
            match["mark"] is not None,
        )
        for match in BLOCK.finditer(text)
    ]


def with_job(text: str, job_id: str | None) -> str:
    """A document's job is the last that was heard of."""
    return text if job_id is None else JOB_ID.sub(job_id, text)


def job_in(output: str) -> str | None:
    """The job that an output tells of."""
    match = re.search(r"job_[0-9a-f]{32}", output)
    return match and match[0]


def is_as_expected(expected: str, output: str) -> bool:
    """Whether the output is what the document says; where it says nothing, anything is."""
    wanted = JOB_ID.sub("job_...", expected)
    return not wanted or doctest.OutputChecker().check_output(wanted, output, LOOSELY)
