"""Arguments of the command line, and what becomes of errors."""

from __future__ import annotations

import argparse
import sys

import skrobust
from skrobust._cli._common import CommandError
from skrobust._cli._output import Report, fill_standard_streams, print_error, silence

READING = """
how columns are read:
  A column is read as numbers if at least 90 % of its filled cells are; or if half of them
  are, with 20 different numbers or more, and the others are at most three different words.
  Cells that are not numbers become missing, and the report counts them. Currencies, units,
  percent, thousands marks (comma, point, blank, apostrophe), (3.20) for -3.20, <0.1 for 0.1
  and h:min are understood; units of one kind (g and kg) are converted. Whether a comma or a
  point is the decimal mark is found from all columns, unless --decimal or --thousands is given.
  Whole numbers of one length with leading zeros are codes. Text with at most 40 different
  values is a category, longer lists are text. Cells such as NA, N/A, null, None, nan, -, ?
  and #DIV/0! are missing.
  Left out are: columns with one value or none; identifiers, which are columns named id, uuid,
  pk (or ending in key, no, code, index, ...) whose values nearly all differ, counts of the
  rows from 0 or 1, and codes without blanks that nearly all differ; what an earlier audit
  wrote (label_quality, is_flagged, suggested_label, corrected_label, verified_label,
  to_verify, also with a suffix); mostly empty columns that hold classes of the label, which
  look like verified labels; in Parquet files columns of bytes, lists and records.

how labels are read:
  As they are written: "1" and "01", "yes" and "Yes" are two classes, and a note names them.
  Blank cells, NA, N/A, n/a, NaN, nan, NaT, <NA>, None, NULL, null, (null), \\N and the error
  values of spreadsheets are no label; with --keep-na, only blank cells are. A null of a
  Parquet file is always missing.

exit status:
  0    the work was done, and the files of --out and --report are written
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


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _open_share(text: str) -> float:
    number = _share(text)
    if number in (0, 1):
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
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
    _add_verify(commands)
    _add_apply(commands)
    demo = commands.add_parser(
        "demo",
        help="find real label errors in handwritten digits, and learn despite wrong labels",
        description="Find real label errors in handwritten digits, and learn despite wrong labels.",
    )
    demo.add_argument(
        "--report", metavar="FILE", help="write the digits as a page for review to this HTML file"
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
    _add_table(audit)
    audit.add_argument(
        "--out",
        metavar="FILE",
        help="write every row to this CSV, TSV or Parquet file, with three columns more:"
        " label_quality (from 0 to 1), is_flagged, and corrected_label (the given label where"
        " nothing should change); those of an earlier audit are replaced",
    )
    audit.add_argument(
        "--report",
        metavar="FILE",
        help="write the rows as a page for review to this HTML file; skrobust apply takes the"
        " decisions that are saved there",
    )
    flags = audit.add_argument_group("how many labels are flagged")
    flags = flags.add_mutually_exclusive_group()
    flags.add_argument(
        "--precision", type=_open_share, metavar="SHARE",
        help="as many as possible, of which so large a share is estimated to be wrong, such as .9",
    )  # fmt: skip
    flags.add_argument(
        "--flag-fraction", type=_open_share, metavar="SHARE",
        help="this share of all labels, those of the lowest quality",
    )  # fmt: skip
    flags.add_argument(
        "--threshold", type=_share, metavar="QUALITY", help="those of a quality below this"
    )
    audit.add_argument(
        "--top", type=_count, default=20, metavar="N", help="rows to list (default: 20)"
    )
    _add_reading(audit)


def _add_table(parser) -> None:
    parser.add_argument(
        "table", metavar="TABLE", help="a CSV, TSV or Parquet file; - for text on standard input"
    )
    parser.add_argument("--label", required=True, metavar="COLUMN", help="the column of labels")


def _add_verify(commands) -> None:
    verify = commands.add_parser(
        "verify",
        help="list the rows of a table that are to be checked next",
        description="List the rows of a table that are to be checked next: the most suspicious"
        " ones, doubtful ones, and a random sample of all others, flagged or not, which shows how"
        " many of these are wrong.",
        epilog=READING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_table(verify)
    verify.add_argument(
        "--rows", type=_count, default=30, metavar="N", help="rows to list (default: 30)"
    )
    verify.add_argument(
        "--out", metavar="FILE",
        help="file to write, a CSV, TSV or Parquet file: the table with a column to_verify that"
        " marks these rows, and a column verified_label to fill in",
    )  # fmt: skip
    verify.set_defaults(report=None, precision=None, flag_fraction=None, threshold=None, top=0)
    _add_reading(verify)


def _add_apply(commands) -> None:
    apply = commands.add_parser(
        "apply",
        help="apply the decisions of reviewers to the labels of a table",
        description="Apply the decisions that reviewers saved in the page of skrobust audit"
        " --report to the labels of the table. The table itself is not changed.",
    )
    apply.add_argument("table", metavar="TABLE", help="the table that was audited")
    apply.add_argument(
        "corrections", metavar="CORRECTIONS", nargs="+", help="files that were saved in the page"
    )
    apply.add_argument(
        "--out", required=True, metavar="FILE", help="file to write, a CSV, TSV or Parquet file"
    )
    apply.add_argument(
        "--label", metavar="COLUMN", help="the column of labels (default: found by its content)"
    )
    apply.add_argument(
        "--on-conflict",
        choices=("raise", "last", "majority"),
        default="raise",
        help="rows for which reviewers decided on different labels: refuse them (the default),"
        " take the latest decision, or the label that most of them chose",
    )
    apply.add_argument(
        "--keep-labels",
        action="store_true",
        help="leave the labels as they are, and add a column verified_label, which skrobust audit"
        " uses",
    )
    _add_spelling(apply.add_argument_group("spelling"))
    _add_text_files(apply.add_argument_group("text files"))
    _add_json(apply)


def _add_json(parser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print the findings as JSON instead of text"
    )


def _add_reading(parser) -> None:
    """Add what `audit` and `verify` share: models, columns, spelling, text files."""
    parser.add_argument(
        "--estimator",
        choices=("ensemble", "forest", "logistic", "boosting"),
        default="ensemble",
        help="the model behind the scores (default: ensemble, several models; forest is the"
        " fastest)",
    )
    columns = parser.add_argument_group("columns")
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
    spelling = parser.add_argument_group("spelling")
    _add_spelling(spelling)
    _add_numbers(spelling)
    _add_text_files(parser.add_argument_group("text files"))
    _add_json(parser)
    _add_common(parser)


def _add_spelling(spelling) -> None:
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
        "--merge-spellings",
        action="store_true",
        help="labels that differ only by case, blanks or leading zeros are one class, spelled as"
        " it mostly is",
    )


def _add_numbers(spelling) -> None:
    spelling.add_argument(
        "--decimal", type=_mark, choices=(".", ","), metavar="MARK",
        help="decimal mark of numbers in text: . or , (default: found in the table)",
    )  # fmt: skip
    spelling.add_argument(
        "--thousands", type=_mark, choices=(",", ".", " ", "'"), metavar="MARK",
        help="thousands mark of numbers in text: , or . or ' or blank (default: any that is not"
        " the decimal mark)",
    )  # fmt: skip


def _add_text_files(files) -> None:
    files.add_argument("--encoding", help="encoding (default: utf-8, or by a byte order mark)")
    files.add_argument("--sep", help="separator of the columns (default: found in the first lines)")
    files.add_argument(
        "--skip-lines", type=_count, default=0, metavar="N",
        help="lines above the header (default: a title above it is found by itself)",
    )  # fmt: skip


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
        elif options.command == "verify":
            from skrobust._cli._verify import run

            written = run(options, report)
        elif options.command == "apply":
            from skrobust._cli._apply import run

            written = run(options, report)
        else:
            from skrobust._cli._demo import run

            run(options)
        report.flush()
    except CommandError as error:
        report.flush()
        print_error(f"skrobust: error: {' '.join(str(error).split())}")
        return 2
    except KeyboardInterrupt:
        report.flush()
        print_error("skrobust: interrupted")
        return 130
    except MemoryError:
        print_error("skrobust: error: there is not enough memory for this table")
        return 2
    except OSError as error:
        if options is not None and options.command != "demo":
            print_error(f"skrobust: error: {' '.join(str(error).split())}")
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
        print_error(f"skrobust: note: the report could not be printed: {why}; {written} is written")
        return 0
    print_error(f"skrobust: error: the report could not be printed: {why}")
    return 1
