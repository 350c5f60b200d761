"""Arguments of the command line, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys

import skrobust
from skrobust._cli._common import CommandError


class _Parser(argparse.ArgumentParser):
    """Report a wrong argument like any other wrong input: one line, no usage text."""

    def error(self, message):
        raise CommandError(f"{message} (try: {self.prog} --help)")


def _integer(text):
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _count(text):
    number = _integer(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is out of range; expected 0 or more")
    return number


def _jobs(text):
    number = _integer(text)
    if number == 0:
        raise argparse.ArgumentTypeError("0 is not a number of jobs; -1 means every core")
    return number


def make_parser():
    """Make the parser of all commands."""
    parser = _Parser(prog="skrobust", description="Find wrong labels.")
    parser.add_argument("--version", action="version", version=f"skrobust {skrobust.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    audit = commands.add_parser(
        "audit",
        help="find the labels of a table that look wrong",
        description="Find the labels of a table that look wrong, and say which labels look right.",
    )
    audit.add_argument("table", metavar="TABLE", help="a CSV, TSV or Parquet file")
    audit.add_argument("--label", required=True, metavar="COLUMN", help="the column of labels")
    audit.add_argument(
        "--out",
        metavar="FILE",
        help="write every row, with columns for quality, flag and suggestion, to this CSV, TSV or"
        " Parquet file",
    )
    audit.add_argument(
        "--estimator",
        choices=("ensemble", "forest", "logistic", "boosting"),
        default="ensemble",
        help="what judges the labels (default: ensemble, several models; forest is the fastest)",
    )
    audit.add_argument(
        "--verified",
        metavar="COLUMN",
        help="a column of labels checked by a person, empty where nobody looked",
    )
    audit.add_argument(
        "--drop",
        metavar="COLUMN",
        nargs="+",
        action="extend",
        default=[],
        help="columns to leave out, for example those that are copies of the label",
    )
    audit.add_argument(
        "--keep",
        metavar="COLUMN",
        nargs="+",
        action="extend",
        default=[],
        help="columns to use although they look like identifiers",
    )
    audit.add_argument("--encoding", help="encoding of a text file (default: utf-8)")
    audit.add_argument(
        "--sep", help="what separates the columns of a text file (default: found in the header)"
    )
    audit.add_argument(
        "--top", type=_count, default=20, metavar="N", help="rows to list (default: 20)"
    )
    _add_common(audit)

    demo = commands.add_parser(
        "demo",
        help="find real label errors in handwritten digits, and learn despite wrong labels",
        description="Find real label errors in handwritten digits, and learn despite wrong labels.",
    )
    _add_common(demo)
    return parser


def _add_common(parser):
    parser.add_argument(
        "--n-jobs", type=_jobs, metavar="N", help="processes to use; -1 means every core"
    )
    parser.add_argument(
        "--random-state", type=_count, default=0, metavar="SEED", help="seed (default: 0)"
    )


def main(argv=None):
    """Run a command and return its exit status.

    Parameters
    ----------
    argv : list of str, default=None
        The arguments; None means those of the process.

    Returns
    -------
    status : int
        0 on success, 2 where the input is wrong, 130 after an interruption.
    """
    try:
        options = make_parser().parse_args(argv)
        # Imported here, so that --help and --version answer at once.
        if options.command == "audit":
            from skrobust._cli._audit import run
        else:
            from skrobust._cli._demo import run
        run(options)
        sys.stdout.flush()
    except CommandError as error:
        message = " ".join(str(error).split())
        print(f"skrobust: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("skrobust: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output went away (`| head`); the interpreter would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except SystemExit as stop:
        # argparse leaves this way after --help and --version.
        return stop.code or 0
    return 0
