"""The command line: `python -m wsdemo compare`, `serve`, `live` and `lab`. Each job is a file of `wsdemo.command`."""

from __future__ import annotations

import os
import sys

from wsdemo import __version__
from wsdemo.command import child, compare, lab, live, serve
from wsdemo.command.options import Parser
from wsdemo.processes.children import ChildFailed

JOBS = (compare, serve, live, lab)


def parser() -> Parser:
    """Return the parser of all jobs."""
    main_parser = Parser(
        prog="python -m wsdemo", description="Predict and measure what pull and push cost, on this machine."
    )
    main_parser.add_argument("--version", action="version", version=f"wsdemo {__version__}")
    names = ",".join(job.__name__.rpartition(".")[2] for job in JOBS)
    jobs = main_parser.add_subparsers(dest="job", required=True, metavar=f"{{{names}}}", parser_class=Parser)
    for job in (*JOBS, child):
        job.add(jobs)
    return main_parser


def main(arguments: list[str] | None = None) -> None:
    """Do what the words of the command line say; end with the status that tells a script how it went."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except ValueError as error:
        sys.exit(_complain(options.job, error, 2))
    except BrokenPipeError:
        # Whoever read the output has had enough (`| head`). Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, ChildFailed) as error:
        sys.exit(_complain(options.job, error, 1))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        # 130 is the shell's word for "ended by Ctrl-C"; for a server that is its normal end.
        sys.exit(0 if options.job in ("serve", "live") else 130)


def _complain(job: str, error: Exception, status: int) -> int:
    print(f"python -m wsdemo {job}: {' '.join(str(error).split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
