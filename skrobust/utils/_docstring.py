"""Repeated entries of docstrings, and the decorator that fills them in."""

import re
from collections.abc import Callable
from typing import TypeVar, overload

Documented = TypeVar("Documented", bound=Callable)

# An entry stands alone on its line, as in ``%(random_state)s``. Indented lines below it continue
# its description.
_PLACEHOLDER = re.compile(r"^( *)%\((\w+)\)s$", re.MULTILINE)

ENTRIES = {
    # Data
    "X": """
X : array-like of length n_samples
    Input, passed to the models as it is.""",
    "X_matrix": """
X : {array-like, sparse matrix} of shape (n_samples, n_features)
    Numeric feature matrix.""",
    "y": """
y : array-like of shape (n_samples,)
    Given (observed) labels. None, NaN and blank stand for a missing label.""",
    "y_not_fitted": """
y : array-like of shape (n_samples,)
    Given (observed) labels. Rows whose label is None, NaN or blank are not trained on.""",
    "y_targets": """
y : array-like of shape (n_samples,)
    Given (observed) targets. None and NaN stand for a missing target.""",
    "y_detect": """
y : array-like of shape (n_samples,)
    Labels of these rows; each must have occurred in ``fit``. Missing labels have quality NaN and
    are not flagged.""",
    "pred_proba": """
pred_proba : array-like of shape (n_samples, n_classes)
    Out-of-sample probability of each class; rows sum to 1.""",
    "verified_labels": """
verified_labels : array-like of shape (n_samples,), default=None
    Labels as verified by a reviewer, missing where a row was not reviewed. `y` holds the given
    labels, not overwritten by these.""",
    "verified_targets": """
verified_labels : array-like of shape (n_samples,), default=None
    Targets as verified by a reviewer, missing where a row was not reviewed. `y` holds the given
    targets, not overwritten by these.""",
    "sample_weight": """
sample_weight : array-like of shape (n_samples,), default=None
    Weights >= 0, 0 for rows that are not trained on. An integer weight counts as that number of
    equal rows. Of weights that are not all integers only the ratios matter, save to models that
    depend on the sum of weights. None weights all rows by 1.""",
    "groups": """
groups : array-like of shape (n_samples,), default=None
    Group of each row. Rows of one group share a fold: none is scored by a model that was trained
    on another one.""",
    # Parameters of estimators
    "cv": """
cv : int, splitter or iterable of (train, test), default=5
    Folds of the out-of-fold probabilities. For a number, folds are stratified, equal rows and
    rows of one group share a fold, and the number of folds shrinks to the smallest class that has
    at least two rows.""",
    "cv_detector": """
cv : int, splitter or iterable of (train, test), default=None
    If not None, set as `cv` of the detector.""",
    "n_jobs": """
n_jobs : int, default=None
    Number of parallel jobs, by :mod:`joblib`. None means 1, unless a
    :class:`joblib.parallel_config` is active; -1 uses all processors.""",
    "n_jobs_detector": """
n_jobs : int, default=None
    If not None, set as `n_jobs` of the detector.""",
    "random_state": """
random_state : int, RandomState instance or None, default=None
    Seed of everything that is drawn, and of models that have no seed of their own. None draws
    fresh entropy: NumPy's global generator is neither read nor advanced.""",
    "random_state_detector": """
random_state : int, RandomState instance or None, default=None
    Seed of the detector and of the final model, where they have none of their own. None draws
    fresh entropy: NumPy's global generator is neither read nor advanced.""",
    "threshold": """
threshold : float or threshold object, default=None
    Quality below which a row is flagged, in [0, 1], or an object that chooses it, such as
    :class:`~skrobust.detection.DecoyThreshold`. None flags by the rule of the method.""",
    "flag_fraction": """
flag_fraction : float or dict, default=None
    Share of the rows to flag, in [0, 1): those of the lowest quality, instead of by the rule of
    the method. A dict maps labels to such shares of the rows with each label; no other class is
    flagged. Excludes `threshold`.""",
    "max_flag_rate": """
max_flag_rate : float, default=0.8
    Maximum share of a class that may be flagged before a warning is issued, in [0, 1]. None never
    warns.""",
    "store_estimators": """
store_estimators : bool, default=False
    Whether to keep the fitted models, which ``detect`` and ``score_labels`` need.""",
    "n_bootstrap": """
n_bootstrap : int, default=0
    Number of bootstrap samples of the rows for ``transition_interval_``; 0 computes none, hundreds
    are usual. No model is fitted again.""",
    "confidence_level": """
confidence_level : float, default=0.9
    Coverage of the intervals, in (0, 1).""",
    "fit_params": """
**params : dict
    Further metadata for the inner estimator, where metadata routing is enabled.""",
    # Fitted attributes
    "label_quality_": """
label_quality_ : ndarray of shape (n_samples,)
    Probability-like score that each given label is right, in [0, 1]. NaN where the label is
    missing, or is the only one of its class.""",
    "label_errors_": """
label_errors_ : ndarray of shape (n_samples,) of bool
    Rows whose label is flagged as probably wrong.""",
    "corrected_labels_": """
corrected_labels_ : ndarray of shape (n_samples,)
    Labels after correction. A flagged label is replaced only if another one is more probable
    even at a noise rate below the estimate, two thirds of the way up to it from the lower end of
    `noise_rate_interval_`, and none where that end is 0. Other rows keep their given label, and
    rows without a label get the prediction.""",
    "keep_weight_": """
keep_weight_ : ndarray of shape (n_samples,)
    Weight of the rows that are kept; 0 for flagged and unlabelled rows.""",
    "sample_indices_": """
sample_indices_ : ndarray of shape (n_kept,)
    Indices of the rows that are kept.""",
    "noise_rate_": """
noise_rate_ : float
    Estimated share of wrong labels, in [0, 1].""",
    "noise_rate_interval_": """
noise_rate_interval_ : tuple of float
    Plausible interval of `noise_rate_`. The lower end is estimated from the disagreement among
    confident rows; the upper end counts every disagreement with the prediction as an error.""",
    "reliability_": """
reliability_ : {"good", "limited", "cannot tell"}
    Whether wrong labels can be distinguished from overlap of the classes.""",
    "reliability_reason_": """
reliability_reason_ : str
    Reason for `reliability_`, with its numbers.""",
    "transition_matrix_": """
transition_matrix_ : ndarray of shape (n_classes, n_classes)
    Estimated probability of each given label (columns) for each true class (rows).""",
    "class_prior_": """
class_prior_ : ndarray of shape (n_classes,)
    Estimated share of each true class.""",
    "threshold_": """
threshold_ : float or None
    Threshold of `label_quality_`; None where no threshold of it alone determines the flags.""",
    "classes_": """
classes_ : ndarray of shape (n_classes,)
    Class labels, sorted.""",
    "estimators_": """
estimators_ : list of classifiers
    Fitted models, if ``store_estimators=True``.""",
    "features_in": """
n_features_in_ : int
    Number of features seen during ``fit``, where X has a fixed number.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features seen during ``fit``, where all are strings.""",
    # Losses and plots
    "reduction": """
reduction : {"mean", "sum", "none"}, default="mean"
    Reduction over the rows; see :class:`RobustLoss`.""",
    "ax": """
ax : matplotlib Axes, default=None
    Axes to draw on. None creates a figure.""",
    "ax_no_pyplot": """
ax : matplotlib Axes, default=None
    Axes to draw on. None creates a figure that is not registered with pyplot.""",
    "plot_params": """
**plot_params : dict
    Parameters of :meth:`plot`.""",
    # What comes back
    "returns_self": """
self : object
    The fitted estimator.""",
    "returns_labels": """
y_pred : ndarray of shape (n_samples,)
    Predicted labels.""",
    "returns_targets": """
y_pred : ndarray of shape (n_samples,)
    Predicted targets.""",
    "returns_proba": """
proba : ndarray of shape (n_samples, n_classes)
    Probabilities, columns in the order of ``classes_``.""",
}

