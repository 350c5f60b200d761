"""How labels go wrong, by rows whose true class a person knows."""

import dataclasses

import numpy as np

from skrobust.noise._anchor_transition import anchor_counts
from skrobust.noise._label_counts import symmetric_prior
from skrobust.noise._proba_transition import LabelEvidence, Measured, ProbaTransition

# Share of the surest rows of each predicted class: see AnchorTransition.
_ANCHOR_SHARE = 0.5
# How likely each guess is thought to be beforehand: anchors, probabilities of verified rows,
# symmetric noise. Even a few verified rows tell which of them is far off.
_SHARES = (0.9, 0.05, 0.05)


@dataclasses.dataclass(frozen=True, eq=False)
class GoldEvidence(LabelEvidence):
    """What is known of rows, with what a model says that knows nothing of verified labels.

    Attributes
    ----------
    given_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities of given labels; NaN where there are none.
    """

    given_proba: np.ndarray | None = None


class TrustedTransition(ProbaTransition):
    """Estimate how labels go wrong by verified rows.

    Rows whose true class a person knows tell directly how often each class is given each label,
    and, where they are few, what a classifier of given labels says about them tells more. ``fit``
    needs `verified_labels`.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies the evidence, cloned. It is fitted twice as often as elsewhere: to
        given labels, whose probabilities the gold loss correction needs, and to verified ones
        where there are some, for better anchors.

        - None: the out-of-bag probabilities of 300 extremely randomised trees with at least
          five rows per leaf, from a single fit. Needs a table of numbers.
        - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
        - Any other classifier: its out-of-fold probabilities. X is handed on untouched.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the out-of-fold probabilities. For a number, folds are stratified, equal rows
        share a fold, and folds become fewer where a class is small. Not used with out-of-bag
        probabilities.
    n_bootstrap : int, default=0
        If not 0, so many samples of the rows are drawn with replacement, for
        ``transition_interval_``; hundreds are in order. No model is fitted again.
    n_jobs : int, default=None
        Number of folds, or threads of the forest, at a time.
    random_state : int, RandomState instance or None, default=None
        Seed of samples, and of models, and parts of models, that have none of their own. None
        draws fresh entropy.

    Attributes
    ----------
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    gold_transition_ : ndarray of shape (n_classes, n_classes)
        The estimate of the gold loss correction alone: mean probabilities of given labels of the
        verified rows of each class. A row of NaN where there are none.
    transition_interval_ : ndarray of shape (2, n_classes, n_classes)
        Lower and upper ends of intervals of 95 % for the entries, if `n_bootstrap` is not 0. They
        are about which rows there happen to be, verified or not.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the true classes: of unverified rows, such that the transition makes the given
        ones of them, and of verified rows as they are.
    noise_rate_ : float
        Estimated share of wrong labels.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    AnchorTransition : Needs no verified rows.

    Notes
    -----
    The gold loss correction takes the mean probabilities of given labels, as a classifier foretells
    them, of the verified rows of each class. Where the classifier is unsure which class a row is
    of, these are much more spread than the labels are. Hence they are one guess among three here,
    beside what anchors say, as of :class:`AnchorTransition`, and symmetric noise; and all of them
    only help out how often each class among the verified rows was given each label. The counts are
    multinomial with a Dirichlet prior, whose mean is one of the guesses, and whose weight, in
    rows, is what the counts of all classes bear out. A class with many verified rows goes by its
    own counts, one with few or none by what proves good for the others.

    Where anchors are good, :class:`AnchorTransition` with the same verified rows is as good, and
    fits one model instead of two. Where a classifier can hardly tell the classes apart, this one is
    better.

    Verified rows should be drawn at random, from all rows or within classes. Of rows that were
    chosen because their labels look wrong, more are wrong than of others.

    References
    ----------
    Hendrycks, Mazeika, Wilson and Gimpel (2018). Using trusted data to train deep networks on
    labels corrupted by severe noise. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import TrustedTransition, flip_labels
    >>> X, y = make_blobs(1000, centers=[[0, 0], [3, 0], [0, 3]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> verified = np.full(1000, np.nan)
    >>> verified[:100] = y[:100]
    >>> estimator = TrustedTransition(random_state=0).fit(X, y_noisy, verified_labels=verified)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.05)
    True
    """

    def __init__(self, estimator=None, *, cv=5, n_bootstrap=0, n_jobs=None, random_state=None):
        self.estimator = estimator
        self.cv = cv
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _estimate(self, data):
        if not (data.used & (data.verified >= 0)).any():
            raise ValueError(
                "TrustedTransition needs verified_labels: the true classes of some rows, and None"
                " or NaN for all others. Without any, use AnchorTransition or another estimator."
            )
        return super()._estimate(data)

    def _look(self, data):
        evidence = super()._look(data)
        nobody = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
        given_proba = self._gather_evidence(nobody).pred_proba
        return GoldEvidence(**vars(evidence), given_proba=given_proba)

    def _measure(self, evidence):
        counts = anchor_counts(evidence, _ANCHOR_SHARE)
        gold = self._gold_mass(evidence)
        with np.errstate(invalid="ignore"):
            attributes = {"gold_transition_": gold / gold.sum(axis=1, keepdims=True)}
        transition = evidence.shrink(counts, [symmetric_prior(counts)])
        return Measured(transition, attributes=attributes)

    def _learn_known(self, evidence, known, transition):
        if not known.any():  # only verified rows of which the given label is not known
            return transition
        symmetric = symmetric_prior(known)
        # A class without verified rows has the rest of its guess only.
        gold = self._gold_mass(evidence) + symmetric
        gold /= gold.sum(axis=1, keepdims=True)
        return evidence.shrink(known, [transition, gold, symmetric], shares=_SHARES)

    def _gold_mass(self, evidence) -> np.ndarray:
        """Sum up the probabilities of given labels of verified rows, by true class."""
        proba = evidence.given_proba
        rows = np.flatnonzero((evidence.verified >= 0) & ~np.isnan(proba[:, 0]))
        proba = proba[rows].astype(np.float64, copy=False)
        if evidence.weight is not None:
            proba = proba * evidence.weight[rows, None]
        mass = np.zeros((evidence.n_classes, evidence.n_classes))
        np.add.at(mass, evidence.verified[rows], proba)
        return mass
