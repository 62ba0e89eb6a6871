"""What the command line writes: in any encoding, into a file that is whole or not there, and errors that are said."""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from wsdemo.words import plain

HANDLER = "wsdemo.plain"
"""Under this name Python finds what stands in for a character that an encoding does not have."""


def prepare() -> None:
    """Make standard output and error fit for any text, and there: a stream may have been closed by whoever started us.

    A file that is opened next would get the number of a closed stream, and what is meant for the one land in the other.
    """
    codecs.register_error(HANDLER, _stand_in)
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        stream = getattr(sys, name)
        if stream is None:
            # Standard output is opened for reading: to write to it stays an error, and there is no one to miss stderr.
            number = os.open(os.devnull, flags)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]).encode("ascii", "backslashreplace").decode(), error.end


def encodable(text: str) -> str:
    """Return the text as it can be printed, known before it is printed: a table has to be set by its real widths."""
    return text.encode(sys.stdout.encoding or "ascii", HANDLER).decode(sys.stdout.encoding or "ascii")


@contextlib.contextmanager
def written() -> Iterator[None]:
    """See to it that what the body printed has gone out. Raises OSError where it has not; see `forget`."""
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, f"standard output cannot be written ({error.strerror})") from error


def forget() -> None:
    """Give up standard output: Python would try to write what is left when it ends, and complain a second time."""
    with contextlib.suppress(OSError):
        number = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def complain(text: str) -> None:
    """Print a line on standard error, if anybody is there to read it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the path of a file beside `path`, which takes its place once the body is done, and is gone if that fails.

    So an earlier file of that name is not lost to a full disk. Raises OSError with the name of the file.
    """
    target = path.resolve()
    beside = target.with_name(f".{target.stem}-{os.getpid()}{target.suffix}")
    try:
        yield beside
        if target.exists():
            shutil.copymode(target, beside)
        os.replace(beside, target)
    except OSError as error:
        raise OSError(
            error.errno, f"{path} could not be saved ({error.strerror}); what was there is unchanged"
        ) from error
    finally:
        beside.unlink(missing_ok=True)
