"""Rankings of models on given and on verified labels, and what could reverse them."""

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t
from sklearn.utils import Bunch

from skrobust.metrics._confusion import encode_pairs, resolve_metric
from skrobust.metrics._noise_corrected_score import audited_rows, check_any_verified
from skrobust.metrics._verified_estimate import best_weights, confusion_by_audit
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, validate_params
from skrobust.utils._typing import LabelsLike


def rank_flip_prevalence(
    acc_clean_A: float, acc_wrong_A: float, acc_clean_B: float, acc_wrong_B: float
) -> float:
    """Share of wrong labels at which two models change places.

    The accuracy of a model on a test set is that on its rightly labelled rows and that, against
    the corrected labels, on its wrongly labelled ones, weighted by their shares.

    .. versionadded:: 0.1

    Parameters
    ----------
    acc_clean_A : float
        Accuracy of the first model on rows whose given label is right, in [0, 1].
    acc_wrong_A : float
        Accuracy of the first model on rows whose given label is wrong, against the corrected
        labels, in [0, 1].
    acc_clean_B : float
        Accuracy of the second model on rows whose given label is right.
    acc_wrong_B : float
        Accuracy of the second model on rows whose given label is wrong, against the corrected
        labels.

    Returns
    -------
    prevalence : float
        In [0, 1]; NaN where one model is ahead at every share of wrong labels.

    Raises
    ------
    ValueError
        If an accuracy is not in [0, 1].

    See Also
    --------
    rank_models : The same for several models, with intervals.

    References
    ----------
    Northcutt, Athalye and Mueller (2021). Pervasive label errors in test sets destabilize machine
    learning benchmarks. NeurIPS datasets and benchmarks.

    Examples
    --------
    >>> from skrobust.metrics import rank_flip_prevalence
    >>> round(rank_flip_prevalence(0.80, 0.10, 0.78, 0.28), 3)
    0.1
    """
    names = ("acc_clean_A", "acc_wrong_A", "acc_clean_B", "acc_wrong_B")
    for name, value in zip(names, (acc_clean_A, acc_wrong_A, acc_clean_B, acc_wrong_B)):
        if not np.isscalar(value) or not 0 <= value <= 1:
            raise ValueError(f"{name} must be a number in [0, 1], got {value!r}.")
    gaps = np.array([[acc_clean_A - acc_clean_B, acc_wrong_A - acc_wrong_B]])
    return float(_crossings(gaps)[0])


def _crossings(gaps: np.ndarray) -> np.ndarray:
    """Shares of wrong labels at which gaps on right and on wrong rows cancel; NaN where none."""
    clean, wrong = gaps.T
    with np.errstate(divide="ignore", invalid="ignore"):
        share = clean / (clean - wrong)
    return np.where((share >= 0) & (share <= 1), share, np.nan)


