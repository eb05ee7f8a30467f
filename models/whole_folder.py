"""A folder that appears whole, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, beside `target`, which it becomes when the block has ended well.

    Else nothing is left: neither of it nor of the parents that were made for it. `target` must not
    exist. Raises OSError, and what the block raises.
    """
    with ExitStack() as undo:
        for parent in reversed(target.parents):
            if not parent.exists():
                parent.mkdir()
                undo.callback(_remove_if_empty, parent)
        staged = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
        undo.callback(shutil.rmtree, staged, ignore_errors=True)
        yield staged
        staged.chmod(0o755)  # mkdtemp makes it for the owner alone
        staged.rename(target)
        undo.pop_all()


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # by now it may hold what others put there
        folder.rmdir()
