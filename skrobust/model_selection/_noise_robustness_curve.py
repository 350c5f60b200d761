"""How the score of a model falls as labels go wrong."""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch, check_consistent_length

from skrobust.base._labels import missing_labels
from skrobust.noise import (
    flip_labels,
    flip_labels_grouped,
    flip_labels_instance,
    pair_transition,
    symmetric_transition,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import is_plain_numeric
from skrobust.utils._random import draw_seed, private_random_state, set_missing_random_states
from skrobust.utils._sklearn import Interval, safe_indexing, validate_params
from skrobust.utils._typing import LabelsLike

KINDS = ("symmetric", "pair", "instance", "grouped", "features")
# Mean number of wrong labels in a row, where there are no groups.
_RUN_LENGTH = 10


@fill_docstring
@validate_params(
    {
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "return_models": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def noise_robustness_curve(
    estimator: Any,
    X: Any,
    y: LabelsLike,
    *,
    rates: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4),
    kind: str | Sequence[str] = "symmetric",
    groups: ArrayLike | None = None,
    scoring: str | Callable[..., Any] | None = None,
    n_repeats: int = 3,
    test_size: float = 0.3,
    return_models: bool = False,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Score a classifier on clean rows after training it on more and more label noise.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier
        Cloned and fitted once for each kind, rate and repeat.
    X : array-like of length n_samples
        Input; a numeric table for the kinds "instance" and "features".
    y : array-like of shape (n_samples,)
        Labels that are right, or taken to be.
    rates : sequence of float, default=(0.0, 0.1, 0.2, 0.3, 0.4)
        Shares of training labels that are replaced by wrong ones, in [0, 1).
    kind : str or sequence of str, default="symmetric"
        Kinds of noise:

        - "symmetric": each wrong label is equally likely;
        - "pair": each class is mistaken for the next one;
        - "instance": which labels go wrong, and how, depends linearly on X;
        - "grouped": errors propagate: rows of a group get the same wrong label, or, without
          `groups`, in runs of ten rows in the mean;
        - "features": symmetric label noise, and Gaussian noise on the training features, of a
          standard deviation of the rate times that of each feature.
    groups : array-like of shape (n_samples,), default=None
        Groups for the kind "grouped".
    scoring : str, callable or None, default=None
        Scorer for the clean test rows. None: the `score` method of the estimator.
    n_repeats : int, default=3
        Number of splits into training and test rows, at least 1. All kinds and rates share them.
    test_size : float, default=0.3
        Share of the rows, drawn by class, that is tested on, in (0, 1).
    return_models : bool, default=False
        Whether to return the fitted models.
    %(n_jobs)s
    %(random_state)s

    Returns
    -------
    curve : Bunch
        With the attributes `kinds`, a list of str; `rates`, ndarray of shape (n_rates,); `scores`,
        a dictionary of ndarrays of shape (n_rates, n_repeats) by kind; and, with `return_models`,
        `models`, a dictionary of lists of lists in the same order.

    Raises
    ------
    ValueError
        If a rate or kind is not one of these, labels are missing, or X is no numeric table where
        that is needed.

    See Also
    --------
    skrobust.noise.flip_labels : Makes labels wrong.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skrobust.model_selection import noise_robustness_curve
    >>> X, y = make_blobs(300, centers=[[0, 0], [4, 4]], random_state=0)
    >>> curve = noise_robustness_curve(
    ...     KNeighborsClassifier(1),
    ...     X,
    ...     y,
    ...     rates=[0, 0.3],
    ...     kind=["symmetric", "pair"],
    ...     random_state=0,
    ... )
    >>> curve.kinds, curve.scores["symmetric"].shape
    (['symmetric', 'pair'], (2, 3))
    >>> bool(curve.scores["symmetric"][0].min() > curve.scores["symmetric"][1].max())
    True
    """
    kinds = [kind] if isinstance(kind, str) else list(kind)
    rates = _check_rates(rates)
    unknown = [name for name in kinds if name not in KINDS]
    if unknown or not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(f"kind must be one or more of {', '.join(KINDS)}, got {kind!r}.")
    labels, missing = missing_labels(y)
    check_consistent_length(X, labels)
    if missing.any():
        raise ValueError(f"y has {int(missing.sum())} missing labels: leave these rows out.")
    if {"instance", "features"} & set(kinds) and not is_plain_numeric(X):
        raise ValueError("The kinds 'instance' and 'features' need a numeric table as X.")
    scorer = check_scoring(estimator, scoring=scoring)
    rng = private_random_state(random_state)
    model = clone(estimator)
    set_missing_random_states(model, rng)
    splits = []
    for _ in range(n_repeats):
        train, test = train_test_split(
            np.arange(len(labels)),
            test_size=test_size,
            stratify=labels,
            random_state=draw_seed(rng),
        )
        splits.append((np.sort(train), np.sort(test), draw_seed(rng)))
    calls = [
        delayed(_fit_one)(
            model, X, labels, groups, scorer, name, rate, *split, return_models=return_models
        )
        for name in kinds
        for rate in rates
        for split in splits
    ]
    done = Parallel(n_jobs=n_jobs)(calls)
    shape = (len(kinds), len(rates), n_repeats)
    scores = np.array([score for score, _ in done], dtype=np.float64).reshape(shape)
    curve = Bunch(kinds=kinds, rates=rates, scores=dict(zip(kinds, scores)))
    if return_models:
        models = iter([fitted for _, fitted in done])
        curve.models = {name: [[next(models) for _ in splits] for _ in rates] for name in kinds}
    return curve


def _check_rates(rates) -> np.ndarray:
    try:
        found = np.asarray(rates, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 1 or not len(found) or not ((found >= 0) & (found < 1)).all():
        raise ValueError(f"rates must be numbers in [0, 1), got {rates!r}.")
    return found


def _fit_one(
    estimator, X, y, groups, scorer, kind, rate, train, test, seed, *, return_models
) -> tuple[float, object]:
    """Fit to noisy training rows, and score on clean ones."""
    X_train = safe_indexing(X, train)
    rows = None if groups is None else safe_indexing(groups, train)
    if rate > 0:
        X_train, given = _add_noise(X_train, y[train], rows, kind, rate, seed)
    else:
        given = y[train]
    fitted = clone(estimator).fit(X_train, given)
    score = scorer(fitted, safe_indexing(X, test), y[test])
    return float(score), fitted if return_models else None


def _add_noise(X, y, groups, kind: str, rate: float, seed: int) -> tuple:
    """Input and labels of the training rows, with noise."""
    classes = np.unique(y)
    symmetric = symmetric_transition(len(classes), rate)
    common = {"classes": classes, "random_state": seed}
    if kind == "instance":
        return X, flip_labels_instance(X, y, rate, random_state=seed)[0]
    if kind == "grouped":
        run_length = None
        if groups is None:
            # Runs are at least as long as those of independent errors.
            run_length = max(_RUN_LENGTH, 1 / (1 - rate) + 1)
        return X, flip_labels_grouped(y, groups, symmetric, run_length=run_length, **common)[0]
    if kind == "pair":
        return X, flip_labels(y, pair_transition(len(classes), rate), **common)[0]
    given = flip_labels(y, symmetric, **common)[0]
    if kind == "features":
        noise = np.random.default_rng(seed).normal(size=np.shape(X))
        X = X + rate * np.std(np.asarray(X, dtype=np.float64), axis=0) * noise
    return X, given
