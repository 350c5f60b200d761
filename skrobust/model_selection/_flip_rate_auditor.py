"""An audit of how often labels are wrong, by rows drawn at random and verified."""

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from skrobust.base._labels import encode_labels, encode_labels_like, refuse_mask
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state
from skrobust.utils._typing import LabelsLike

# Beforehand, as if so many rows of a cell had been verified, with these shares of wrong labels.
_PRIOR_ROWS = 2.0
_PRIOR_AGREE, _PRIOR_DISAGREE = 0.1, 0.5


@fill_docstring
class FlipRateAuditor:
    """Audit of the rates at which labels go wrong, in both directions, with intervals.

    Rows are drawn at random within cells of given and predicted label, more often where labels are
    more uncertain (Neyman allocation), verified by a reviewer, and handed back. The rates are
    weighted by the sizes of the cells, so that they hold for all rows whatever the draw.

    .. versionadded:: 0.1

    Parameters
    ----------
    strata : {"predicted"} or None, default="predicted"
        "predicted": cells of given and predicted label, where `fit` is given predictions. None:
        cells of given labels only.
    confidence_level : float, default=0.95
        How often each interval is meant to hold its rate, in (0, 1).
    decay : float, default=1.0
        Factor in (0, 1] by which the weight of all earlier verified labels is multiplied in each
        call of ``partial_fit``, for streams in which the rates may drift.
    %(random_state)s

    Attributes
    ----------
    %(classes_)s
    flip_rates_ : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows). NaN for a class of
        which no verified row is.
    flip_rate_intervals_ : ndarray of shape (2, n_classes, n_classes)
        Lower and upper ends of their intervals.
    error_rates_ : ndarray of shape (n_classes,)
        Share of wrong labels among the rows given each class: the other direction.
    noise_rate_ : float
        Share of wrong labels among all rows.
    noise_rate_interval_ : tuple of float
        Its interval.
    verified_labels_ : ndarray of shape (n_samples,) of object
        All verified labels; None where not verified.
    verified_weight_ : ndarray of shape (n_samples,)
        Inverse of the share of its cell that is verified, for
        :func:`~skrobust.metrics.noise_corrected_score`; 0 where not verified.

    See Also
    --------
    ReviewBudgetAllocator : Which rows to verify to find most errors, or to measure a score.
    skrobust.noise.TrustedTransition : Estimates the matrix from verified rows and a model.

    Notes
    -----
    Intervals are those of Wilson for the number of independent rows that would have the same
    variance as the stratified estimate.

    References
    ----------
    Neyman (1934). On the two different aspects of the representative method. Journal of the Royal
    Statistical Society 97.

    Korn and Graubard (1998). Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data. Survey Methodology 24.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.model_selection import FlipRateAuditor
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(2, size=2000)
    >>> y_given = np.where((rng.random(2000) < 0.2) & (truth == 1), 0, truth)
    >>> y_pred = np.where(rng.random(2000) < 0.9, truth, 1 - truth)
    >>> auditor = FlipRateAuditor(random_state=0).fit(y_given, y_pred)
    >>> rows = auditor.draw(150)
    >>> auditor.partial_fit(rows, truth[rows]).flip_rates_[0].tolist()
    [1.0, 0.0]
    >>> low, high = auditor.flip_rate_intervals_[:, 1, 0]
    >>> bool(low < 0.2 < high)
    True
    """

    flip_rates_: np.ndarray
    error_rates_: np.ndarray
    noise_rate_: float
    noise_rate_interval_: tuple[float, ...]
    verified_weight_: np.ndarray

    def __init__(
        self,
        *,
        strata: str | None = "predicted",
        confidence_level: float = 0.95,
        decay: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.strata = strata
        self.confidence_level = confidence_level
        self.decay = decay
        self.random_state = random_state

    def __repr__(self) -> str:
        return f"FlipRateAuditor(strata={self.strata!r})"

    def fit(self, y: LabelsLike, y_pred: ArrayLike | None = None) -> "FlipRateAuditor":
        """Begin an audit.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Given labels, none missing.
        y_pred : array-like of shape (n_samples,), default=None
            Out-of-sample predictions, for ``strata="predicted"``. None: cells of given labels.

        Returns
        -------
        self : FlipRateAuditor
            Without verified labels.
        """
        self._check_parameters()
        codes, classes = encode_labels(y)
        if not len(codes) or (codes < 0).any():
            raise ValueError("y must have labels, and none that is missing.")
        cells = codes
        agree = np.zeros(len(codes), dtype=bool)
        if self.strata == "predicted" and y_pred is not None:
            predicted = encode_labels_like(y_pred, classes, name="y_pred")
            if len(predicted) != len(codes) or (predicted < 0).any():
                raise ValueError(
                    f"y_pred must have a prediction for each of the {len(codes)} rows."
                )
            cells = codes * len(classes) + predicted
            agree = predicted == codes
        self.classes_ = classes
        self._codes = codes
        _, self._cells = np.unique(cells, return_inverse=True)
        self._sizes = np.bincount(self._cells).astype(np.float64)
        first = np.unique(self._cells, return_index=True)[1]
        self._cell_given = codes[first]
        self._cell_prior = np.where(agree[first], _PRIOR_AGREE, _PRIOR_DISAGREE)
        if cells is codes:
            self._cell_prior[:] = _PRIOR_AGREE
        self._verified = np.full(len(codes), -1)
        self._weight = np.zeros(len(codes))
        self._drawn = np.zeros(len(codes), dtype=bool)
        self._rng = private_random_state(self.random_state)
        return self

    def draw(self, n_rows: int) -> np.ndarray:
        """Draw rows to verify next.

        Parameters
        ----------
        n_rows : int
            Number of rows, at least 1; fewer are returned if there are not so many.

        Returns
        -------
        rows : ndarray of shape (n_drawn,)
            Positions of rows that were not drawn before, in ascending order.
        """
        self._check_fitted()
        if not isinstance(n_rows, Integral) or isinstance(n_rows, bool) or n_rows < 1:
            raise ValueError(f"n_rows must be an integer of at least 1, got {n_rows!r}.")
        left = np.bincount(self._cells[~self._drawn], minlength=len(self._sizes))
        taken = np.bincount(self._cells[self._drawn], minlength=len(self._sizes))
        counts = _allocate(int(n_rows), self._sizes * self._deviation(), taken, left)
        rows = []
        for cell in np.flatnonzero(counts):
            open_rows = np.flatnonzero((self._cells == cell) & ~self._drawn)
            rows.append(self._rng.choice(open_rows, counts[cell], replace=False))
        rows = np.sort(np.concatenate(rows)) if rows else np.empty(0, dtype=np.intp)
        self._drawn[rows] = True
        return rows

    def partial_fit(self, rows: ArrayLike, verified_labels: LabelsLike) -> "FlipRateAuditor":
        """Learn what the true labels of drawn rows are.

        Parameters
        ----------
        rows : array-like of shape (n_rows,) of int
            Positions of rows that ``draw`` returned; not all of them need be verified at once.
        verified_labels : array-like of shape (n_rows,)
            Their labels as checked by a reviewer, of the known classes.

        Returns
        -------
        self : FlipRateAuditor
            With new rates.

        Raises
        ------
        ValueError
            If a row was not drawn, is verified with two different labels, or its label is unknown
            or missing.
        """
        self._check_fitted()
        rows = np.asarray(rows)
        refuse_mask(verified_labels, self.classes_.dtype.kind == "b")
        labels = encode_labels_like(verified_labels, self.classes_, name="verified_labels")
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or len(rows) != len(labels):
            raise ValueError(
                f"rows must be as many row numbers as there are verified_labels ({len(labels)})."
            )
        if (labels < 0).any():
            raise ValueError("verified_labels has missing entries: leave these rows out.")
        inside = (rows >= 0) & (rows < len(self._codes))
        strange = rows[~inside] if not inside.all() else rows[~self._drawn[rows]]
        if len(strange):
            raise ValueError(
                f"Row {int(strange[0])} was not drawn by this audit: rows that were chosen"
                " otherwise would bias the rates. Verify the rows that draw() returns."
            )
        verified_codes = self._verified.copy()
        for row, label in zip(rows.tolist(), labels.tolist()):
            if verified_codes[row] >= 0 and verified_codes[row] != label:
                first, second = self.classes_[[verified_codes[row], label]].tolist()
                raise ValueError(
                    f"Row {row} has two different verified labels, {first!r} and {second!r}."
                )
            verified_codes[row] = label
        new = (verified_codes >= 0) & (self._verified < 0)
        self._verified = verified_codes
        self._weight *= self.decay
        self._weight[new] = 1.0
        self._update()
        return self

    def rows_needed_for(self, width: float) -> int:
        """Number of further rows after which the interval of `noise_rate_` has this width.

        Parameters
        ----------
        width : float
            Width of the interval, in (0, 1).

        Returns
        -------
        n_rows : int
            Expected number, with optimal allocation and the rates as known now; at most the number
            of rows that are not verified.
        """
        self._check_fitted()
        if not isinstance(width, Real) or not 0 < width < 1:
            raise ValueError(f"width must be a number in (0, 1), got {width!r}.")
        share, deviation = self._sizes / self._sizes.sum(), self._deviation()
        goal = (width / (2 * self._quantile)) ** 2
        finite = share @ deviation**2 / self._sizes.sum()
        needed = int(np.ceil((share @ deviation) ** 2 / (goal + finite)))
        verified = int(np.count_nonzero(self._verified >= 0))
        return int(min(max(needed - verified, 0), len(self._codes) - verified))

    @property
    def _quantile(self) -> float:
        return float(ndtri((1 + self.confidence_level) / 2))

    def _check_parameters(self) -> None:
        if self.strata not in ("predicted", None):
            raise ValueError(f"strata must be 'predicted' or None, got {self.strata!r}.")
        for name, closed in (("confidence_level", False), ("decay", True)):
            value = getattr(self, name)
            good = isinstance(value, Real) and (0 < value < 1 or (closed and value == 1))
            if not good:
                raise ValueError(
                    f"{name} must be a number in (0, 1{']' if closed else ')'}, got {value!r}."
                )

    def _check_fitted(self) -> None:
        if not hasattr(self, "_codes"):
            raise ValueError("This audit has no rows yet: call fit(y, y_pred) first.")

    def _counts(self) -> np.ndarray:
        """Weight of verified labels by cell (rows) and true class (columns)."""
        known = np.flatnonzero(self._verified >= 0)
        n_classes = len(self.classes_)
        flat = self._cells[known] * n_classes + self._verified[known]
        counts = np.bincount(
            flat, weights=self._weight[known], minlength=len(self._sizes) * n_classes
        )
        return counts.reshape(-1, n_classes)

    def _deviation(self) -> np.ndarray:
        """Standard deviation of being wrong in each cell, as far as is known."""
        counts = self._counts()
        total = counts.sum(axis=1)
        wrong = total - counts[np.arange(len(counts)), self._cell_given]
        rate = (wrong + _PRIOR_ROWS * self._cell_prior) / (total + _PRIOR_ROWS)
        return np.sqrt(rate * (1 - rate))

    def _update(self) -> None:
        """Set the fitted attributes."""
        counts, sizes = self._counts(), self._sizes
        n_classes = len(self.classes_)
        total = counts.sum(axis=1)
        # A cell without verified labels is assumed to be as the others of its given label.
        pooled = np.zeros((n_classes, n_classes))
        np.add.at(pooled, self._cell_given, counts)
        for given in np.flatnonzero(pooled.sum(axis=1) == 0):
            pooled[given] = np.nan
        empty = total == 0
        filled = np.where(empty[:, None], pooled[self._cell_given], counts)
        n_rows = np.maximum(filled.sum(axis=1), 1e-12)
        shares = filled / n_rows[:, None]
        # Half a row of each kind keeps the variance of small cells from vanishing.
        smooth = (np.nan_to_num(filled) + 0.5) / (n_rows + 0.5 * n_classes)[:, None]
        smooth = np.where(np.isnan(shares), np.nan, smooth)
        part = sizes / sizes.sum()
        verified = np.bincount(self._cells[self._verified >= 0], minlength=len(sizes))
        finite = np.clip(1 - verified / sizes, 0, 1)
        effective = np.where(empty, 1.0, np.maximum(total, 1e-12))

        joint, smooth_joint = np.zeros((2, n_classes, n_classes))  # true classes in rows
        for cell, given in enumerate(self._cell_given):
            joint[:, given] += part[cell] * shares[cell]
            smooth_joint[:, given] += part[cell] * smooth[cell]
        true, smooth_true = joint.sum(axis=1), smooth_joint.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.flip_rates_ = joint / true[:, None]
            smooth_rates = smooth_joint / smooth_true[:, None]
        intervals = np.full((2, n_classes, n_classes), np.nan)
        for k in range(n_classes):
            for j in range(n_classes):
                rate = self.flip_rates_[k, j]
                if not np.isfinite(rate):
                    continue
                # Linearised: rows of class k count by whether they are given j.
                slope = (self._cell_given == j).astype(float) - rate
                variance = part**2 * finite * smooth[:, k] * (1 - smooth[:, k]) / effective
                variance = float(variance @ slope**2) / smooth_true[k] ** 2
                intervals[:, k, j] = self._wilson(rate, smooth_rates[k, j], variance)
        self.flip_rate_intervals_ = intervals
        right = shares[np.arange(len(sizes)), self._cell_given]
        given_size = np.bincount(self._cell_given, weights=part, minlength=n_classes)
        right_size = np.bincount(self._cell_given, weights=part * right, minlength=n_classes)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.error_rates_ = 1 - right_size / given_size
        self.noise_rate_ = float(np.clip(1 - part @ right, 0, 1))
        smooth_right = smooth[np.arange(len(sizes)), self._cell_given]
        variance = part**2 @ (finite * smooth_right * (1 - smooth_right) / effective)
        smooth_rate = float(1 - part @ smooth_right)
        self.noise_rate_interval_ = self._wilson(self.noise_rate_, smooth_rate, float(variance))
        self._set_verified(verified)

    def _set_verified(self, verified: np.ndarray) -> None:
        known = self._verified >= 0
        labels = np.full(len(self._codes), None, dtype=object)
        labels[known] = list(self.classes_[self._verified[known]])
        self.verified_labels_ = labels
        weight = self._sizes / np.maximum(verified, 1)
        self.verified_weight_ = np.where(known, weight[self._cells], 0.0)

    def _wilson(self, rate: float, smooth: float, variance: float) -> tuple[float, float]:
        """Interval of a rate as precise as that of independent rows with this variance."""
        if not np.isfinite(rate) or not np.isfinite(variance):
            return np.nan, np.nan
        if variance <= 0:  # all rows are verified
            return rate, rate
        z2 = self._quantile**2 * variance / (smooth * (1 - smooth))
        middle = (rate + z2 / 2) / (1 + z2)
        reach = np.sqrt(z2 * rate * (1 - rate) + z2**2 / 4) / (1 + z2)
        return float(max(middle - reach, 0.0)), float(min(middle + reach, 1.0))


def _allocate(n_rows: int, need, taken, left) -> np.ndarray:
    """Rows per cell so that, with those taken, they are in proportion to the need."""
    counts = np.zeros(len(need), dtype=np.intp)
    # One row of each cell first, the neediest first, so that none stays unknown.
    for cell in np.argsort(-need, kind="stable"):
        if taken[cell] == 0 and left[cell] > 0 and counts.sum() < n_rows:
            counts[cell] = 1
    while counts.sum() < n_rows and (counts < left).any():
        have = taken + counts
        ratio = np.where(counts < left, need / (have + 1), -1.0)
        counts[int(ratio.argmax())] += 1
    return counts
