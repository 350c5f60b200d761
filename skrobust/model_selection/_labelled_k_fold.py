"""Cross-validation of labels of which some are missing."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils.multiclass import type_of_target

from skrobust.base._labelled_data import check_groups
from skrobust.base._labels import encode_labels
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import safe_indexing
from skrobust.utils._typing import LabelsLike


@fill_docstring
class LabelledKFold(BaseCrossValidator):
    """Stratified k-fold cross-validation for labels of which some are missing.

    Rows without a label are in every training set and in no test set, so that any scorer of
    scikit-learn can be used. The splitters of scikit-learn refuse most such labels, or take the
    missing ones for a class.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to shuffle the rows of each class first.
    %(random_state)s

    See Also
    --------
    sklearn.model_selection.StratifiedKFold : The same for complete labels.
    sklearn.model_selection.StratifiedGroupKFold : Used where ``split`` is given groups.

    Notes
    -----
    The test sets do not cover all rows, so that :func:`~sklearn.model_selection.cross_val_predict`
    cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.model_selection import LabelledKFold
    >>> from skrobust.wrappers import CleaningClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(90, 2))
    >>> y = np.where(X[:, 0] > 0, "yes", "no").astype(object)
    >>> y[1::10] = None
    >>> model = CleaningClassifier(LogisticRegression(), ConfidentLearning(LogisticRegression()))
    >>> scores = cross_val_score(model, X, y, cv=LabelledKFold(3), scoring="balanced_accuracy")
    >>> bool(scores.min() > 0.8)
    True
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : object
            Ignored.
        y : object
            Ignored.
        groups : object
            Ignored.

        Returns
        -------
        n_splits : int
            Number of folds.
        """
        return self.n_splits

    def split(
        self, X: Any, y: LabelsLike, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the row numbers of training and test sets.

        Parameters
        ----------
        X : array-like of length n_samples
            Input; only its length could matter, and that of `y` is the same.
        y : array-like of shape (n_samples,)
            Labels, some perhaps missing: None, NaN, NaT, NA, masked entries or blank text. An
            array of objects must hold text, as scorers of scikit-learn refuse other objects.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are never in both sets, except that rows without a label are always
            trained on.

        Yields
        ------
        train : ndarray of shape (n_train,)
            Rows to train on, in ascending order.
        test : ndarray of shape (n_test,)
            Rows to test on, all of them labelled.

        Raises
        ------
        ValueError
            If `n_splits` is no integer of at least 2, if there are fewer labels than folds, or if
            scorers of scikit-learn would refuse the labels.
        """
        if not isinstance(self.n_splits, Integral) or self.n_splits < 2:
            raise ValueError(f"n_splits must be an integer of at least 2, got {self.n_splits!r}.")
        codes, _ = encode_labels(y)
        labelled = np.flatnonzero(codes >= 0)
        if len(labelled) < self.n_splits:
            raise ValueError(
                f"y has {len(labelled)} labels, too few for n_splits={self.n_splits} folds."
            )
        if type_of_target(safe_indexing(y, labelled)) == "unknown":
            raise ValueError(
                "y is an array of objects that are not text, which scorers of scikit-learn refuse:"
                " pass numbers as numpy.array(y, dtype=float), where None becomes NaN, and other"
                " labels as text."
            )
        unlabelled = np.flatnonzero(codes < 0)
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        inner = kind(
            self.n_splits,
            shuffle=self.shuffle,
            random_state=self.random_state if self.shuffle else None,
        )
        numbers = check_groups(groups, len(codes))
        own_groups = None if numbers is None else numbers[labelled]
        for train, test in inner.split(labelled, codes[labelled], own_groups):
            yield np.sort(np.concatenate([labelled[train], unlabelled])), labelled[test]
