"""``skrobust audit``: probably wrong labels of a table."""

from __future__ import annotations

import dataclasses
import re
import shlex
import warnings
from pathlib import Path

import numpy as np

from skrobust._cli._common import (
    CommandError,
    one_line,
    percent,
    reading_options,
    require,
    show_progress,
)
from skrobust._cli._output import phase
from skrobust._cli._source import Source, check_out, check_report, find_column

# A class of which a larger share is flagged is pointed out.
MAX_FLAG_RATE = 0.5
# From so many verified rows on, right and wrong ones, --precision relies on them.
MIN_VERIFIED = 30


@dataclasses.dataclass
class Input:
    """A table that was read, ready for a fit.

    Attributes
    ----------
    table : TextTable or ParquetTable
        The table.
    labels : Labels
        Given labels.
    verified : Verified or None
        Labels that a reviewer checked.
    reading : Reading
        How the columns were read.
    removed : list of str
        Columns of an earlier audit, which are replaced.
    names : tuple of str
        The columns to write.
    notes : list of str
        Notes for the report.
    vectors : ndarray of shape (n_fitted, n_features) or None
        Numbers that the columns were turned into, where the models share them.
    """

    table: object
    labels: object
    verified: object
    reading: object
    removed: list
    names: tuple
    notes: list
    vectors: object = None


def run(options, report) -> str | None:
    """Audit a table; all that can be wrong with the input is found before any fit.

    Parameters
    ----------
    options : Namespace
        The arguments.
    report : Report
        Where to print.

    Returns
    -------
    written : str or None
        The file that was written.
    """
    found = read_input(options)
    from skrobust._cli._findings import print_findings, print_input, write_json
    from skrobust._cli._table import Added

    table, labels, names = found.table, found.labels, found.names
    if not options.json:
        print_input(report, found)
    if report.error is not None and options.out is None and options.report is None:
        return None  # there is no place for the findings
    detector, rows, notes = fit(options, found)
    result = Result.of(detector, rows, found, notes)
    written, failure = None, None
    if options.report is not None:
        from skrobust._cli._page import write_page

        with phase(f"writing {one_line(options.report, 60)}"):
            write_page(options, detector, rows, found)
        written = one_line(options.report, 200)
    if options.out is not None:
        added = Added(names, result.quality, result.flagged, result.corrected_rows(labels))
        try:
            with phase(f"writing {one_line(options.out, 60)}"):
                table.write(options.out, found.removed, labels.name, added)
            written = one_line(options.out, 200)
        except CommandError as error:
            failure = error  # the findings are printed all the same
    if options.json:
        write_json(report, found, result, options.top)
    else:
        print_findings(report, found, result, options.top)
    if failure is not None:
        raise failure
    if options.json:
        return written
    if options.report is not None:
        words = [table.source.title, "corrections.csv", *reading_options(options)]
        command = shlex.join(one_line(word, 200) for word in words)
        report.line(
            f"\nWrote {one_line(options.report, 200)}: open it in a browser, review the rows, save"
            " corrections.csv, and apply them:\n  skrobust apply"
            f" {command} --out fixed.csv\n"
            "With --keep-labels, they go into a column verified_label, which the next audit uses."
        )
    if options.out is not None:
        report.line(
            f"\nWrote {written}: all {table.n_rows} rows, with the columns {', '.join(names)}."
        )
        if found.removed:
            report.line(f"  in place of those of an earlier audit: {_listed(found.removed)}")
    return written


def read_input(options) -> Input:
    """Read the table and decide what each of its columns is."""
    source = _check(options)
    with phase("loading libraries"):
        require("pandas", "skrub")
    # These import pandas, which the line above has found.
    from skrobust._cli._labels import Spelling, read_labels, read_verified
    from skrobust._cli._own import VERIFIED, find_own, free_names
    from skrobust._cli._table import read_table

    with phase(f"reading {one_line(source.title, 60)}"):
        table = read_table(source)
        spelling = Spelling.of(options)
        labels = read_labels(options.label, table, spelling)
        named = {options.label, *options.verified, *_forced(options)}
        own, doubtful = find_own(table, labels, named)
        earlier = [name for name, kind in own.items() if kind == VERIFIED]
        verified = read_verified([*earlier, *options.verified], table, labels, spelling)
        reading = _read_features(options, table, labels, own, spelling)
    removed = [name for name, kind in own.items() if kind != VERIFIED]
    names = free_names([name for name in table.names if name not in removed])
    notes = [*table.notes, *labels.notes, *(verified.notes if verified else []), *reading.notes]
    if doubtful:
        notes.append(
            f"{_listed(doubtful)}: named like a column of an earlier audit but of other content,"
            " and so a feature"
        )
    return Input(table, labels, verified, reading, removed, names, notes)


