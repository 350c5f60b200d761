"""``skrobust demo``: detect label errors in handwritten digits, and train despite label noise.

Both parts run on the digits that the package ships, within 45 seconds on two idle cores. With
``--report``, the digits of lowest label quality become a page for review.
"""

from __future__ import annotations

import copy
import time
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skrobust._cli._common import format_table, percent, show_progress
from skrobust._cli._source import check_report
from skrobust.datasets import load_mnist_errors
from skrobust.utils._parallel import one_blas_thread

NOISE_RATE = 0.3
N_TO_REVIEW = 100


def run(options):
    """Run both parts."""
    started = time.perf_counter()
    if options.report is not None:
        check_report(options.report)
    digits = load_mnist_errors()
    with one_blas_thread:
        find_errors(
            digits,
            n_jobs=options.n_jobs,
            random_state=options.random_state,
            report=options.report,
        )
        train_despite_noise(digits, n_jobs=options.n_jobs, random_state=options.random_state)
    print(f"\nDone in {time.perf_counter() - started:.0f} s.")


def find_errors(digits, *, n_jobs=None, random_state=0, report=None):
    """Rank the digits by the quality of their labels and compare with what annotators found.

    The detector is the default one. It sees no verified label.

    Returns
    -------
    found : dict of int to int
        Number of errors among the 50 and the 100 rows with the lowest quality.
    """
    from skrobust.detection import EnsembleDetector
    from skrobust.utils._parallel import report_progress

    is_error = digits.is_error == 1
    n_errors, n_checked = int(is_error.sum()), int((digits.is_error >= 0).sum())
    print("1. Detect label errors")
    print(
        f"   {len(digits.target)} images of the MNIST test set with their published labels."
        f" Annotators checked {n_checked}\n   of them and found {n_errors} wrong labels."
        " The detector does not see the results of these checks.\n",
        flush=True,
    )
    detector = EnsembleDetector(n_jobs=n_jobs, random_state=random_state)
    with report_progress(show_progress):
        detector.fit(digits.data / 255, digits.target)
    order = np.argsort(detector.label_quality_, kind="stable")
    found = {n_rows: int(is_error[order[:n_rows]].sum()) for n_rows in (50, 100)}
    print(
        f"   EnsembleDetector() flags {int(detector.label_errors_.sum())} labels. Of the"
        f" {n_errors} wrong labels, {found[50]} are among the 50 rows\n   with the lowest label"
        f" quality and {found[100]} among the 100 rows with the lowest.\n\n"
        "   The ten rows with the lowest label quality:"
    )
    print(format_table(*_lowest(digits, detector, order[:10]), right=(0, 3)), flush=True)
    if report is not None:
        path = write_report(report, digits, detector)
        print(
            f"\n   The {N_TO_REVIEW} digits of lowest quality are in {path}: open it in a browser"
            " to review them.\n   The page counts them all as flagged. Save the decisions, and"
            " correct the labels:\n"
            "       y = skrobust.datasets.load_mnist_errors().target\n"
            '       skrobust.inspection.apply_corrections(y, "corrections.csv").labels',
            flush=True,
        )
    return found


def write_report(path, digits, detector):
    """Write a page on which the digits of lowest label quality are reviewed.

    Returns
    -------
    path : Path
        The page.
    """
    from skrobust.inspection import LabelReport

    # A reviewer has time for so many, however few the detector flags.
    reviewed = copy.copy(detector)
    threshold = np.sort(detector.label_quality_)[N_TO_REVIEW - 1]
    reviewed.label_errors_ = detector.label_quality_ <= threshold
    report = LabelReport.from_detector(
        reviewed,
        digits.data / 255,
        digits.target,
        raw=digits.images,
        row_ids=digits.index,
        title=f"The {N_TO_REVIEW} labels of lowest quality in the MNIST test set",
    )
    return report.to_html(path).resolve()


def _lowest(digits, detector, rows):
    """Lay out rows with their given and suggested labels and what annotators found."""
    header = ("test image", "given", "suggested", "quality", "annotators")
    cells = []
    for row in rows:
        suggestion = int(detector.suggested_labels_[row])
        if digits.is_error[row] < 0:
            found = "not checked"
        elif not digits.is_error[row]:
            found = "given label is right"
        elif digits.review_outcome[row] == "correctable":
            found = f"wrong, the digit is {digits.verified_target[row]:.0f}"
        else:
            found = "wrong, the digit is ambiguous"
        cells.append(
            (
                str(digits.index[row]),
                str(digits.target[row]),
                "-" if suggestion == digits.target[row] else str(suggestion),
                f"{detector.label_quality_[row]:.4f}",
                found,
            )
        )
    return header, cells


def train_despite_noise(digits, *, n_jobs=None, random_state=0):
    """Train on labels of which 30 % are wrong, with and without cleaning.

    Returns
    -------
    scores : dict of str to float
        Test accuracy: "plain", "cleaned", "wrong labels dropped", "true labels".
    """
    from skrobust.noise import flip_labels, symmetric_transition
    from skrobust.utils._parallel import report_progress
    from skrobust.wrappers import CleaningClassifier

    X_train, X_test, y_train, y_test = train_test_split(
        digits.data / 255,
        digits.target,
        test_size=2000,
        stratify=digits.target,
        random_state=random_state,
    )
    transition = symmetric_transition(10, NOISE_RATE)
    y_noisy, flipped = flip_labels(y_train, transition, random_state=random_state)
    classifier = LogisticRegression(max_iter=50)
    cleaning = CleaningClassifier(
        classifier, action="relabel", n_jobs=n_jobs, random_state=random_state
    )
    print("\n2. Train despite label noise")
    print(
        f"   Logistic regression on {len(y_train)} digits, of which {percent(flipped.mean())} have"
        f" a wrong label at random. Accuracy\n   on {len(y_test)} other digits:\n",
        flush=True,
    )
    trainings = {
        "plain": (classifier, X_train, y_noisy, "on the noisy labels"),
        "cleaned": (cleaning, X_train, y_noisy, 'CleaningClassifier(action="relabel")'),
        "wrong labels dropped": (
            classifier,
            X_train[~flipped],
            y_noisy[~flipped],
            "oracle: without the rows whose label is wrong",
        ),
        "true labels": (classifier, X_train, y_train, "oracle: on the true labels"),
    }
    scores = {}
    with warnings.catch_warnings(), report_progress(show_progress):
        # Some fits stop at max_iter, which is as good as convergence for a demonstration.
        warnings.simplefilter("ignore")
        for name, (model, X, y, _) in trainings.items():
            scores[name] = clone(model).fit(X, y).score(X_test, y_test)
    rows = [(trainings[name][-1], f"{score:.3f}") for name, score in scores.items()]
    print(format_table(("training", "accuracy"), rows, right=(1,)))
    gap = scores["true labels"] - scores["plain"]
    closed = scores["cleaned"] - scores["plain"]
    print(
        f"\n   Cleaning recovers {percent(closed, gap)} of the accuracy that the wrong labels cost."
    )
    return scores
