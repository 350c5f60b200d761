"""``skrobust demo``: real label errors found in digits, and a classifier that survives wrong ones.

Both parts run on the digits shipped with the package, in less than a minute on two cores.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skrobust._cli._common import format_table, percent, show_progress
from skrobust.datasets import load_mnist_errors

NOISE_RATE = 0.3
# Below this, a probability counts as this much: a few wrong labels must not decide which evidence
# is better, and a forest may say 0.
SMALLEST_PROBABILITY = 1e-3


def run(options):
    """Run both parts."""
    started = time.perf_counter()
    digits = load_mnist_errors()
    find_errors(digits, n_jobs=options.n_jobs, random_state=options.random_state)
    survive_noise(digits, n_jobs=options.n_jobs, random_state=options.random_state)
    print(f"\nDone in {time.perf_counter() - started:.0f} s.")


def make_evidence(random_state=0):
    """Return the classifiers that may judge the digits, by name.

    None is the default of every detector, a forest whose trees judge the rows they have not seen.
    The other is logistic regression on the products of 50 principal components: it separates
    digits better than a linear model, and being fitted by likelihood, its probabilities mean what
    they say.
    """
    return {
        "out-of-bag forest (the default)": None,
        "logistic regression on products": make_pipeline(
            PCA(50, random_state=random_state),
            PolynomialFeatures(2, include_bias=False),
            StandardScaler(),
            LogisticRegression(C=0.01, max_iter=200),
        ),
    }


def log_loss_of_labels(quality):
    """Return how badly the evidence predicts the given labels; lower is better."""
    quality = quality[~np.isnan(quality)]
    return float(-np.log(np.clip(quality, SMALLEST_PROBABILITY, 1)).mean())


def find_errors(digits, *, n_jobs=None, random_state=0):
    """Rank the digits by the quality of their labels and compare with what people found.

    Which evidence is used is decided by how well it predicts the given labels of rows it has not
    seen. No label checked by a person takes part in the ranking or in that choice.

    Returns
    -------
    found : dict of int to int
        How many of the errors are among the first 50 and the first 100 rows.
    """
    from skrobust.detection import ConfidentLearning

    is_error = digits.is_error == 1
    n_errors = int(is_error.sum())
    print("1. Real label errors")
    print(
        f"   {len(digits.target)} images of the MNIST test set with their published labels. People"
        f" checked\n   {int((digits.is_error >= 0).sum())} of them and found {n_errors} labels to"
        " be wrong. Nothing of that is shown to the detector.\n"
    )
    evidence = make_evidence(random_state)
    # Shuffled: the writers of the second half of this test set are not those of the first.
    folds = StratifiedKFold(5, shuffle=True, random_state=random_state)
    losses, detectors, rows = {}, {}, []
    for name in show_progress(list(evidence), len(evidence), "judging labels"):
        detector = ConfidentLearning(
            evidence[name], cv=folds, n_jobs=n_jobs, random_state=random_state
        )
        detectors[name] = detector.fit(digits.data / 255, digits.target)
        losses[name] = log_loss_of_labels(detector.label_quality_)
        order = np.argsort(detector.label_quality_, kind="stable")
        found = [int(is_error[order[:budget]].sum()) for budget in (50, 100)]
        rows.append((name, f"{losses[name]:.3f}", *(f"{n} of {n_errors}" for n in found)))
    header = ("evidence", "log loss of given labels", "in first 50", "in first 100")
    print(format_table(header, rows, right=(1, 2, 3)))

    best = min(losses, key=losses.get)
    detector = detectors[best]
    order = np.argsort(detector.label_quality_, kind="stable")
    found = {budget: int(is_error[order[:budget]].sum()) for budget in (50, 100)}
    print(
        f"\n   Chosen, because it predicts the given labels best: {best}.\n"
        f"   Among the 50 most suspicious rows are {found[50]} of the {n_errors} errors, among the"
        f" first 100 are {found[100]}.\n\n   The ten most suspicious rows:"
    )
    print(format_table(*_suspects(digits, detector, order[:10]), right=(0, 3)))
    return found


def _suspects(digits, detector, rows):
    header = ("test image", "given", "suggested", "quality", "what people say")
    cells = []
    for row in rows:
        # A detector that does not flag a row suggests the label it has.
        suggestion = int(detector.suggested_labels_[row])
        if digits.is_error[row] < 0:
            verdict = "not checked"
        elif not digits.is_error[row]:
            verdict = "right"
        elif digits.verdict[row] == "correctable":
            verdict = f"wrong, it is {digits.verified_target[row]:.0f}"
        else:
            verdict = "wrong, hard to read"
        cells.append(
            (
                str(digits.index[row]),
                str(digits.target[row]),
                "-" if suggestion == digits.target[row] else str(suggestion),
                f"{detector.label_quality_[row]:.4f}",
                verdict,
            )
        )
    return header, cells


def survive_noise(digits, *, n_jobs=None, random_state=0):
    """Train on labels of which 30 % are wrong, with and without cleaning.

    Returns
    -------
    scores : dict of str to float
        Test accuracy: "plain", "cleaned", "wrong rows dropped", "true labels".
    """
    from skrobust.noise import flip_labels, symmetric_transition
    from skrobust.wrappers import CleaningClassifier

    X_train, X_test, y_train, y_test = train_test_split(
        digits.data / 255,
        digits.target,
        test_size=1500,
        stratify=digits.target,
        random_state=random_state,
    )
    transition = symmetric_transition(10, NOISE_RATE)
    y_noisy, flipped = flip_labels(y_train, transition, random_state=random_state)
    classifier = LogisticRegression(max_iter=200)
    cleaning = CleaningClassifier(
        classifier, action="drop", n_jobs=n_jobs, random_state=random_state
    )
    print("\n2. Learning from wrong labels")
    print(
        f"   Logistic regression on {len(y_train)} digits; {percent(flipped.mean())} of their"
        f" labels were replaced by\n   another digit. Accuracy on {len(y_test)} other digits with"
        " their given labels:\n"
    )
    plans = {
        "plain": (classifier, X_train, y_noisy),
        "cleaned": (cleaning, X_train, y_noisy),
        "wrong rows dropped": (classifier, X_train[~flipped], y_noisy[~flipped]),
        "true labels": (classifier, X_train, y_train),
    }
    scores = {}
    with warnings.catch_warnings():
        # Some fits stop at max_iter, which is early stopping enough for a demonstration.
        warnings.simplefilter("ignore")
        for name in show_progress(list(plans), len(plans), "training"):
            model, X, y = plans[name]
            scores[name] = clone(model).fit(X, y).score(X_test, y_test)
    described = {
        "plain": "trained on all of them",
        "cleaned": 'CleaningClassifier(action="drop"), default detector',
        "wrong rows dropped": "oracle: exactly the wrong rows dropped",
        "true labels": "oracle: trained on the true labels",
    }
    rows = [(described[name], f"{score:.3f}") for name, score in scores.items()]
    print(format_table(("training", "accuracy"), rows, right=(1,)))
    gap = scores["wrong rows dropped"] - scores["plain"]
    closed = scores["cleaned"] - scores["plain"]
    print(
        f"\n   Cleaning closes {percent(closed, gap)} of the gap between plain training and knowing"
        " which rows are wrong."
    )
    return scores