def _listed(names: list) -> str:
    return ", ".join(repr(one_line(name)) for name in names)


def _forced(options) -> dict:
    """Return the roles of columns that the user named."""
    forced = {}
    for names, role in (
        (options.keep, "keep"),
        (options.as_number, "number"),
        (options.as_text, "text"),
        (options.as_category, "category"),
    ):
        for name in names:
            forced[name] = role
    return forced


def _check(options) -> Source:
    """Check the arguments against each other and against the header of the table."""
    if options.decimal is not None and options.decimal == options.thousands:
        raise CommandError(f"--decimal and --thousands are both {options.decimal!r}")
    source = Source(
        options.table,
        encoding=options.encoding,
        sep=options.sep,
        skip_lines=options.skip_lines,
        label=options.label,
    )
    if options.out is not None:
        check_out(options.out, source)
    if options.report is not None:
        check_report(options.report, source)
        if (
            options.out is not None
            and Path(options.report).resolve() == Path(options.out).resolve()
        ):
            raise CommandError(f"--report and --out are both {options.out!r}")
    options.label = find_column(options.label, source, "--label")
    owner = {options.label: "the column of labels"}
    roles = ("verified", "drop", "as_number", "as_text", "as_category", "keep")
    for role in roles:
        option = "--" + role.replace("_", "-")
        names = [find_column(name, source, option) for name in getattr(options, role)]
        for name in names:
            other = owner.setdefault(name, option)
            # --keep is redundant beside --as-text.
            if other == option or (option == "--keep" and other.startswith("--as-")):
                continue
            if other.startswith("--"):
                raise CommandError(f"{name!r} is given to both {other} and {option}")
            raise CommandError(f"{option} {name!r} is {other}")
        setattr(options, role, names)
    return source


def _read_features(options, table, labels, own, spelling):
    """Read the columns that may be features, and note the part of the others."""
    from skrobust._cli._columns import Column, read_columns
    from skrobust._cli._own import relation_to_labels

    forced = _forced(options)
    taken = {options.label, *options.verified}
    left_out = {name: Column(name, "earlier audit", "replaced on writing") for name in own}
    for name, kind in own.items():
        if kind == "verified_label":
            left_out[name] = Column(name, "verified labels", "of an earlier review")
    left_out |= {name: Column(name, "as asked", "--drop") for name in options.drop}
    for name in options.verified:
        left_out[name] = Column(name, "verified labels", "--verified")
    duplicates = []
    for name in table.names:
        if name in taken or name in left_out or name in forced:
            continue
        relation = relation_to_labels(name, table, labels, spelling)
        if relation == "verified":
            left_out[name] = Column(
                name,
                "looks like verified labels",
                f"use --verified {one_line(name)}, or --keep for a feature",
            )
        elif relation == "copy":
            duplicates.append(name)
    names = [name for name in table.names if name not in left_out and name != options.label]
    reading = read_columns(
        table,
        names,
        forced,
        decimal=options.decimal,
        thousands=options.thousands,
        skipped=labels.total_rows,
    )
    place = {name: number for number, name in enumerate(table.names)}
    reading.columns = sorted(
        [*reading.columns, *left_out.values()], key=lambda column: place[column.name]
    )
    if duplicates:
        reading.notes.append(
            f"{_listed(duplicates)}: classes that nearly always agree with the labels; use --drop"
            " if this is a copy of them, or --verified if a reviewer wrote it"
        )
    if not reading.features:
        raise CommandError(
            f"{table.source.title!r} has no column that can be a feature: besides the label, every"
            " column is left out (see --keep)"
        )
    return reading


# So many rows are suggested for verification.
N_TO_VERIFY = 30


