"""Corrections that hold if there is as little label noise as the data leave plausible."""

import dataclasses

import numpy as np

from skrobust.base import DetectionResult
from skrobust.detection._proba_detector import most_probable
from skrobust.noise._confident_joint import given_proba
from skrobust.noise._label_counts import verified_counts
from skrobust.noise._noise_model import fit_noise_model
from skrobust.noise._noise_rate import estimate_given_noise_rate, estimate_noise_rate


def add_corrections(result: DetectionResult, data, given, pred_proba, order) -> DetectionResult:
    """Add the noise level and corrections to what a detector found, by its probabilities.

    Parameters
    ----------
    result : DetectionResult
        What was found.
    data : LabelledData
        Rows.
    given : ndarray of shape (n_samples,)
        Given labels; -1 for rows without out-of-sample predictions.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities, none NaN.
    order : ndarray of shape (n_classes,), dtype intp
        Classes in the order in which ties are broken.

    Returns
    -------
    result : DetectionResult
        The same with `level`, `given_level` and `corrections`.
    """
    unverified = np.where(data.used & (data.verified < 0), given, -1)
    level = estimate_noise_rate(unverified, pred_proba, data.sample_weight)
    given_level = estimate_given_noise_rate(level, data, given, pred_proba)
    labels, right = careful_labels(level, data, given, pred_proba, order)
    return dataclasses.replace(
        result,
        level=level,
        given_level=given_level,
        corrections=np.where(given >= 0, labels, result.predictions),
        right_proba=right,
    )


def careful_labels(level, data, given, pred_proba, order) -> tuple[np.ndarray, np.ndarray]:
    """Find the most probable labels if there is less noise than estimated.

    Parameters
    ----------
    level : NoiseLevel
        How many labels are wrong.
    data, given, pred_proba, order
        As of :func:`add_corrections`.

    Returns
    -------
    labels : ndarray of shape (n_samples,), dtype intp
        The most probable class of each row.
    right : ndarray of shape (n_samples,)
        Probability of each given label to be right under the estimated noise.
    """
    unverified = np.where(data.used & (data.verified < 0), given, -1)
    channel = fit_noise_model(
        unverified, pred_proba, data.sample_weight, level=level, known=verified_counts(data)
    )
    right = given_proba(np.maximum(given, 0), channel.right_proba(channel.invert(pred_proba)))
    careful = channel.scaled(level.correction_rate / max(level.rate, 1e-12))
    proba = careful.posterior(careful.invert(pred_proba), given)
    return most_probable(proba, order), right
