"""Display of the distribution of label quality."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length

from skrobust.base._labelled_data import decode_labels
from skrobust.base._labels import encode_labels
from skrobust.base._pred_proba import match_proba
from skrobust.inspection._plot import (
    COLORS,
    LINES,
    Display,
    check_fitted_with,
    get_axes,
    short_name,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._typing import LabelsLike

# So many other labels of each row are decoys at most.
_MAX_DECOYS = 50


@fill_docstring
class LabelQualityDisplay(Display):
    """Histogram of the quality of labels, per class, with the threshold.

    Where the quality of labels that are known to be wrong (decoys) is given, their histogram shows
    where wrong labels lie. It is recommended to use :meth:`from_estimator` or
    :meth:`from_predictions`.

    .. versionadded:: 0.1

    Parameters
    ----------
    label_quality : array-like of shape (n_samples,)
        Quality of the given labels, in [0, 1]; NaN where there is none.
    y : array-like of shape (n_samples,), default=None
        Given labels, which divide the histogram by class.
    threshold : float, default=None
        Quality below which labels are flagged.
    decoy_quality : array-like of shape (n_decoys,), default=None
        Quality of labels that are wrong for sure; NaN is left out.

    Attributes
    ----------
    bars_ : dict of label to matplotlib StepPatch
        The histogram of each class that is drawn on its own. The key "others" has the
        remaining classes, and without `y` there is only the key "all".
    decoys_ : matplotlib StepPatch or None
        Histogram of the decoys, scaled to the number of rows.
    threshold_ : matplotlib Line2D or None
        Line at the threshold.
    ax_ : matplotlib Axes
        Axes with the histograms.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    skrobust.detection.DecoyThreshold : Chooses a threshold by decoys.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.inspection import LabelQualityDisplay
    >>> quality = np.random.default_rng(0).beta(5, 1, size=200)
    >>> display = LabelQualityDisplay(quality, threshold=0.5).plot()
    >>> display.ax_.get_xlabel()
    'Label quality'
    """

    bars_: dict[Any, Any]
    decoys_: Any
    threshold_: Any
    ax_: Any
    figure_: Any

    def __init__(
        self,
        label_quality: ArrayLike,
        *,
        y: LabelsLike | None = None,
        threshold: float | None = None,
        decoy_quality: ArrayLike | None = None,
    ):
        self.label_quality = label_quality
        self.y = y
        self.threshold = threshold
        self.decoy_quality = decoy_quality

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        y: LabelsLike | None = None,
        *,
        decoy_quality: ArrayLike | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the quality by a fitted detector.

        Parameters
        ----------
        detector : LabelErrorDetector
            Fitted.
        y : array-like of shape (n_samples,), default=None
            Given labels, as in ``fit``. None draws all classes as one.
        decoy_quality : array-like, default=None
            Quality of labels that are wrong for sure.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : LabelQualityDisplay
            The display.
        """
        quality = check_fitted_with(detector, "label_quality_", "pass a fitted detector")
        display = cls(
            quality,
            y=y,
            threshold=getattr(detector, "threshold_", None),
            decoy_quality=decoy_quality,
        )
        return display.plot(ax=ax, **plot_params)

    @classmethod
    def from_predictions(
        cls,
        y: LabelsLike,
        pred_proba: ArrayLike,
        *,
        method: str = "self_confidence",
        threshold: float | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the quality by out-of-sample probabilities, with other labels as decoys.

        With more than 51 classes, 50 other labels of each row are the decoys.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Given labels, none missing.
        pred_proba : array-like of shape (n_samples, n_classes)
            Out-of-sample probabilities.
        method : str, default="self_confidence"
            As of :func:`skrobust.detection.label_quality_scores`.
        threshold : float, default=None
            Quality below which labels are flagged.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : LabelQualityDisplay
            The display.
        """
        from skrobust.detection import label_quality_scores

        codes, proba = match_proba(y, pred_proba)
        n_classes = proba.shape[1]
        quality = label_quality_scores(codes, proba, method=method)
        n_others = min(n_classes - 1, _MAX_DECOYS)
        shifts = np.unique(np.linspace(1, n_classes - 1, n_others).astype(int))
        others = [
            label_quality_scores((codes + shift) % n_classes, proba, method=method)
            for shift in shifts
        ]
        display = cls(quality, y=y, threshold=threshold, decoy_quality=np.concatenate(others))
        return display.plot(ax=ax, **plot_params)

    def plot(self, ax: Any = None, *, bins: int = 20, max_classes: int = 6) -> Self:
        """Draw the histograms.

        Parameters
        ----------
        %(ax_no_pyplot)s
        bins : int, default=20
            Number of bins between 0 and 1.
        max_classes : int, default=6
            Number of classes with a histogram of their own, those of the lowest mean quality.

        Returns
        -------
        display : LabelQualityDisplay
            This display.
        """
        quality = np.asarray(self.label_quality, dtype=float)
        known = ~np.isnan(quality)
        if quality.ndim != 1 or not known.any():
            raise ValueError(
                "label_quality must be a column with at least one number, got shape"
                f" {quality.shape}."
            )
        edges = np.linspace(0, 1, bins + 1)
        parts = self._parts(quality, known, max_classes)
        ax, figure = get_axes(ax)
        self.bars_ = {}
        for number, (name, rows) in enumerate(parts):
            counts, _ = np.histogram(quality[rows], edges)
            self.bars_[name] = ax.stairs(
                counts, edges, color=COLORS[number % len(COLORS)], linewidth=1.6,
                linestyle=LINES[number % len(LINES)],
                label=f"{short_name(name)} ({rows.sum()} rows)",
            )  # fmt: skip
        self.decoys_ = None
        if self.decoy_quality is not None:
            decoys = np.asarray(self.decoy_quality, dtype=float).ravel()
            counts, _ = np.histogram(decoys[~np.isnan(decoys)], edges)
            scale = known.sum() / max(counts.sum(), 1)
            self.decoys_ = ax.stairs(
                counts * scale, edges, fill=True, color="#bbbbbb", alpha=0.6, zorder=0,
                label="wrong labels (decoys), scaled",
            )  # fmt: skip
        self.threshold_ = None
        if self.threshold is not None:
            self.threshold_ = ax.axvline(
                self.threshold,
                color="black",
                linestyle=":",
                label=f"threshold {self.threshold:.3g}",
            )
        ax.set(xlabel="Label quality", ylabel="Rows (logarithmic)", xlim=(0, 1))
        ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(0, 2 * ax.get_ylim()[1])
        ax.yaxis.set_major_formatter("{x:.0f}")
        ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, figure
        return self

    def _parts(self, quality, known, max_classes) -> list:
        """Return names and masks of the rows of each histogram."""
        if self.y is None:
            return [("all", known)]
        check_consistent_length(quality, self.y)
        codes, classes = encode_labels(self.y)
        known = known & (codes >= 0)
        names = decode_labels(np.arange(len(classes)), classes).tolist()
        means = [
            quality[known & (codes == k)].mean() if (known & (codes == k)).any() else np.inf
            for k in range(len(classes))
        ]
        order = np.argsort(means, kind="stable")
        chosen = order if len(order) <= max_classes else order[: max_classes - 1]
        parts = [(names[k], known & (codes == k)) for k in np.sort(chosen)]
        if len(chosen) < len(order):
            parts.append(("others", known & ~np.isin(codes, chosen)))
        return parts
