"""The command line: `python -m wsdemo compare` and other jobs. Each is a file of `wsdemo.command`."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from wsdemo.command.options import Parser


def parser() -> Parser:
    """Return the parser of all jobs."""
    from wsdemo import __version__
    from wsdemo.command import child, compare, lab, line, live, serve, trials
    from wsdemo.command.options import Parser

    main_parser = Parser(
        prog="python -m wsdemo", description="Predict and measure what pull and push cost, on this machine."
    )
    main_parser.add_argument("--version", action="version", version=f"wsdemo {__version__}")
    for_people = (compare, serve, line, trials, live, lab)
    names = ",".join(job.__name__.rpartition(".")[2] for job in for_people)
    jobs = main_parser.add_subparsers(dest="job", required=True, metavar=f"{{{names}}}", parser_class=Parser)
    for job in (*for_people, child):
        job.add(jobs)
    return main_parser


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return what the words say. What a job does not know is an error, unless it hands such words on."""
    main_parser = parser()
    options, others = main_parser.parse_known_args(arguments)
    if others and not hasattr(options, "handed_on"):
        main_parser.error(f"unrecognized arguments: {' '.join(others)}")
    if others:
        options.handed_on = others[others[0] == "--" :]
    return options


def main(arguments: list[str] | None = None) -> None:
    """Do what the words of the command line say; end with the status that tells a script how it went."""
    import json

    from wsdemo.command import output
    from wsdemo.processes.children import ChildFailed

    output.prepare()
    job = ""
    try:
        with output.written():
            options = _parse(arguments)
            job = f" {options.job}"
            options.run(options)
    except BrokenPipeError:
        # Whoever read the output has had enough (`| head`).
        output.forget()
        sys.exit(1)
    except (OSError, ChildFailed, UnicodeError, json.JSONDecodeError) as error:
        status = _complain(job, error, 1)
        output.forget()  # only now: whoever started a child takes the end of its output for its end
        sys.exit(status)
    except ValueError as error:  # whoever typed the words can mend them; the two kinds above are no fault of theirs
        sys.exit(_complain(job, error, 2))
    except KeyboardInterrupt:
        output.complain("\nstopped")
        # 130 is the shell's word for "ended by Ctrl-C"; for a server that is its normal end.
        sys.exit(0 if job in (" serve", " line", " live") else 130)


def _complain(job: str, error: Exception, status: int) -> int:
    from wsdemo.command import output

    output.complain(f"python -m wsdemo{job}: {' '.join(str(error).split())}")
    return status


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until the work begins there is nothing to tidy up, and a traceback out of some import would say nothing.
        # `running.heed_ctrl_c` ends this. Python's own imports come after it, in the functions, for the same reason.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
