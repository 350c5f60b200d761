"""Several unlike models judge together, and the noise itself is part of the result."""

import dataclasses
from collections.abc import Iterable
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from skrobust.base import DetectionResult, LabelErrorDetector
from skrobust.base._labels import decode_labels
from skrobust.detection._channel_judge import fit_judge
from skrobust.detection._companions import COMPANIONS, has_preprocessing, pipeline_companions
from skrobust.detection._confident_learning import ConfidentLearning
from skrobust.detection._ensemble_members import NEIGHBORS, default_members, same_container
from skrobust.detection._member_evidence import gather_members
from skrobust.detection._neighbor_vote import NeighborVote
from skrobust.detection._proba_detector import most_probable
from skrobust.detection._rules import RULES, fit_rule
from skrobust.detection._verified_label_model import calibrate_on_verified
from skrobust.evidence._folds import FoldsByContent, row_units
from skrobust.evidence._opinion_pool import pool_weights
from skrobust.evidence._out_of_fold import check_predicts_proba
from skrobust.noise._confident_joint import given_proba, mean_self_confidence
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._rows import check_numeric
from skrobust.utils._sklearn import Interval, StrOptions
from skrobust.utils._weighted_quantiles import lower_threshold
from skrobust.utils._weights import weight_fit_params

_OWN_RULE = "decoys"
_LEAST_WEIGHT = 1e-9
# Models with less weight than this in the first round are not fitted again.
_WORTH_ANOTHER_FIT = 0.01
# What is known of one round, and needed to judge new rows.
_OF_A_ROUND = ("estimators_", "member_predictions_", "weights_")


