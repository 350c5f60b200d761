"""Estimators that stand in for others in tests.

Some cannot be fitted to X and y alone: the common checks know nothing of verified labels, without
which they refuse to work. Where a check gives none, a stand-in verifies some of the rows, and then
is the estimator itself. Others are models that count how often they are fitted.
"""

import numpy as np
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.validation import has_fit_parameter

from skrobust.base import LabelledData
from skrobust.base._labelled_data import decode_labels
from skrobust.noise import TrustedTransition
from skrobust.utils._input import as_numbers, is_numeric, row_hashes
from skrobust.weighting import TrustedReweighter


class VerifyingReweighter(TrustedReweighter):
    """Verifies a few rows, since wrong labels that are corrected weigh as much as right ones."""

    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        if verified_labels is None:
            verified_labels = _verify(X, y, sample_weight, one_in=6)
        return super().fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight)


class VerifyingTransition(TrustedTransition):
    """Verifies rows by a model that is right about them in the data of the checks."""

    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        if verified_labels is None:
            verified_labels = _verify(X, y, sample_weight)
        return super().fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight)


def _verify(X, y, sample_weight, one_in=3):
    """Verify rows that are chosen by their content, so that their order does not matter."""
    try:
        data = LabelledData.from_arrays(X, y, sample_weight=sample_weight)
    except (TypeError, ValueError):
        return None  # fit refuses it in its own words
    if not is_numeric(data.X):
        return y
    rows = as_numbers(data.X, np.float64)
    rows = rows.toarray() if hasattr(rows, "toarray") else rows
    rows = np.nan_to_num(rows, posinf=0, neginf=0)
    weight = None if data.sample_weight is None else data.sample_weight[data.used]
    model = GaussianNB().fit(rows[data.used], data.y[data.used], sample_weight=weight)
    looked = data.used & (row_hashes(data.X) % np.uint64(one_in) == 0)
    if not looked.any():
        looked[np.flatnonzero(data.used)[0]] = True
    return decode_labels(np.where(looked, model.predict(rows), -1), data.classes)


def counted(model):
    """Make a model that is like another one, and that counts its fits and those of its clones.

    Parameters
    ----------
    model : estimator object
        What it should be like. Its ``fit`` takes `sample_weight`, or only `X` and `y`.

    Returns
    -------
    model : estimator object
        Of a class of the same name, which is a subclass.
    fits : list
        The number of rows of each fit so far.
    """
    cls, fits = type(model), []

    def fit_weighed(self, X, y, sample_weight=None):
        fits.append(len(y))
        return cls.fit(self, X, y, sample_weight=sample_weight)

    def fit(self, X, y):
        fits.append(len(y))
        return cls.fit(self, X, y)

    takes_weight = has_fit_parameter(model, "sample_weight")
    counting = type(cls.__name__, (cls,), {"fit": fit_weighed if takes_weight else fit})
    return counting(**model.get_params(deep=False)), fits