@dataclasses.dataclass
class Result:
    """What the detector found, in numbers of classes.

    Attributes
    ----------
    labelled : ndarray of shape (n_rows,), bool
        Whether a row has a label.
    quality : ndarray of shape (n_rows,)
        NaN where there is no label, or nothing to compare it with.
    flagged : ndarray of shape (n_rows,), bool
        Labels that are probably wrong.
    suggested : ndarray of shape (n_rows,), int
        Most probable class besides, or instead of, the given label; -1 where there is none.
    corrected : ndarray of shape (n_rows,), int
        The given label where nothing should change, the prediction where there is no label.
    noise_rate : float
        Estimated share of wrong labels.
    interval : tuple of float
        Interval of that share.
    reliability, reason : str
        Whether wrong labels can be distinguished from overlap of the classes, and why.
    to_verify : ndarray of shape (n_suggested,), int
        Rows to verify, such that the share of wrong labels is known best afterwards.
    verified : ndarray of shape (n_rows,), bool
        Rows that a reviewer checked.
    refuted : ndarray of shape (n_rows,), bool
        Those whose given label the reviewer found wrong.
    notes : list of str
        Warnings, in the words of the command line.
    given : ndarray of shape (n_rows,), int
        Given labels, -1 where there is none.
    precision : FlagPrecision
        Estimated share of the flagged labels that are wrong.
    """

    labelled: np.ndarray
    quality: np.ndarray
    flagged: np.ndarray
    suggested: np.ndarray
    corrected: np.ndarray
    noise_rate: float
    interval: tuple
    reliability: str
    reason: str
    to_verify: np.ndarray
    verified: np.ndarray
    refuted: np.ndarray
    notes: list
    given: np.ndarray
    precision: object

    @classmethod
    def of(cls, detector, rows: np.ndarray, found: Input, notes: list) -> Result:
        """Read a detector that was fitted on some rows of a table."""
        from skrobust.inspection._flag_precision import flag_precision

        labels, verified = found.labels, found.verified
        n_rows = len(labels.codes)
        code_of = {word: code for code, word in enumerate(labels.classes)}

        def expand(values, fill):
            full = np.full(n_rows, fill, dtype=np.asarray(values).dtype)
            full[rows] = values
            return full

        def codes(words):
            words = np.asarray(words, dtype=object)
            return expand(np.array([code_of.get(word, -1) for word in words]), -1)

        labelled = labels.codes >= 0
        quality = expand(np.asarray(detector.label_quality_, dtype=float), np.nan)
        checked = np.full(n_rows, -1) if verified is None else verified.codes
        result = cls(
            labelled=labelled,
            quality=np.where(labelled, quality, np.nan),
            flagged=expand(np.asarray(detector.label_errors_, dtype=bool), False) & labelled,
            suggested=codes(detector.suggested_labels_),
            corrected=codes(detector.corrected_labels_),
            noise_rate=float(detector.noise_rate_),
            interval=detector.noise_rate_interval_,
            reliability=detector.reliability_,
            reason=detector.reliability_reason_,
            to_verify=rows[detector.suggest_verification(N_TO_VERIFY, random_state=0)],
            verified=checked >= 0,
            refuted=(checked >= 0) & labelled & (checked != labels.codes),
            notes=notes,
            given=labels.codes,
            precision=flag_precision(detector, (checked >= 0)[rows]),
        )
        result._note_flag_rates(labels)
        return result

    @property
    def changed(self) -> np.ndarray:
        """Labels that the corrected ones differ from."""
        return self.labelled & (self.corrected >= 0) & (self.corrected != self.given)

    def corrected_rows(self, labels) -> np.ndarray:
        """Return a row that holds each row's corrected label: itself where nothing changes."""
        rows = np.append(labels.first_rows, -1)[self.corrected]
        same = self.labelled & (self.corrected == self.given) & ~labels.respelled
        return np.where(same, np.arange(len(rows)), rows)

    def _note_flag_rates(self, labels) -> None:
        """Note classes of which so many rows are flagged that the class itself is in doubt."""
        n_classes = len(labels.classes)
        totals = np.bincount(self.given[self.labelled], minlength=n_classes)
        flagged = np.bincount(self.given[self.flagged], minlength=n_classes)
        for code in np.flatnonzero(flagged > MAX_FLAG_RATE * totals):
            self.notes.append(
                f"{percent(flagged[code], totals[code])} of the rows labelled"
                f" {one_line(labels.classes[code])!r} are flagged. A class may look wrong because"
                " it is rare: check some of these rows and name them with --verified"
            )