# Names for several entries: how many labels are flagged, and what a detector estimates besides
# their quality and the flags.
_GROUPS = {
    "how_many": ("threshold", "flag_fraction", "max_flag_rate"),
    "detected": (
        "corrected_labels_",
        "keep_weight_",
        "sample_indices_",
        "noise_rate_",
        "noise_rate_interval_",
        "reliability_",
        "reliability_reason_",
        "threshold_",
        "classes_",
        "features_in",
    ),
}
ENTRIES.update(
    {group: "\n".join(ENTRIES[name].strip() for name in names) for group, names in _GROUPS.items()}
)


@overload
def fill_docstring(documented: Documented, /, **entries: str) -> Documented: ...
@overload
def fill_docstring(
    documented: None = None, /, **entries: str
) -> Callable[[Documented], Documented]: ...
def fill_docstring(documented=None, /, **entries):
    """Replace ``%(name)s`` in the docstring of a function, or of a class and its methods."""
    if documented is None:
        return lambda later: fill_docstring(later, **entries)
    # With ``python -OO`` there are no docstrings.
    known = ENTRIES | entries if entries else ENTRIES
    members = vars(documented).values() if isinstance(documented, type) else ()
    for found in (documented, *members):
        # Behind a classmethod, a staticmethod or scikit-learn's ``available_if``.
        found = getattr(found, "__func__", None) or getattr(found, "fn", None) or found
        if found is documented or callable(found) or isinstance(found, property):
            _fill(found, known, documented)
    return documented


def _fill(found, known: dict[str, str], owner) -> None:
    """Fill the docstring of one object, if it has placeholders."""
    text = found.__doc__
    if not isinstance(text, str) or "%(" not in text:
        return

    def entry_of(match: re.Match) -> str:
        indent, key = match.groups()
        if key not in known:
            raise KeyError(
                f"The docstring of {owner.__qualname__} asks for {key!r}; known are"
                f" {sorted(known)}."
            )
        lines = known[key].strip().split("\n")
        return "\n".join(f"{indent}{line}" if line else "" for line in lines)

    found.__doc__ = _PLACEHOLDER.sub(entry_of, text)
