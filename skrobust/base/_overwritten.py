"""Verified rows whose given label was replaced by the verified one before the fit."""

import numpy as np

from skrobust.utils._warnings import warn_user

# So improbable must it be that no verified label is wrong, if as many are as among the others.
_IMPROBABLE = 0.01
# By so many standard errors must models be less surprised by verified labels: 2.3 %, one-sided.
_N_ERRORS = 2.0
_SMALLEST_PROBA = 0.02


def label_surprise(codes: np.ndarray, pred_proba: np.ndarray) -> np.ndarray:
    """Negative logarithm of the probability of each given label; NaN where there is neither."""
    own = pred_proba[np.arange(len(codes)), codes]
    return np.where(codes >= 0, -np.log(own + _SMALLEST_PROBA), np.nan)


def labels_look_overwritten(data, surprise: np.ndarray, noise_rate: float) -> bool:
    """Whether given labels of verified rows were replaced by the verified ones."""
    counted = data.used & data.given & ~np.isnan(surprise)
    checked, others = counted & data.checked, counted & ~data.checked
    if data.known_errors.any() or not checked.any() or not others.any():
        return False
    totals = data.total_weight(checked), data.total_weight(others)
    if (1 - noise_rate) ** totals[0] > _IMPROBABLE:
        return False
    weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    means = [np.average(surprise[rows], weights=weight[rows]) for rows in (checked, others)]
    centre = np.average(surprise[counted], weights=weight[counted])
    variance = np.average((surprise[counted] - centre) ** 2, weights=weight[counted])
    error = np.sqrt(variance * sum(1 / total for total in totals))
    return bool(means[1] - means[0] > max(_N_ERRORS * error, 1e-12))


def warn_of_overwritten(data) -> None:
    """Warn the caller of the package that verified rows carry no information about the noise."""
    warn_user(
        f"All {int((data.checked & data.given).sum())} verified_labels are equal to y, while models"
        " disagree with other labels far more often than with these: the labels in y seem to have"
        " been overwritten by the verified ones. Nothing can be learned about wrong labels from"
        " such rows, and they are left out of the estimates of noise. Pass y as it was given"
        " before the check, and the checked labels in verified_labels only."
    )