def make_detector(kind, columns=(), *, n_jobs=None, random_state=0):
    """Make the detector, and what turns a table into its features.

    Parameters
    ----------
    kind : {"ensemble", "forest", "logistic", "boosting"}
        The model behind the scores. The first two take features that are made once, without
        using any label, so that no label leaks into the score of its own row. The other two
        are pipelines, fitted anew in each fold.

    columns : iterable of Column, default=()
        How the columns were read; what the user decided about them is respected.

    n_jobs : int, default=None
        Processes to use.

    random_state : int, default=0
        Seed.

    Returns
    -------
    detector : LabelErrorDetector
        The detector.

    vectorizer : transformer or None
        What makes the features for it; None where the detector takes the table.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from skrub import TableVectorizer, tabular_pipeline

    from skrobust.detection import ConfidentLearning, EnsembleDetector

    settings = {
        "high_cardinality": _text_encoder(random_state),
        "specific_transformers": _specific_transformers(columns, random_state),
    }
    rates = {"max_flag_rate": None, "n_jobs": n_jobs, "random_state": random_state}
    if kind in ("ensemble", "forest"):
        vectorizer = make_pipeline(
            TableVectorizer(**settings), SimpleImputer(strategy="median", add_indicator=True)
        )
        detector = EnsembleDetector if kind == "ensemble" else ConfidentLearning
        return detector(**rates), vectorizer
    if kind == "logistic":
        classifier = LogisticRegression(max_iter=1000)
    else:
        classifier = HistGradientBoostingClassifier(random_state=random_state)
    pipeline = tabular_pipeline(classifier)
    pipeline.set_params(**{f"tablevectorizer__{name}": value for name, value in settings.items()})
    return ConfidentLearning(pipeline, **rates), None


def _text_encoder(random_state):
    from skrub import StringEncoder

    return StringEncoder(random_state=random_state)


def _specific_transformers(columns, random_state) -> list:
    """Return the encoders of columns whose role the user named against the usual one."""
    from sklearn.preprocessing import OneHotEncoder

    text = [column.name for column in columns if column.forced and column.role == "text"]
    category = [column.name for column in columns if column.forced and column.role == "category"]
    found = []
    if text:
        found.append((_text_encoder(random_state), text))
    if category:
        one_hot = OneHotEncoder(
            dtype=np.float32, handle_unknown="infrequent_if_exist", max_categories=100,
            sparse_output=False,
        )  # fmt: skip
        found.append((one_hot, category))
    return found


def fit(options, found: Input) -> tuple:
    """Make the features and fit the detector on the rows that hold data.

    Returns
    -------
    detector : LabelErrorDetector
        The fitted detector.
    rows : ndarray of int
        The rows of the table that it was fitted on.
    notes : list of str
        Warnings that concern the labels.
    """
    from skrobust._cli._columns import feature_frame
    from skrobust.utils._parallel import report_progress

    table, labels, verified, reading = found.table, found.labels, found.verified, found.reading
    rows = np.delete(np.arange(table.n_rows), labels.total_rows)
    given = labels.spelled(labels.codes[rows])
    checked = None
    if verified is not None and (verified.codes >= 0).any():
        checked = labels.spelled(verified.codes[rows])
    X = feature_frame(reading.features, rows)
    detector, vectorizer = make_detector(
        options.estimator,
        reading.features,
        n_jobs=options.n_jobs,
        random_state=options.random_state,
    )
    flagging = _flagging(options, verified, labels)
    if flagging:
        detector.set_params(**flagging)
    with warnings.catch_warnings(record=True) as caught, report_progress(show_progress):
        warnings.simplefilter("always")
        try:
            if vectorizer is not None:
                with phase("making features"):
                    X = np.asarray(vectorizer.fit_transform(X), dtype=np.float32)
                found.vectors = X
            detector.fit(X, given, verified_labels=checked)
        except (ValueError, TypeError) as error:
            # Whatever the checks above let through is still the table's fault, not the user's.
            raise CommandError(f"cannot audit {table.source.title!r}: {error}") from error
    return detector, rows, _notes_of(caught)


def _flagging(options, verified, labels) -> dict:
    """Return the parameters of a detector that set how many labels are flagged."""
    from skrobust.detection import DecoyThreshold, TrustedThreshold

    if options.precision is not None:
        checked = np.array([]) if verified is None else verified.codes
        known = np.flatnonzero((checked >= 0) & (labels.codes >= 0)) if len(checked) else []
        wrong = np.count_nonzero(checked[known] != labels.codes[known]) if len(known) else 0
        if len(known) >= MIN_VERIFIED and 0 < wrong < len(known):
            return {"threshold": TrustedThreshold(precision=options.precision)}
        decoys = DecoyThreshold(precision=options.precision, random_state=options.random_state)
        return {"threshold": decoys}
    chosen = {"threshold": options.threshold, "flag_fraction": options.flag_fraction}
    return {name: value for name, value in chosen.items() if value is not None}


def _notes_of(caught) -> list[str]:
    """Return the warnings about labels; those of other libraries do not concern the user."""
    from skrobust.utils import LabelNoiseWarning

    notes = []
    for warning in caught:
        if issubclass(warning.category, LabelNoiseWarning):
            text = " ".join(str(warning.message).split())
            # Parameters of the library are no options of the command.
            text = re.sub(r",? (?:more|less) than `?\w+=[^ ]+?`?(?=[.,;]? |[.]?$)", "", text)
            notes.append(text)
    return list(dict.fromkeys(notes))
