"""What a detector's method returns, checked, and cuts of the quality per class."""

import numpy as np

from skrobust.utils._labels import encode_labels_like
from skrobust.utils._masses import lowest_mass_cut


def check_judgement(judgement, n_samples: int, n_classes: int, name: str) -> None:
    """Refuse what a detector's method returned, if its parts are not what they must be.

    Parameters
    ----------
    judgement : Judgement
        What was returned.
    n_samples : int
        Number of rows.
    n_classes : int
        Number of classes.
    name : str
        Name of the detector, for the message.

    Raises
    ------
    TypeError
        If flags are no bools.
    ValueError
        If an array has another shape, or the quality is outside of [0, 1].
    """
    quality = np.asarray(judgement.quality)
    _check_shape(quality, (n_samples,), "quality", name)
    if quality.dtype.kind not in "fiub":
        raise TypeError(f"{name} returned a quality of type {quality.dtype}, not of numbers.")
    known = quality[~np.isnan(quality)]
    bad = known[(known < 0) | (known > 1)]
    if len(bad):
        raise ValueError(
            f"{name} returned the quality {bad[0]:.6g}: it must be a number from 0 to 1, or NaN"
            " where the method cannot score the label."
        )
    errors = np.asarray(judgement.errors)
    _check_shape(errors, (n_samples,), "errors", name)
    if errors.dtype != bool:
        raise TypeError(
            f"{name} returned errors of type {errors.dtype}: they must be a mask of bools, True"
            " where the label is flagged, not row numbers or counts."
        )
    for part in ("predictions", "alternatives", "posterior_labels", "corrections"):
        codes = getattr(judgement, part)
        if codes is None:
            continue
        codes = np.asarray(codes)
        _check_shape(codes, (n_samples,), part, name)
        if codes.dtype.kind not in "iu":
            raise TypeError(
                f"{name} returned {part} of type {codes.dtype}: they must be positions in classes."
            )
        if len(codes) and not -1 <= codes.min() <= codes.max() < n_classes:
            raise ValueError(
                f"{name} returned {part} outside of -1 to {n_classes - 1}: they must be positions"
                " in classes, -1 where there is none."
            )
    shapes = {
        "posterior_proba": (n_samples,),
        "right_proba": (n_samples,),
        "alternative_proba": (n_samples,),
        "pred_proba": (n_samples, n_classes),
        "joint": (n_classes, n_classes),
    }
    for part, shape in shapes.items():
        if getattr(judgement, part) is not None:
            _check_shape(np.asarray(getattr(judgement, part)), shape, part, name)
    if judgement.predictions is not None and judgement.alternatives is None:
        raise ValueError(f"{name} returned predictions without alternatives.")


def _check_shape(array: np.ndarray, shape: tuple, part: str, name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} returned {part} of shape {array.shape}, expected {shape}.")


def class_fractions(flag_fraction: dict, classes: np.ndarray) -> np.ndarray:
    """Shares to flag of each class, 0 for those that are not named.

    Parameters
    ----------
    flag_fraction : dict
        Shares in [0, 1) by label.
    classes : ndarray of shape (n_classes,)
        Labels.

    Returns
    -------
    fractions : ndarray of shape (n_classes,)
        Shares.
    """
    fractions = np.zeros(len(classes))
    if not flag_fraction:
        raise ValueError("flag_fraction={} names no class: pass None or shares by label.")
    codes = encode_labels_like(list(flag_fraction), classes, name="flag_fraction")
    for code, (label, share) in zip(codes, flag_fraction.items(), strict=True):
        number = isinstance(share, (int, float, np.number)) and not isinstance(share, bool)
        if not number or not 0 <= share < 1:
            raise ValueError(f"flag_fraction[{label!r}] must be in [0, 1), got {share!r}.")
        fractions[code] = share
    return fractions


def class_cuts(fractions, quality, codes, weight) -> np.ndarray:
    """Find the cut of the quality below which a share of each class lies.

    Parameters
    ----------
    fractions : ndarray of shape (n_classes,)
        Shares of the mass of each class.
    quality : ndarray of shape (n_samples,)
        Qualities, none NaN.
    codes : ndarray of shape (n_samples,)
        Given labels.
    weight : ndarray of shape (n_samples,) or None
        Weights.

    Returns
    -------
    cuts : ndarray of shape (n_classes,)
        What lies below is flagged; 0 where nothing is.
    """
    cuts = np.zeros(len(fractions))
    for k in np.flatnonzero(fractions):
        rows = codes == k
        mass = None if weight is None else weight[rows]
        total = rows.sum() if mass is None else mass.sum()
        cut = lowest_mass_cut(quality[rows], fractions[k] * total, mass)
        cuts[k] = 0.0 if cut == -np.inf else np.nextafter(cut, np.inf)
    return cuts