@fill_docstring
@validate_params(
    {
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "n_bootstrap": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def rank_models(
    y_true: ArrayLike,
    predictions: dict[str, ArrayLike] | ArrayLike,
    *,
    verified_labels: LabelsLike,
    verified_weight: ArrayLike | None = None,
    confidence_level: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Rank models by accuracy on given and on verified labels, and compare them in pairs.

    .. versionadded:: 0.1

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Given labels, some of them wrong.
    predictions : dict of array-like of shape (n_samples,), or array-like of shape \
            (n_models, n_samples)
        Predictions of each model, by name or in order.
    verified_labels : array-like of shape (n_samples,)
        Labels as checked by a reviewer, missing where not verified. The rows must have been drawn
        at random, or by known probabilities.
    verified_weight : array-like of shape (n_samples,), default=None
        Inverse of the probability by which each verified row was drawn, up to a factor.
    confidence_level : float, default=0.95
        Level of all intervals, in (0, 1).
    n_bootstrap : int, default=1000
        Samples of the verified rows for the intervals of `flip_prevalence`, at least 2.
    %(random_state)s

    Returns
    -------
    ranking : Bunch
        With the attributes

        - `names`: list of the names of the models, best first by `scores`;
        - `given_scores`, `scores`: their accuracy against the given labels, and against true
          labels as :func:`noise_corrected_score` estimates it from the verified rows;
        - `intervals`: ndarray of shape (n_models, 2), those of `scores`;
        - `given_names`: the names, best first by `given_scores`;
        - `pairs`: list of dictionaries, one for each pair, with "first" (the better one by
          `scores`), "second", "difference" of their scores, "interval" of that, "result" ("first
          is better" or "cannot be told apart"), "flip_prevalence", the share of wrong labels at
          which the two change places (NaN if none), and "flip_interval".

    Raises
    ------
    ValueError
        If fewer than two rows are verified, fewer than two models are given, or predictions are
        missing or of another number than the labels.

    See Also
    --------
    rank_flip_prevalence : The share of wrong labels at which two models change places.
    noise_corrected_score : Other metrics, of a single model.

    Notes
    -----
    Two models do not differ significantly where the interval of their difference holds zero. It is
    much narrower than the intervals of the two scores suggest, since both are measured on the same
    rows: only rows where they disagree count.

    References
    ----------
    Northcutt, Athalye and Mueller (2021). Pervasive label errors in test sets destabilize machine
    learning benchmarks. NeurIPS datasets and benchmarks.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.metrics import rank_models
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(2, size=1000)
    >>> y_given = np.where(rng.random(1000) < 0.8, truth, 1 - truth)
    >>> verified = np.where(rng.random(1000) < 0.3, truth, np.nan)
    >>> accuracy = {"good": 0.95, "equally good": 0.95, "bad": 0.8}
    >>> predictions = {
    ...     name: np.where(rng.random(1000) < p, truth, 1 - truth) for name, p in accuracy.items()
    ... }
    >>> ranking = rank_models(y_given, predictions, verified_labels=verified, random_state=0)
    >>> ranking.names[-1]
    'bad'
    >>> [pair["result"] for pair in ranking.pairs]
    ['cannot be told apart', 'first is better', 'first is better']
    """
    verified_labels = check_any_verified(verified_labels)
    if verified_labels is None:
        raise ValueError("At least two verified rows are needed to rank models, got none.")
    names, columns = _named(predictions)
    encoded = [encode_pairs(y_true, column, more=(verified_labels, *columns)) for column in columns]
    given, classes = encoded[0][0], encoded[0][2]
    accuracy = resolve_metric("accuracy", len(classes))
    audits = [
        audited_rows(given, pred, classes, verified_labels, verified_weight, None, None)
        for _, pred, _ in encoded
    ]
    estimates = [confusion_by_audit(accuracy, audit, confidence_level) for audit in audits]
    scores = np.array([estimate.score for estimate in estimates])
    given_scores = np.array([estimate.noisy_score for estimate in estimates])
    order = np.argsort(-scores, kind="stable")
    draws = _draw_gaps(audits, n_bootstrap, private_random_state(random_state))
    pairs = [
        {
            "first": names[i],
            "second": names[j],
            **_compare(audits[i], audits[j], confidence_level),
            **_flip(draws, i, j, confidence_level),
        }
        for place, i in enumerate(order)
        for j in order[place + 1 :]
    ]
    return Bunch(
        names=[names[k] for k in order],
        scores=scores[order],
        given_scores=given_scores[order],
        intervals=np.array([estimates[k].interval for k in order]),
        given_names=[names[k] for k in np.argsort(-given_scores, kind="stable")],
        pairs=pairs,
    )


def _named(predictions) -> tuple[list, list]:
    if isinstance(predictions, Mapping):
        names, columns = list(predictions), list(predictions.values())
    else:
        columns = list(predictions)
        names = list(range(len(columns)))
    if len(columns) < 2:
        raise ValueError(f"At least two models are needed for a ranking, got {len(columns)}.")
    return names, columns


def _compare(first, second, confidence_level) -> dict:
    """Difference of two accuracies by the difference estimator."""
    rows, others = first.checked, first.others
    pred = np.column_stack([first.pred, second.pred])
    values = _agreement_gap(pred[rows], first.verified[rows])
    proxy = _agreement_gap(pred, first.given)
    weight = first.audit_weight[rows]
    shares = np.bincount(first.verified[rows], weights=weight, minlength=first.n_classes)
    shares /= shares.sum()
    # Squared change, were the label drawn from all labels.
    of_first, of_second = shares[pred[rows, 0]], shares[pred[rows, 1]]
    change = of_first * (1 - values) ** 2 + of_second * (-1 - values) ** 2
    change += np.maximum(1 - of_first - of_second, 0) * values**2
    change[pred[rows, 0] == pred[rows, 1]] = 0
    factors, error = best_weights(
        values,
        proxy[rows, None],
        proxy[others, None],
        weight,
        first.weight[others],
        float(change.mean()),
    )
    difference = float(np.average(values, weights=weight))
    if len(others):
        gap = np.average(proxy[others], weights=first.weight[others])
        difference += float(factors[0]) * float(gap - np.average(proxy[rows], weights=weight))
    reach = error * float(student_t.ppf((1 + confidence_level) / 2, len(rows) - 1))
    apart = abs(difference) > reach
    result = ("first" if difference > 0 else "second") + " is better"
    return {
        "difference": difference,
        "interval": (difference - reach, difference + reach),
        "result": result if apart else "cannot be told apart",
    }


def _agreement_gap(pred, labels) -> np.ndarray:
    """1 where only the first model agrees with the label, -1 where only the second does."""
    agree = pred == labels[:, None]
    return agree[:, 0].astype(np.float64) - agree[:, 1]


def _draw_gaps(audits, n_bootstrap, rng) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies on right and on wrong rows: of all verified rows first, then of samples."""
    first = audits[0]
    rows = first.checked
    correct = np.array([audit.pred[rows] == first.verified[rows] for audit in audits]).T
    wrong = first.given[rows] != first.verified[rows]
    repeats = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=n_bootstrap)
    totals = np.vstack([np.ones(len(rows)), repeats]) * first.audit_weight[rows]
    accuracies = []
    for kind in (~wrong, wrong):
        total = totals[:, kind].sum(axis=1, keepdims=True)
        part = totals[:, kind] @ correct[kind]
        accuracies.append(np.divide(part, total, out=np.full(part.shape, np.nan), where=total > 0))
    return accuracies[0], accuracies[1]


def _flip(draws, i: int, j: int, confidence_level) -> dict:
    clean, wrong = draws
    gaps = np.column_stack([clean[:, i] - clean[:, j], wrong[:, i] - wrong[:, j]])
    shares = _crossings(gaps)
    tail = (1 - confidence_level) / 2
    interval = (np.nan, np.nan)
    if np.isfinite(shares[1:]).any():
        interval = tuple(np.nanquantile(shares[1:], [tail, 1 - tail]).tolist())
    return {"flip_prevalence": float(shares[0]), "flip_interval": interval}