class EnsembleDetector(LabelErrorDetector):
    """Detect label errors by the joint opinion of unlike models, seen through the noise.

    This is the detector to use when nothing is known about the data, and what the rest of the
    package uses by default. It works in five steps, each from out-of-sample predictions only:

    1. Evidence: several models predict the label of each row without having seen it, forests
       out of bag at the cost of one fit, others out of fold. Models that are smooth are not
       fooled by single wrong labels. The classifier that is to be trained in the end need not
       be among them.
    2. Mixture: models are weighed so that the given labels are as likely as possible. A model
       that adds nothing to what the others say of these data gets no weight.
    3. Noise: the mixture predicts the label *given*, noise included. The surest rows of each
       class tell how often which other label is given instead, and undoing this turns the
       prediction into the probability that the given label is the true one, which is the
       quality.
    4. Cut: every row with every label that the noise could have given it is a decoy, whose
       quality is known without another fit. Comparing decoys and rows tells which part of the
       rows below each cut are errors, and the cut with the best estimated F1 is taken.
    5. Second round: the models are fitted again without the labels that are flagged, and what
       they say of every row is pooled with what is left of the first round's prediction when the
       noise is undone. The cut is taken anew.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimators : list of classifiers with ``predict_proba``, default=None
        The models, cloned. The word "neighbors" stands for a vote of nearest neighbours, as of
        :class:`NeighborVote`, and forests with ``oob_score=True`` are judged out of bag. The word
        "companions" stands for several unlike models, each in the place of the last step of the
        first pipeline in the list: neighbours, a linear model, and forests where what reaches
        them is dense. None
        needs numeric features and takes two forests of extremely randomised trees, each read at
        three leaf sizes, neighbours, and logistic regression; with at least 64 dense columns, as
        of images and embeddings, also quadratic logistic regression, kernel logistic regression
        and quadratic discriminant analysis on principal components; with more than 100 000 rows
        or missing values the forests only. Forests that differ in ``min_samples_leaf`` only are
        grown once.
    weights : {"likelihood", "uniform"} or array-like of shape (n_estimators,), \
            default="likelihood"
        How much each model counts.
    rule : {"decoys", "prune_by_noise_rate", "prune_by_class", "both", "confident_learning", \
            "low_self_confidence", "low_normalized_margin", "predicted_neq_given"}, \
            default="decoys"
        Which rows are flagged: as described above, or by :func:`find_label_errors` on the
        mixture.
    quality_method : {"right_proba", "self_confidence"}, default="right_proba"
        What ``label_quality_`` is: the probability that the given label is the true one, or the
        probability by the mixture that this label is given.
    n_rounds : int, default=2
        How many times evidence is gathered. In the second round and later the models do not
        learn from the labels that were flagged before, of each class at most half, and what they
        say is pooled with what the noise leaves of the first round. Models with a weight below
        0.01 in the first round are left out. 1 takes about half the time.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of models that are not judged out of bag. For a number, folds are stratified and
        depend on the content of rows, not on their order, and each round has others.
    threshold : float or threshold object, default=None
        Flag the rows whose quality is below this, instead of by `rule`.
    flag_fraction : float or dict, default=None
        Flag this share of the rows, those of the lowest quality, instead of by `rule`. A dict has
        such shares by label, of the rows given each, and no other class is flagged.
    max_flag_rate : float, default=0.8
        Warn when more than this share of a class is flagged. None never warns.
    store_estimators : bool, default=False
        Keep the fitted models, for ``detect`` and ``score_labels``.
    n_jobs : int, default=None
        Number of folds, or threads, at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for models that have none of their own. None draws fresh entropy: NumPy's global
        generator is neither read nor advanced.

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]. NaN where the label is missing, or is the only
        one of its class.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose label is probably wrong.
    suggested_labels_ : ndarray of shape (n_samples,)
        The most probable true label; another than the given one in every flagged row.
    corrected_labels_ : ndarray of shape (n_samples,)
        The labels after correction. A flagged label is replaced only if another one is more
        probable even if there is as little noise as the data leave plausible, the lower end of
        `noise_rate_interval_`. The given label of all other rows, and the prediction for rows
        without a label.
    posterior_labels_ : ndarray of shape (n_samples,)
        The most probable true label, the given label being part of what is known, if there is
        somewhat more noise than estimated. Bolder than `corrected_labels_`: for training, not for
        a file.
    posterior_proba_ : ndarray of shape (n_samples,)
        Probability of these labels.
    keep_weight_ : ndarray of shape (n_samples,)
        Weight of the rows that are kept; 0 for flagged and unlabelled rows.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that are kept.
    noise_rate_ : float
        Estimated share of wrong labels.
    noise_rate_interval_ : tuple of float
        Interval of that share: from what the disagreement among certain rows leaves plausible to
        what it is if every disagreement with the prediction is an error. Noise of a pattern that
        models learn, such as labels made by a rule, is not in it.
    reliability_ : {"good", "limited", "cannot tell"}
        Whether wrong labels can be told apart from overlap of the classes.
    reliability_reason_ : str
        What that rests on, in words and numbers.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Estimated probability of each given label (columns) for each true class (rows).
    weights_ : ndarray of shape (n_estimators,)
        How much each model counts, in the first round.
    estimators_ : list
        The models, in the order of `weights_`: not fitted, or, with ``store_estimators=True``,
        the detectors that hold them fitted.
    threshold_ : float or None
        The cut of ``label_quality_``, where there is just one; the rule "decoys" leaves alone
        rows below its cut whose given label is the most probable class all the same.
    member_predictions_ : ndarray of shape (n_samples, n_estimators)
        The class that each model predicts out of sample, in the first round; None where a model has
        no prediction.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    ConfidentLearning : One model, and the rules of confident learning.
    DecoyThreshold : The cut by decoys, for any detector.

    References
    ----------
    Breiman (1996). Stacked regressions. Machine Learning 24.

    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise:
    a loss correction approach. CVPR.

    Elias and Gygi (2007). Target-decoy search strategy for increased confidence in large-scale
    protein identifications by mass spectrometry. Nature Methods 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import EnsembleDetector
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> detector = EnsembleDetector(random_state=0).fit(X, y_noisy)
    >>> bool((detector.label_errors_ & flipped).sum() > 0.8 * flipped.sum())
    True
    """

    _calibrate = staticmethod(calibrate_on_verified)

    _parameter_constraints: dict = {
        **LabelErrorDetector._parameter_constraints,
        "estimators": [list, tuple, None],
        "weights": [StrOptions({"likelihood", "uniform"}), "array-like"],
        "rule": [StrOptions({_OWN_RULE, *RULES})],
        "quality_method": [StrOptions({"right_proba", "self_confidence"})],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
        "store_estimators": ["boolean"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimators=None,
        *,
        weights="likelihood",
        rule="decoys",
        quality_method="right_proba",
        n_rounds=2,
        cv=5,
        threshold=None,
        flag_fraction=None,
        max_flag_rate=0.8,
        store_estimators=False,
        n_jobs=None,
        random_state=None,
    ):
        self.estimators = estimators
        self.weights = weights
        self.rule = rule
        self.quality_method = quality_method
        self.n_rounds = n_rounds
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _classifiers(self) -> dict:
        """The models that the user named, by the names under which metadata are routed."""
        members = () if self.estimators is None else self.estimators
        return {f"estimator_{i}": m for i, m in enumerate(members) if not isinstance(m, str)}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = [get_tags(member).input_tags for member in self._classifiers().values()]
        neighbors = self.estimators is not None and NEIGHBORS in [
            member for member in self.estimators if isinstance(member, str)
        ]
        tags.input_tags.sparse = all(t.sparse for t in inner)
        tags.input_tags.allow_nan = all(t.allow_nan for t in inner) and not neighbors
        return tags

    def get_metadata_routing(self):
        """Say which metadata this detector and its parts take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        for name, member in self._classifiers().items():
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(**{name: member}, method_mapping=mapping)
        return router

    def _judges(self, data, cv) -> list[LabelErrorDetector]:
        """Make a detector for each model, which knows how to get evidence from it."""
        members = default_members(data.X) if self.estimators is None else []
        for member in self.estimators or ():
            if isinstance(member, str) and member == COMPANIONS:
                members += pipeline_companions(self._first_pipeline(), data)
            else:
                members.append(member)
        random_state = private_random_state(self.random_state)
        common = {"store_estimators": self.store_estimators, "n_jobs": self.n_jobs}
        judges = []
        for member in members:
            seed = draw_seed(random_state)
            if isinstance(member, str):
                judges.append(NeighborVote(random_state=seed, **common))
            else:
                judges.append(ConfidentLearning(member, cv=cv, random_state=seed, **common))
        self.estimators_ = [m if isinstance(m, str) else clone(m) for m in members]
        return judges

    def _first_pipeline(self):
        """The pipeline whose steps the companions share, or None."""
        return next((m for m in self.estimators if has_preprocessing(m)), None)

    def _check_members(self, data) -> None:
        """Refuse what cannot be used, before any model is fitted."""
        if self.estimators is None:
            return
        if len(self.estimators) == 0:
            raise ValueError("estimators must name at least one model, got an empty list.")
        for member in self.estimators:
            if isinstance(member, str):
                if member == COMPANIONS:
                    if self._first_pipeline() is None:
                        raise ValueError(
                            f"{COMPANIONS!r} share the first steps of a pipeline, and none with"
                            f" more than one step is among the estimators {self.estimators!r}."
                        )
                    continue
                if member != NEIGHBORS:
                    raise ValueError(
                        f"estimators may hold classifiers and the words {NEIGHBORS!r} and"
                        f" {COMPANIONS!r}, got {member!r}."
                    )
                check_numeric(
                    data.X, f"Leave {NEIGHBORS!r} out of the estimators, or encode X first."
                )
                continue
            if not hasattr(member, "fit") or not hasattr(member, "predict"):
                raise TypeError(
                    f"estimators may hold classifiers and the words {NEIGHBORS!r} and"
                    f" {COMPANIONS!r}, got {member!r}."
                )
            check_predicts_proba(member)
            weight_fit_params(member, data.sample_weight)

    def _fixed_weights(self, n_members) -> np.ndarray | None:
        """Weights that do not depend on the data, or None."""
        if isinstance(self.weights, str):
            return None if self.weights == "likelihood" else np.full(n_members, 1 / n_members)
        weights = np.asarray(self.weights)
        numbers = weights.dtype.kind in "biuf" and weights.shape == (n_members,)
        if not numbers or not np.isfinite(weights).all() or weights.min() < 0:
            raise ValueError(
                f"weights must be {n_members} numbers, one for each of the estimators and none"
                f" negative, got {self.weights!r}."
            )
        if weights.sum() == 0:
            raise ValueError("weights must not be all zero.")
        return weights / weights.sum()

    def gather_proba(self, data) -> np.ndarray:
        """Gather the mixture of out-of-sample probabilities only; NaN where there are none."""
        proba, judged = self._gather(data, self._listed_cv())
        proba[~judged] = np.nan
        return proba

    def _listed_cv(self):
        """Hold folds in a list: every model needs them, and an iterator gives them once."""
        if self.cv is None or isinstance(self.cv, Integral):
            return FoldsByContent(5 if self.cv is None else self.cv)
        listed = isinstance(self.cv, Iterable) and not hasattr(self.cv, "split")
        return list(self.cv) if listed else self.cv

    def _gather(self, data, cv, chosen=None, number=1) -> tuple[np.ndarray, np.ndarray]:
        """Gather the mixture of a round, of some models or all, and which rows it can judge."""
        self._check_members(data)
        self._mostly_zero = None
        if self.estimators is None:
            check_numeric(
                data.X,
                "EnsembleDetector without estimators looks at a table of numbers. Pass"
                " estimators that take X as it is, such as a Pipeline that encodes it first.",
            )
            X, self._mostly_zero = same_container(data.X)
            data = dataclasses.replace(data, X=X)
        judges = self._judges(data, cv)
        fixed = self._fixed_weights(len(judges))
        if chosen is not None:
            judges = [judges[j] for j in chosen]
            fixed = None if fixed is None else fixed[chosen] / fixed[chosen].sum()
        names = [_model_name(judge) for judge in judges]
        opinions = gather_members(judges, names, data, number)
        if self.store_estimators:
            self.estimators_ = judges
        return self._mix(data, opinions, fixed)

    def _detect(self, data) -> DetectionResult:
        cv = self._listed_cv()
        proba, judged = self._gather(data, cv)
        given = np.where(judged, data.y, -1)
        judge, true_proba, right = fit_judge(data, given, proba, n_jobs=self.n_jobs)
        self._later_rounds, again = [], []
        for number in range(1, self.n_rounds):
            hidden = _hidden(data, given, judge, true_proba, right)
            if not hidden.any():  # the models would say the same again
                break
            if isinstance(cv, FoldsByContent):
                cv = FoldsByContent(cv, number)  # errors that stem from the folds average out
            said, models = self._gather_without(hidden, data, cv, number + 1)
            if np.array_equal(said[judged], proba[judged]):  # frozen models learn from nobody
                break
            again.append(said)
            self._later_rounds.append(models)
            judge, true_proba, right = fit_judge(data, given, proba, again, n_jobs=self.n_jobs)
        self._judge_ = judge
        table = right if self.quality_method == "right_proba" else proba

        def quality_of(codes):
            quality = given_proba(np.maximum(codes, 0), table).astype(np.float64)
            return np.where(judged, quality, np.nan)

        quality = quality_of(data.y)
        best = np.where(data.used & (given >= 0), data.y_train, -1)
        thresholds = mean_self_confidence(best, proba, data.sample_weight)
        # Classes go by their thresholds wherever a tie must be broken: not by their names.
        order = np.argsort(thresholds, kind="stable")
        if self.rule == _OWN_RULE:
            errors = judge.flag(true_proba, given, given_proba(np.maximum(given, 0), right))
        else:
            errors = self._apply_rule(data, given, proba, thresholds, order)
        posterior = judge.bold_proba(proba, again, given, n_jobs=self.n_jobs)
        careful = judge.careful_proba(proba, again, given, n_jobs=self.n_jobs)
        alternatives = most_probable(true_proba, order, without=given)
        alternatives = np.where(judged, alternatives, data.y_train)
        others = 1 - np.where(given >= 0, given_proba(np.maximum(given, 0), true_proba), 0.0)
        alternative = given_proba(np.maximum(alternatives, 0), true_proba)
        return DetectionResult(
            quality,
            errors,
            np.where(judged, most_probable(true_proba, order), data.y_train),
            alternatives,
            joint=_joint(data, given, judge, true_proba),
            quality_of=quality_of,
            pred_proba=proba,
            posterior_labels=np.where(judged, most_probable(posterior, order), data.y_train),
            posterior_proba=np.where(judged, posterior.max(axis=1), 1.0),
            corrections=np.where(judged, most_probable(careful, order), data.y_train),
            level=judge.level,
            given_level=judge.given_level,
            alternative_proba=np.clip(alternative / np.maximum(others, 1e-12), 0, 1),
        )

    def _gather_without(self, hidden, data, cv, number) -> tuple[np.ndarray, dict]:
        """Gather from models that do not learn from some labels; NaN where there is nothing.

        Returns the mixture, and the models that it is made of.
        """
        first = {key: value for key, value in vars(self).items() if key in _OF_A_ROUND}
        chosen = np.flatnonzero(self.weights_ >= min(_WORTH_ANOTHER_FIT, self.weights_.max()))
        data = dataclasses.replace(data, hidden=hidden)
        proba, judged = self._gather(data, cv, chosen, number)
        later = {key: vars(self).get(key) for key in _OF_A_ROUND}
        vars(self).update(first)
        proba[~judged] = np.nan
        return proba, later

    def _mix(self, data, opinions, fixed) -> tuple[np.ndarray, np.ndarray]:
        """Weigh the models, and mix those that can judge a row."""
        known = np.stack([~np.isnan(opinion[:, 0]) for opinion in opinions], axis=1)
        best = np.stack([np.nan_to_num(opinion).argmax(axis=1) for opinion in opinions], axis=1)
        codes = np.where(known, best, -1)
        self.member_predictions_ = decode_labels(codes.ravel(), data.classes).reshape(codes.shape)
        if fixed is None:
            rows = np.flatnonzero(known.all(axis=1) & data.used)
            labels = data.y_train[rows]
            own = np.stack([opinion[rows, labels] for opinion in opinions], axis=1)
            mass = None if data.sample_weight is None else data.sample_weight[rows]
            fixed = pool_weights(own, mass)
        self.weights_ = fixed
        # Where only models without any weight have seen enough, they have to do.
        shares = known * np.maximum(fixed, _LEAST_WEIGHT)
        total = shares.sum(axis=1)
        judged = total > 0
        shares[judged] /= total[judged, None]
        proba = np.zeros(opinions[0].shape)
        for j, opinion in enumerate(opinions):
            proba += np.where(known[:, j], shares[:, j], 0.0)[:, None] * np.nan_to_num(opinion)
        proba[~judged] = 1 / len(data.classes)
        return proba, judged

    def _apply_rule(self, data, given, proba, thresholds, order) -> np.ndarray:
        unverified = np.where(data.used & (data.verified < 0), given, -1)
        self._cuts, errors = fit_rule(
            self.rule,
            unverified,
            proba,
            weight=data.sample_weight,
            thresholds=thresholds,
            order=order,
        )
        others = np.flatnonzero((given >= 0) & (unverified < 0))
        if len(others):
            errors[others] = self._cuts.flag(given[others], proba[others])
        return errors

    def _detect_new(self, X, codes):
        if not all(isinstance(judge, LabelErrorDetector) for judge in self.estimators_):
            raise AttributeError(
                "The models that judge new rows were not kept: fit with store_estimators=True."
            )
        if self._mostly_zero is not None:
            X, _ = same_container(X, self._mostly_zero)
        proba = self._predict(X, vars(self))
        again = [self._predict(X, one) for one in self._later_rounds]
        true_proba, table = self._judge_.look(proba, again, n_jobs=self.n_jobs)
        right = given_proba(np.maximum(codes, 0), table)
        if self.quality_method == "right_proba":
            quality = right
        else:
            quality = given_proba(np.maximum(codes, 0), proba)
        if self.rule == _OWN_RULE:
            return quality, self._judge_.flag(true_proba, codes, right)
        return quality, self._cuts.flag(codes, proba)

    def _predict(self, X, one_round) -> np.ndarray:
        """The mixture of one round, of rows that were not in fit."""
        return sum(
            weight * judge.predict_proba_of(X, self.classes_)
            for weight, judge in zip(one_round["weights_"], one_round["estimators_"], strict=True)
            if weight > 0
        )


def _model_name(judge) -> str:
    """Name the model of a detector for a display of progress."""
    model = getattr(judge, "estimator", judge)
    model = model.steps[-1][1] if isinstance(model, Pipeline) else model
    return type(model).__name__


def _hidden(data, given, judge, true_proba, right) -> np.ndarray:
    """Flagged labels, but of each class at most the worst half, so that it can be learned."""
    quality = given_proba(np.maximum(given, 0), right)
    flagged = judge.flag(true_proba, given, quality) & data.used & (data.verified < 0)
    if not flagged.any():
        return flagged
    labels = np.where(data.used, data.y_train, -1)
    units = row_units(data.X, labels, data.groups, data.sample_weight)
    hidden = flagged.copy()
    for k in np.unique(given[flagged]):
        rows = data.used & (data.y_train == k)
        most = data.total_weight(rows) / 2
        if data.total_weight(rows & flagged) > most:
            weight = None if data.sample_weight is None else data.sample_weight[rows]
            hidden[rows & (quality > lower_threshold(quality[rows], most, weight))] = False
        if len(np.unique(units[rows & ~hidden])) < 2:
            hidden[rows] = False
    return hidden


def _joint(data, given, judge, true_proba) -> np.ndarray:
    """Expected weight of rows by given label (rows) and true class (columns)."""
    rows = np.flatnonzero(data.used & (data.verified < 0) & (given >= 0))
    expected = judge.channel.posterior(true_proba[rows], given[rows])
    if data.sample_weight is not None:
        expected *= data.sample_weight[rows, None]
    n_classes = len(data.classes)
    joint = np.zeros((n_classes, n_classes))
    for k in range(n_classes):
        joint[k] = expected[given[rows] == k].sum(axis=0)
    # Of what is expected of single rows, more or less is wrong than of all of them.
    total, right = joint.sum(axis=1), joint.diagonal().copy()
    wrong = total.sum() - right.sum()
    if wrong > 0:
        np.fill_diagonal(joint, 0)
        joint *= np.minimum(
            judge.level.rate * total.sum() / wrong, total / np.maximum(joint.sum(axis=1), 1e-300)
        )[:, None]
        np.fill_diagonal(joint, total - joint.sum(axis=1))
    return joint
