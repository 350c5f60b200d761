"""Choice of a candidate by several scores, one after the other."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np


def lexicographic_refit(
    scores: Sequence[str], *, tolerance: str | float = "1se", key: Callable[..., Any] | None = None
) -> "LexicographicRefit":
    """Choose by the first score, and among what it does not distinguish by the next one.

    For the parameter `refit` of a search with several scores.

    .. versionadded:: 0.1

    Parameters
    ----------
    scores : sequence of str
        Names of scores in `scoring`, the most important one first.
    tolerance : str or float, default="1se"
        Which candidates a score does not distinguish from its best one: those whose mean is lower
        by at most so much. "1se" is the standard error of the difference over the folds, "2se"
        twice that, and so on; a number is the difference itself, at least 0.
    key : callable, default=None
        Takes the parameters of a candidate, a dictionary, and returns how complex it is; of those
        that no score distinguishes, the simplest is chosen. None: the one with the highest last
        score.

    Returns
    -------
    refit : callable
        Takes `cv_results_` and returns the position of the chosen candidate.

    Raises
    ------
    ValueError
        If `scores` is empty, or `tolerance` is neither such text nor a number of at least 0. The
        callable raises one if a name is not among the scores, if no candidate has finite scores,
        or if standard errors are requested with a single fold.

    See Also
    --------
    make_noise_corrected_scorer : A score that is worth being the second.
    skrobust.metrics.f1_gmean_score : F1 and the geometric mean of the recalls.

    Notes
    -----
    The standard error is that of the *paired* difference: folds are difficult for all candidates
    alike. Scores of few rows of a rare class differ by chance, and more so after a correction for
    label noise, so that the corrected score had better decide only between candidates that the
    noisy score does not distinguish: ``lexicographic_refit(["noisy", "corrected"],
    tolerance="2se")``.

    References
    ----------
    Breiman, Friedman, Olshen and Stone (1984). Classification and regression trees, for the rule of
    one standard error.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skrobust.model_selection import lexicographic_refit
    >>> X, y = make_classification(300, weights=[0.8], random_state=0)
    >>> search = GridSearchCV(
    ...     DecisionTreeClassifier(random_state=0),
    ...     {"max_depth": [1, 2, 3, 4, 5]},
    ...     scoring=["f1", "balanced_accuracy"],
    ...     refit=lexicographic_refit(
    ...         ["f1", "balanced_accuracy"], key=lambda params: params["max_depth"]
    ...     ),
    ... )
    >>> search.fit(X, y).best_params_
    {'max_depth': 2}
    """
    if isinstance(scores, str):
        scores = [scores]
    scores = tuple(scores)
    if not scores or not all(isinstance(name, str) for name in scores):
        raise ValueError(f"scores must be one or more names of scores, got {scores!r}.")
    if key is not None and not callable(key):
        raise ValueError(f"key must be callable or None, got {key!r}.")
    return LexicographicRefit(scores, *_parse(tolerance), key)


def _parse(tolerance) -> tuple[float, bool]:
    """The number, and whether it counts standard errors."""
    if isinstance(tolerance, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)se", tolerance)
        if found:
            return float(found.group(1)), True
    elif isinstance(tolerance, Real) and not isinstance(tolerance, bool) and tolerance >= 0:
        return float(tolerance), False
    raise ValueError(
        f"tolerance must be text such as '1se', or a number of at least 0, got {tolerance!r}."
    )


@dataclasses.dataclass(frozen=True)
class LexicographicRefit:
    """What :func:`lexicographic_refit` returns: a rule that can be pickled.

    Attributes
    ----------
    scores : tuple of str
        Names, the most important one first.
    tolerance : float
        Tolerated difference.
    in_errors : bool
        Whether `tolerance` counts standard errors.
    key : callable or None
        Complexity of parameters.
    """

    scores: tuple[str, ...]
    tolerance: float
    in_errors: bool
    key: Callable | None = None

    def __call__(self, cv_results: Any) -> int:
        """Choose a candidate from `cv_results_`."""
        tables = [_fold_scores(cv_results, name) for name in self.scores]
        left = np.flatnonzero(np.isfinite(np.hstack(tables)).all(axis=1))
        if not len(left):
            raise ValueError(f"No candidate has finite scores {', '.join(self.scores)}.")
        for place, table in enumerate(tables):
            means = table[left].mean(axis=1)
            best = int(means.argmax())
            if place == len(tables) - 1 and self.key is None:
                return int(left[best])
            left = left[self._equal(table[left], best)]
        complexity = [self.key(cv_results["params"][k]) for k in left]
        return int(left[min(range(len(left)), key=complexity.__getitem__)])

    def _equal(self, table, best: int) -> np.ndarray:
        """Candidates that are not worse than the best one by more than the tolerance."""
        gaps = table[best] - table
        tolerance = self.tolerance
        if self.in_errors:
            n_folds = table.shape[1]
            if n_folds < 2:
                raise ValueError(
                    "A standard error needs at least two folds: pass tolerance as a number."
                )
            tolerance = tolerance * gaps.std(axis=1, ddof=1) / np.sqrt(n_folds)
        return gaps.mean(axis=1) <= tolerance + 1e-12


def _fold_scores(cv_results, name: str) -> np.ndarray:
    """Test scores of each candidate (rows) in each fold (columns)."""
    pattern = re.compile(rf"split\d+_test_{re.escape(name)}")
    columns = [key for key in cv_results if pattern.fullmatch(key)]
    if not columns:
        known = sorted({m.group(1) for m in map(_SCORE_NAME.fullmatch, cv_results) if m})
        raise ValueError(
            f"There is no score {name!r} among {', '.join(known)}: name it in `scoring`."
        )
    return np.column_stack([np.asarray(cv_results[key], dtype=np.float64) for key in columns])


_SCORE_NAME = re.compile(r"split0_test_(.*)")
