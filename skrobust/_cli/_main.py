"""Arguments of the command line, and what becomes of errors."""

from __future__ import annotations

import argparse
import sys

import skrobust
from skrobust._cli._common import CommandError
from skrobust._cli._output import Report, complain, fill_standard_streams, silence

READING = """
how columns are read:
  A column is read as numbers if at least 90 % of its filled cells are; or if half of them
  are, with 20 different numbers or more, and the others are at most three different words.
  Cells that are no numbers become missing, and the report counts them. Currencies, units,
  percent, thousands marks (comma, point, blank, apostrophe), (3.20) for -3.20, <0.1 for 0.1
  and h:min are understood; units of one kind (g and kg) are converted. Whether a comma or a
  point is the decimal mark is found from all columns, unless --decimal or --thousands is given.
  Whole numbers of one length with leading zeros are codes. Text with at most 40 different
  values is a category, longer lists are text. Cells such as NA, N/A, null, None, nan, -, ?
  and #DIV/0! are missing.
  Left out are: columns with one value or none; identifiers, which are columns named id, uuid,
  pk (or ending in key, no, code, index, ...) whose values nearly all differ, counts of the
  rows from 0 or 1, and codes without blanks that nearly all differ; what an earlier audit
  wrote (label_quality, is_flagged, suggested_label, corrected_label, verified_label, also
  with a suffix); mostly empty columns that hold classes of the label, which look like
  verified labels; in Parquet files columns of bytes, lists and records.

how labels are read:
  As they are written: "1" and "01", "yes" and "Yes" are two classes, and a note names them.
  Blank cells, NA, N/A, n/a, NaN, nan, NaT, <NA>, None, NULL, null, (null), \\N and the error
  values of spreadsheets are no label; with --keep-na, only blank cells are. A null of a
  Parquet file is always missing.

exit status:
  0    the work was done, and the file of --out is written
  1    the report could not be printed, and there is no --out
  2    an argument, the table or the file of --out is wrong; one line on stderr describes it
  130  interrupted
"""


