"""Synthetic label noise that depends on the features of the row."""

from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import brentq
from scipy.stats import truncnorm
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_consistent_length

from skrobust.base._labels import encode_labels, missing_labels
from skrobust.evidence import out_of_fold_proba
from skrobust.noise._flip import DOCUMENTATION, replace_labels
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import as_numbers, check_numeric
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions, validate_params
from skrobust.utils._typing import LabelsLike

_DEVIATION = 0.1  # standard deviation of the flip probabilities before truncation


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "rate": [Interval(Real, 0, 1, closed="both")],
        "kind": [StrOptions({"linear", "boundary"})],
        "exact": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
@fill_docstring(**DOCUMENTATION)
def flip_labels_instance(
    X: Any,
    y: LabelsLike,
    rate: float,
    *,
    kind: str = "linear",
    exact: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw wrong labels with a probability that depends on the row.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(X_matrix)s
    %(y_true)s
    rate : float
        Expected share of wrong labels, in [0, 1].
    kind : {"linear", "boundary"}, default="linear"
        Dependence on the features:

        - "linear": each row has its own flip probability, drawn from a normal distribution with
          standard deviation 0.1, truncated to [0, 1], whose mean is `rate`. The wrong label is
          drawn by the softmax of the standardised features times a matrix of standard normal
          numbers, one matrix for each true class: similar rows are mistaken for the same class.
        - "boundary": the rows with the smallest out-of-fold margin of a logistic regression on
          the true labels get the most probable wrong label. The noise resembles that of a careful
          annotator, and is hard to distinguish from overlap.
    exact : bool, default=False
        Whether ``round(rate * n)`` of the n labels become wrong, instead of a number drawn. With
        ``kind="boundary"`` they always are.
    random_state : int, RandomState instance or None, default=None
        Seed. None draws fresh entropy. With ``kind="boundary"`` it only breaks ties.

    Returns
    -------
    %(returns_noisy)s

    Raises
    ------
    ValueError
        If `rate` is outside [0, 1], X is not numeric or has missing or infinite values, lengths
        differ, or there are fewer than two classes.

    See Also
    --------
    flip_labels : Noise that depends on the true class only.
    flip_labels_grouped : Noise that rows share.

    References
    ----------
    Xia, Liu, Han, Wang, Gong, Liu, Niu, Tao and Sugiyama (2020). Part-dependent label noise:
    towards instance-dependent label noise. Advances in Neural Information Processing Systems 33.
    The location of the truncated distribution is solved for here; with `rate` for the location,
    10 % of the labels would be wrong for a rate of 5 %.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.noise import flip_labels_instance
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels_instance(X, y, 0.2, exact=True, random_state=0)
    >>> int(flipped.sum())
    30
    >>> y_noisy, flipped = flip_labels_instance(X, y, 0.04, kind="boundary")
    >>> sorted(set(y[flipped].tolist()))  # setosa is far from the others
    [1, 2]
    """
    check_numeric(X, "Encode X first, for instance with OneHotEncoder or TfidfVectorizer.")
    X = as_numbers(X, np.float64)
    if not np.isfinite(X.data if sparse.issparse(X) else X).all():
        raise ValueError("X has NaN or infinite values; impute them first.")
    values, missing = missing_labels(y)
    codes, classes = encode_labels(y)
    check_consistent_length(X, codes)
    if len(classes) < 2:
        raise ValueError(f"y needs labels of at least two classes, got {len(classes)} class.")
    rng = private_random_state(random_state)
    rows = np.flatnonzero(~missing)
    n_flips = round(rate * len(rows))
    noisy = codes.copy()
    if kind == "boundary":
        flips, wrong = _flip_hardest(X[rows], codes[rows], n_flips, rng)
    else:
        excess = _draw_probabilities(rate, len(rows), rng) - rng.random_sample(len(rows))
        flips = np.argsort(-excess)[:n_flips] if exact else np.flatnonzero(excess > 0)
        wrong = _draw_classes(X[rows], codes[rows], len(classes), rng)[flips]
    noisy[rows[flips]] = wrong
    return replace_labels(values, missing, classes, codes, noisy)


def _draw_probabilities(rate: float, n_samples: int, rng: np.random.RandomState) -> np.ndarray:
    """Draw the flip probability of each row; `rate` on average."""
    if rate in (0, 1):
        return np.full(n_samples, float(rate))
    if rate > 0.5:  # the lower tail is the one that is accurate
        return 1 - _draw_probabilities(1 - rate, n_samples, rng)
    if rate < _DEVIATION / 20:
        # The far tail of a normal distribution: exponential, and too far out for its formulas.
        return np.minimum(rng.exponential(rate, n_samples), 1)

    def distribution(location: float) -> Any:
        low, high = -location / _DEVIATION, (1 - location) / _DEVIATION
        return truncnorm(low, high, loc=location, scale=_DEVIATION)

    # The mean of the tail below `location` is at most _DEVIATION**2 / -location.
    lowest = -(_DEVIATION**2) / rate
    location = brentq(lambda place: distribution(place).mean() - rate, lowest, 0.5 + 1e-9)
    return distribution(location).rvs(n_samples, random_state=rng)


def _draw_classes(
    X: Any, codes: np.ndarray, n_classes: int, rng: np.random.RandomState
) -> np.ndarray:
    """Draw a wrong class for each row, by a random linear model for each true class."""
    scaler = StandardScaler(with_mean=False).fit(X)
    means = np.asarray(X.mean(axis=0)).ravel()
    wrong = np.empty(len(codes), dtype=np.intp)
    for k in range(n_classes):
        some = np.flatnonzero(codes == k)
        weights = rng.standard_normal((X.shape[1], n_classes)) / scaler.scale_[:, None]
        # A sparse X stays sparse: centring subtracts the same from all rows.
        scores = X[some] @ weights - means @ weights
        scores[:, k] = -np.inf
        wrong[some] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return wrong


def _flip_hardest(
    X: Any, codes: np.ndarray, n_flips: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the rows of the lowest margins, and the runner-up class of each."""
    model = make_pipeline(
        StandardScaler(with_mean=not sparse.issparse(X)), LogisticRegression(max_iter=2000)
    )
    proba = out_of_fold_proba(model, X, codes)
    # The only row of its class has no prediction: it is the last to become wrong.
    own = np.nan_to_num(proba[np.arange(len(codes)), codes], nan=1.0)
    proba = np.nan_to_num(proba, nan=0.0)
    proba[np.arange(len(codes)), codes] = -1
    margins = own - proba.max(axis=1)
    flips = np.lexsort((rng.permutation(len(codes)), margins))[:n_flips]
    return flips, proba[flips].argmax(axis=1)