class _Parser(argparse.ArgumentParser):
    """Report a wrong argument like any other wrong input: one line, no usage text."""

    def error(self, message):
        raise CommandError(f"{message} (try: {self.prog} --help)")

    def _print_message(self, message, file=None):
        # The base class passes over errors.
        if message and file is not None:
            file.write(message)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _count(text: str) -> int:
    number = _integer(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is out of range; expected 0 or more")
    return number


def _jobs(text: str) -> int:
    number = _integer(text)
    if number == 0:
        raise argparse.ArgumentTypeError("0 is not a number of jobs; -1 means every core")
    return number


def _mark(text: str) -> str:
    known = {"point": ".", "dot": ".", "comma": ",", "blank": " ", "space": " ", "apostrophe": "'"}
    return known.get(text, text)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = _Parser(prog="skrobust", description="Find wrong labels.")
    parser.add_argument("--version", action="version", version=f"skrobust {skrobust.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_audit(commands)
    demo = commands.add_parser(
        "demo",
        help="find real label errors in handwritten digits, and learn despite wrong labels",
        description="Find real label errors in handwritten digits, and learn despite wrong labels.",
    )
    _add_common(demo)
    return parser


def _add_audit(commands) -> None:
    audit = commands.add_parser(
        "audit",
        help="find the labels of a table that are probably wrong",
        description="Find the labels of a table that are probably wrong, and estimate the right"
        " ones.",
        epilog=READING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    audit.add_argument(
        "table", metavar="TABLE", help="a CSV, TSV or Parquet file; - for text on standard input"
    )
    audit.add_argument("--label", required=True, metavar="COLUMN", help="the column of labels")
    audit.add_argument(
        "--out",
        metavar="FILE",
        help="write every row to this CSV, TSV or Parquet file, with three columns more:"
        " label_quality (from 0 to 1), is_flagged, and corrected_label (the given label where"
        " nothing should change); those of an earlier audit are replaced",
    )
    audit.add_argument(
        "--estimator",
        choices=("ensemble", "forest", "logistic", "boosting"),
        default="ensemble",
        help="the model behind the scores (default: ensemble, several models; forest is the"
        " fastest)",
    )
    columns = audit.add_argument_group("columns")
    columns.add_argument(
        "--verified",
        metavar="COLUMN",
        nargs="+",
        action="extend",
        default=[],
        help="columns of labels checked by a reviewer, empty for rows that were not checked; a"
        " later one takes precedence, and a column verified_label is used without being named",
    )
    for name, help_text in (
        ("--drop", "columns to leave out, for example those that are copies of the label"),
        ("--keep", "columns to use although they look like identifiers"),
        ("--as-number", "columns to read as numbers; cells that are none become missing"),
        ("--as-text", "columns to read as text"),
        ("--as-category", "columns to read as categories"),
    ):
        columns.add_argument(
            name, metavar="COLUMN", nargs="+", action="extend", default=[], help=help_text
        )
    spelling = audit.add_argument_group("spelling")
    spelling.add_argument(
        "--keep-na",
        action="store_true",
        help="NA, None, null, nan and the like in the column of labels are classes",
    )
    spelling.add_argument(
        "--missing-label",
        metavar="VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="labels that mean that there is none, such as -1, ? or unknown",
    )
    spelling.add_argument(
        "--decimal", type=_mark, choices=(".", ","), metavar="MARK",
        help="decimal mark of numbers in text: . or , (default: found in the table)",
    )  # fmt: skip
    spelling.add_argument(
        "--thousands", type=_mark, choices=(",", ".", " ", "'"), metavar="MARK",
        help="thousands mark of numbers in text: , or . or ' or blank (default: any that is not"
        " the decimal mark)",
    )  # fmt: skip
    files = audit.add_argument_group("text files")
    files.add_argument("--encoding", help="encoding (default: utf-8, or by a byte order mark)")
    files.add_argument("--sep", help="separator of the columns (default: found in the first lines)")
    files.add_argument(
        "--skip-lines", type=_count, default=0, metavar="N",
        help="lines above the header (default: a title above it is found by itself)",
    )  # fmt: skip
    audit.add_argument(
        "--top", type=_count, default=20, metavar="N", help="rows to list (default: 20)"
    )
    _add_common(audit)


def _add_common(parser) -> None:
    parser.add_argument(
        "--n-jobs", type=_jobs, metavar="N", help="processes to use; -1 means every core"
    )
    parser.add_argument(
        "--random-state", type=_count, default=0, metavar="SEED", help="seed (default: 0)"
    )


def main(argv=None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    argv : list of str, default=None
        The arguments; None means those of the process.

    Returns
    -------
    status : int
        0 on success, 1 where the report could not be printed, 2 where the input is wrong, 130
        after an interruption.
    """
    if argv is None:
        fill_standard_streams()
    report = Report()
    written, options = None, None
    try:
        options = make_parser().parse_args(argv)
        # Imported here, so that --help and --version take no time.
        if options.command == "audit":
            from skrobust._cli._audit import run

            written = run(options, report)
        else:
            from skrobust._cli._demo import run

            run(options)
        report.flush()
    except CommandError as error:
        report.flush()
        complain(f"skrobust: error: {' '.join(str(error).split())}")
        return 2
    except KeyboardInterrupt:
        report.flush()
        complain("skrobust: interrupted")
        return 130
    except MemoryError:
        complain("skrobust: error: there is not enough memory for this table")
        return 2
    except OSError as error:
        if options is not None and options.command == "audit":
            complain(f"skrobust: error: {' '.join(str(error).split())}")
            return 2
        # The other commands print by themselves.
        report.error = error
        silence(sys.stdout, sys.__stdout__, 1)
    except SystemExit as stop:
        # argparse leaves this way after --help and --version.
        report.flush()
        if stop.code:
            return stop.code
    return _status(report, written)


def _status(report: Report, written: str | None) -> int:
    """Return the exit status after the work was done."""
    if report.error is None or report.reader_left:
        return 0
    why = getattr(report.error, "strerror", None) or str(report.error)
    if written is not None:
        complain(f"skrobust: note: the report could not be printed: {why}; {written} is written")
        return 0
    complain(f"skrobust: error: the report could not be printed: {why}")
    return 1
