"""The fits and calls whose results are recorded: small inputs for every public estimator.

A unit is the name of an estimator or of a family of functions; its cases are named by the
arguments and by the kind of input. ``python -m tests._recorded_cases`` records all units,
``python -m tests._recorded_cases NAME`` one of them, and leaves the results of the others.
"""

import inspect
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from tests._recording import fitted_attributes, one_thread, plain, write

N_ROWS, N_NEW = 60, 6
METHODS = ("predict", "predict_proba", "decision_function", "transform")

# Inputs ---------------------------------------------------------------------------------------


def _blobs():
    """Rows of three overlapping classes with their true and their given labels."""
    rng = np.random.RandomState(0)
    truth = np.arange(N_ROWS + N_NEW) % 3
    X = rng.normal(size=(len(truth), 4)) + 2.0 * np.eye(4)[truth]
    given = np.where(rng.uniform(size=len(truth)) < 0.15, (truth + 1) % 3, truth)
    X[[10, 20]], given[[10, 20]] = X[[11, 21]], given[[11, 21]]  # equal rows of equal labels
    return X, truth, given


def _weights():
    return np.random.RandomState(1).randint(0, 4, N_ROWS).astype(float)


def _split(X, y) -> dict:
    """The last rows are new ones."""
    return {"X": X[:N_ROWS], "y": y[:N_ROWS], "X_new": X[N_ROWS:], "y_new": y[N_ROWS:]}


def _frame(X):
    return pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])


def _labels(kind: str) -> dict:
    """Class labels by kind of input."""
    X, truth, given = _blobs()
    names = np.array(["ham", "eggs", "spam"], dtype=object)
    if kind == "dense":
        return _split(X, given)
    if kind == "binary":
        return _split(X, np.array([3, 7])[np.minimum(given, 1)])
    if kind == "verified":
        verified = np.where(np.arange(N_ROWS) % 3 == 0, np.minimum(truth[:N_ROWS], 1), -1)
        verified = np.where(verified < 0, np.nan, verified)
        return {**_split(X, np.minimum(given, 1)), "verified_labels": verified}
    if kind == "sparse":
        found = _split(sparse.csr_array(np.where(X > 0, X, 0)), names[given].astype(str))
        return {**found, "sample_weight": _weights()}
    if kind == "text":
        words = ("red green blue", "sun moon stars", "salt sugar pepper")
        texts = [
            " ".join(words[t].split()[: 1 + i % 3]) + f" word{i % 7}" for i, t in enumerate(truth)
        ]
        return _split(texts, names[given])
    found = _split(_frame(X), names[given])
    found["y"] = found["y"].copy()
    found["y"][::12] = None
    verified = np.full(N_ROWS, None, dtype=object)
    verified[1::4] = names[truth[:N_ROWS]][1::4]
    found |= {"verified_labels": verified, "groups": np.arange(N_ROWS) // 2}
    return {**found, "sample_weight": 0.5 + np.random.RandomState(2).uniform(size=N_ROWS)}


def _numbers(kind: str) -> dict:
    """Numeric targets by kind of input."""
    X = _blobs()[0]
    rng = np.random.RandomState(3)
    truth = X @ [1.0, -2.0, 0.5, 0.0] + 0.1 * rng.normal(size=len(X))
    y = truth + np.where(rng.uniform(size=len(X)) < 0.1, 5.0, 0.0)
    if kind == "sparse":
        found = _split(sparse.csr_array(np.where(X > 0, X, 0)), y)
        return {**found, "sample_weight": _weights()}
    if kind == "dense":
        return _split(X, y)
    found = _split(_frame(X), y.copy())
    found["y"][::12] = np.nan
    verified = np.where(np.arange(N_ROWS) % 4 == 1, truth[:N_ROWS], np.nan)
    weight = 0.5 + rng.uniform(size=N_ROWS)
    groups = np.arange(N_ROWS) // 2
    return {**found, "verified_labels": verified, "groups": groups, "sample_weight": weight}


def _indicators(kind: str) -> dict:
    """Indicator matrices by kind of input."""
    X = _blobs()[0]
    rng = np.random.RandomState(4)
    truth = (X[:, :3] > 0.7).astype(int)
    y = np.where(rng.uniform(size=truth.shape) < 0.08, 1 - truth, truth)
    if kind == "sparse":
        found = _split(sparse.csr_array(np.where(X > 0, X, 0)), y)
        return {**found, "sample_weight": _weights()}
    if kind == "dense":
        return _split(X, y)
    found = _split(_frame(X), y.astype(float))
    found["y"][::12, 0] = np.nan
    verified = np.where(np.arange(N_ROWS)[:, None] % 4 == 1, truth[:N_ROWS], np.nan)
    weight = 0.5 + rng.uniform(size=N_ROWS)
    groups = np.arange(N_ROWS) // 2
    return {**found, "verified_labels": verified, "groups": groups, "sample_weight": weight}


def _sources() -> np.ndarray:
    return np.array(["a", "b", "c", "d"])[np.arange(N_ROWS) % 4]


# Estimators -----------------------------------------------------------------------------------


def _forest(n_trees=20):
    return ExtraTreesClassifier(n_trees, bootstrap=True, oob_score=True, min_samples_leaf=3)


def _regression_forest():
    return ExtraTreesRegressor(15, bootstrap=True, oob_score=True, min_samples_leaf=3)


def _texts(model):
    return make_pipeline(TfidfVectorizer(), model)


def _sgd():
    learner = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.02)
    return make_pipeline(StandardScaler(), learner)


def _each(name: str, values) -> list[dict]:
    return [{name: value} for value in values]


def _confident_learning():
    from skrobust.detection import DecoyThreshold, MixtureThreshold, TrustedThreshold

    bayes = {"estimator": GaussianNB(), "cv": 3}
    rules = (
        "prune_by_class",
        "both",
        "confident_learning",
        "low_self_confidence",
        "low_normalized_margin",
        "predicted_neq_given",
    )
    yield {**bayes, "store_estimators": True}
    yield {"estimator": _forest()}
    yield {"estimator": LogisticRegression(), "cv": 3, "store_estimators": True}
    yield {"estimator": _texts(MultinomialNB()), "cv": 3}
    yield {"estimator": GaussianNB()}
    for more in _each("rule", rules):
        yield {**bayes, **more}
    for method in ("normalized_margin", "confidence_weighted_entropy"):
        yield {**bayes, "quality_method": method}
    for more in (
        {"flag_fraction": 0.1},
        {"flag_fraction": {0: 0.3}},
        {"n_per_class": [1, 0, 2]},
        {"min_per_class": 15},
        {"confident_thresholds": [0.5, 0.6, 0.4]},
        {"confident_joint": np.array([[15, 3, 1], [2, 14, 1], [4, 2, 10]])},
        {"max_flag_rate": None},
    ):
        yield {**bayes, **more}
    thresholds = (
        0.4,
        MixtureThreshold(),
        MixtureThreshold(transform="identity", n_components=2, precision=0.5),
        MixtureThreshold(per_class=True),
        DecoyThreshold(random_state=0),
        DecoyThreshold(precision=0.8, random_state=0),
        TrustedThreshold(),
        TrustedThreshold(precision=0.8),
    )
    for threshold in thresholds:
        yield {**bayes, "threshold": threshold, "store_estimators": True}


def _ensemble_detector():
    bayes = [GaussianNB(), LogisticRegression()]
    yield {"estimators": bayes, "cv": 3, "store_estimators": True}
    yield {"estimators": [_forest(), "neighbors"], "store_estimators": True}
    for more in (
        {"weights": "uniform"},
        {"weights": [1.0, 2.0]},
        {"rule": "prune_by_class"},
        {"quality_method": "self_confidence"},
        {"n_rounds": 1},
        {"flag_fraction": 0.1},
    ):
        yield {"estimators": bayes, "cv": 3, **more}
    yield {}


def _neighbor_vote():
    yield {"store_estimators": True}
    yield {"method": "rank", "metric": "cosine", "n_neighbors": 5, "store_estimators": True}
    yield {"method": "shapley"}
    yield {"method": "shapley", "n_neighbors": 5, "scale": None}
    yield {"n_rounds": 3, "scale": "standard", "flag_fraction": 0.1}
    yield {"metric": "manhattan", "scale": "rank", "threshold": 0.5}


def _training_dynamics():
    yield {"n_stages": 8, "cv": 3, "store_estimators": True}
    for statistic in ("aum_logits", "el2n", "grand", "forgetting", "mean_loss", "oscillation"):
        yield {"estimator": _sgd(), "statistic": statistic, "n_stages": 6, "cv": 3}
    yield {"estimator": _sgd(), "rule": "fake_class", "n_stages": 6}
    yield {"estimator": _sgd(), "n_repeats": 2, "n_stages": 6}
    yield {"estimator": GaussianNB(), "n_stages": 2, "cv": 3}


def _negative_class():
    bayes = {"estimator": GaussianNB(), "cv": 3}
    yield {**bayes, "store_estimators": True}
    yield {**bayes, "negative_label": 0, "check_positives": False}
    yield {**bayes, "metric": "euclidean", "n_neighbors": 5}
    yield {**bayes, "mode": "intrinsic"}
    yield {**bayes, "mode": "extrinsic"}
    yield {"estimator": _forest(), "scale": "rank"}


def _residual_detector():
    from skrobust.detection import DecoyThreshold, MixtureThreshold

    ridge = {"estimator": Ridge(), "cv": 3}
    yield {**ridge, "store_estimators": True}
    yield {"estimator": _regression_forest(), "store_estimators": True}
    yield {**ridge, "n_bootstrap": 2}
    yield {**ridge, "rule": "refit"}
    for threshold in (0.3, DecoyThreshold(random_state=0), MixtureThreshold()):
        yield {**ridge, "threshold": threshold}
    yield {**ridge, "flag_fraction": 0.1}


def _multilabel_detector():
    from skrobust.detection import DecoyThreshold, MixtureThreshold

    bayes = {"estimator": GaussianNB(), "cv": 3}
    yield {**bayes, "store_estimators": True}
    yield {"estimator": _forest()}
    yield {"estimator": MultiOutputClassifier(GaussianNB()), "cv": 3}
    for more in (
        {"strategy": "one_vs_rest"},
        {"aggregate": "min"},
        {"aggregate": "mean", "flag_fraction": 0.1},
        {"alpha": 0.5, "rule": "both"},
        {"rule": "low_self_confidence"},
        {"rule": "prune_by_noise_rate"},
        {"threshold": 0.3},
        {"threshold": DecoyThreshold(random_state=0)},
        {"threshold": MixtureThreshold(per_class=True)},
    ):
        yield {**bayes, **more}


def _detectors() -> dict[str, list[dict]]:
    pair = [GaussianNB(), LogisticRegression()]
    return {
        "ConfidentLearning": list(_confident_learning()),
        "EnsembleDetector": list(_ensemble_detector()),
        "NeighborVote": list(_neighbor_vote()),
        "TrainingDynamics": list(_training_dynamics()),
        "ConsensusMixture": [
            {"estimators": pair, "cv": 3, "store_estimators": True},
            {"estimators": [_forest(), GaussianNB()], "threshold": 0.4},
        ],
        "DensityDetector": [
            {"store_estimators": True},
            {"density": "kde", "cv": 3, "n_dimensions": 2},
            {"density": "gaussian_mixture", "cv": 3, "mode": "low_nll", "flag_fraction": 0.1},
            {"mode": "expand", "trusted_quantile": 0.2, "n_dimensions": 3},
        ],
        "EnergyDetector": [
            {"cv": 3, "store_estimators": True},
            {"estimator": GaussianNB(), "temperature": 2.0, "flag_fraction": 0.1},
        ],
        "NegativeClassDetector": list(_negative_class()),
        "ResidualDetector": list(_residual_detector()),
        "MultilabelDetector": list(_multilabel_detector()),
    }


def _transitions() -> dict[str, list[dict]]:
    bayes = {"estimator": GaussianNB(), "cv": 3}
    counted = {**bayes, "noise_rate": "counted"}
    return {
        "AnchorTransition": [
            {**bayes, "n_bootstrap": 3},
            {"estimator": _forest()},
            {**bayes, "statistic": "proba", "anchor_share": 0.8},
            counted,
        ],
        "ConfidentTransition": [{**bayes, "n_bootstrap": 3}, {"estimator": _forest()}, counted],
        "DualTransition": [
            {**bayes, "n_bootstrap": 3},
            {"estimator": _forest(), "sharpness": 1.0, "anchor_share": 0.3},
            counted,
        ],
        "NeighborTransition": [
            {"n_starts": 2, "n_bootstrap": 2},
            {"n_neighbors": 3, "scale": "rank", "n_starts": 1},
        ],
        "TrustedTransition": [{**bayes, "n_bootstrap": 3}, {"estimator": _forest()}],
        "NoiseSimulator": [
            {"min_region_size": 15, "n_starts": 1},
            {"regions": "clusters", "n_regions": 2, "shrinkage": 30, "n_starts": 1},
            {"n_regions": 1, "scale": "rank", "n_starts": 1},
        ],
    }


def _reweighters() -> dict[str, list[dict]]:
    from skrobust.detection import ConfidentLearning, NeighborVote, TrainingDynamics
    from skrobust.noise import NeighborTransition

    confident = ConfidentLearning(GaussianNB(), cv=3)
    dynamics = TrainingDynamics(_sgd(), n_stages=6)
    neighbors = NeighborTransition(n_starts=1)
    pruned = {"statistic": "forgetting", "offset": 0.2, "detector": dynamics}
    return {
        "ImportanceReweighter": [
            {"transition": neighbors, "estimator": GaussianNB(), "cv": 3},
            {"transition": np.eye(3) * 0.7 + 0.1, "estimator": _forest()},
        ],
        "LossHistoryReweighter": [
            {"estimator": _sgd(), "n_stages": 6},
            {"n_stages": 6, "reference": "all", "beta_high": 1.5, "beta_low": 3, "cv": 3},
        ],
        "QualityReweighter": [
            {"detector": confident},
            {"detector": NeighborVote(), "power": 1, "per_class": False},
        ],
        "ScorePruner": [
            {"detector": confident},
            {"detector": confident, "offset": 0.2, "keep": 0.7},
            {**pruned, "per_class": False},
        ],
        "TrustedReweighter": [{"detector": confident}, {"detector": dynamics, "power": 1}],
    }


def _wrappers() -> dict[str, list[dict]]:
    from skrobust.detection import ConfidentLearning, EnsembleDetector, ResidualDetector
    from skrobust.noise import AnchorTransition
    from skrobust.weighting import QualityReweighter

    linear, bayes, ridge = LogisticRegression(), GaussianNB(), Ridge()
    confident = ConfidentLearning(GaussianNB(), cv=3)
    ensemble = EnsembleDetector([GaussianNB(), LogisticRegression()], cv=3)
    residual = ResidualDetector(Ridge(), cv=3)
    texts = ConfidentLearning(_texts(MultinomialNB()), cv=3)
    text_model = _texts(LogisticRegression())
    quality = QualityReweighter(confident)
    anchors = AnchorTransition(GaussianNB(), cv=3)
    given = np.eye(3) * 0.7 + 0.1
    return {
        "CascadeClassifier": [
            {"fast_estimator": bayes, "accurate_estimator": linear, "cv": 3},
            {
                "fast_estimator": linear,
                "accurate_estimator": bayes,
                "call_share": 0.2,
                "uncertainty": "margin",
                "cv": 3,
            },
        ],
        "CleaningClassifier": [
            {"estimator": linear, "detector": confident},
            {"estimator": linear, "detector": confident, "action": "drop", "trim": False},
            {"estimator": linear, "detector": confident, "action": "reweight"},
            {"estimator": linear, "detector": confident, "only_if_better": True},
            {"estimator": linear, "detector": ensemble},
            {"estimator": linear, "detector": ensemble, "action": "drop", "cv": 4},
            {"estimator": bayes, "detector": residual},
            {"estimator": text_model, "detector": texts},
            {},
        ],
        "CleaningRegressor": [
            {"estimator": ridge, "detector": residual},
            {"estimator": ridge, "detector": residual, "action": "relabel"},
            {"estimator": ridge, "detector": residual, "action": "reweight"},
        ],
        "LossCorrectedClassifier": [
            {"estimator": linear, "transition": anchors, "evidence": bayes, "cv": 3},
            {"estimator": linear, "transition": given, "method": "backward"},
            {"estimator": bayes, "transition": anchors, "method": "posterior", "cv": 3},
            {"estimator": linear, "transition": given, "evidence": _forest()},
            {"estimator": text_model, "transition": given},
        ],
        "ReweightedClassifier": [
            {"estimator": linear, "reweighter": quality},
            {"estimator": bayes, "reweighter": quality, "cv": 4},
            {"estimator": text_model, "reweighter": QualityReweighter(texts)},
        ],
        "SourceRobustClassifier": [
            {"estimator": linear},
            {"estimator": linear, "n_faulty": 1, "aggregation": "median"},
            {"estimator": bayes, "combine": "predictions", "n_faulty": 1},
            {"estimator": linear, "combine": "coefficients", "aggregation": "trimmed_mean"},
        ],
        "SourceRobustRegressor": [
            {"estimator": ridge},
            {"estimator": ridge, "combine": "predictions", "n_faulty": 1},
            {"estimator": ridge, "combine": "coefficients", "aggregation": "geometric_median"},
        ],
        "TeacherStudentClassifier": [
            {"estimator": linear, "teacher": bayes, "cv": 3},
            {"estimator": bayes, "teacher": _forest(), "selection": "mixture"},
            {"estimator": linear, "teacher": bayes, "n_rounds": 2, "cv": 3},
            {"estimator": bayes, "teacher": linear, "selection": "all", "cv": 3},
        ],
        "InstanceFlipClassifier": [
            {},
            {"fixed_flip_rate": 0.1, "C": 10.0},
            {"flip_C": 0.1, "prior_strength": 5.0, "fit_intercept": False},
        ],
        "NoisyLogisticRegression": [
            {"transition": anchors},
            {"transition": "learn"},
            {"transition": given, "C": 10.0, "fit_intercept": False},
        ],
    }


def _networks() -> dict[str, list[dict]]:
    from skrobust.neural import FeatureTuneClassifier

    small = {
        "learning_rate": 0.01,
        "max_epochs": 3,
        "device": "cpu",
        "hidden_layer_sizes": (8,),
        "dtype": "float64",
    }
    tuned = {key: value for key, value in small.items() if key != "hidden_layer_sizes"}
    single = {**small, "dtype": "float32"}
    losses = (
        "generalized_cross_entropy",
        "symmetric_cross_entropy",
        "normalized_cross_entropy",
        "active_passive",
        "mean_absolute_error",
        "bootstrapping",
        "cores",
        "peer",
    )
    return {
        "CoTeachingClassifier": [
            {**small, "forget_rate": 0.15, "n_gradual": 2},
            {**small, "n_gradual": 2},
        ],
        "ELRClassifier": [small, {**small, "ensemble": True, "n_gradual": 2}],
        "FeatureTuneClassifier": [tuned, {**tuned, "expansion": 2, "closeness": 0.1}],
        "FeatureTuneTransformer": [{"classifier": FeatureTuneClassifier(**tuned)}],
        "MetaRescaledClassifier": [small, {**small, "rescale": False}],
        "NestedDropoutClassifier": [
            {**small, "sigma": 40.0, "validation_fraction": 0.2},
            {**small, "compression": "dropout", "early_stopping": False},
            {**small, "compression": "bottleneck", "early_stopping": False},
        ],
        "NeuralClassifier": [
            small,
            single,
            {**small, "ema_decay": None, "record_dynamics": True, "optimizer": "sgd"},
            {**small, "early_stopping": True, "class_weight": "balanced"},
            {**small, "mixup": 0.2, "label_smoothing": 0.1, "consistency": 0.5},
            {**small, "dropout": 0.3, "gradient_clip": 1.0, "hidden_noise": 0.1},
            *({**small, "criterion": criterion} for criterion in losses),
        ],
        "NeuralRegressor": [
            small,
            single,
            {**small, "criterion": "trimmed", "early_stopping": True},
            {**small, "criterion": "log_cosh"},
        ],
        "SOPClassifier": [small, {**small, "balance": 0.1}],
    }


GROUPS = (_detectors, _transitions, _reweighters, _wrappers)
NETWORKS = (
    "CoTeachingClassifier",
    "ELRClassifier",
    "FeatureTuneClassifier",
    "FeatureTuneTransformer",
    "MetaRescaledClassifier",
    "NestedDropoutClassifier",
    "NeuralClassifier",
    "NeuralRegressor",
    "SOPClassifier",
)


def _class_of(name: str) -> type:
    """The public estimator of that name."""
    from tests._instances import public_estimators

    return next(cls for cls in public_estimators() if cls.__name__ == name)


def _seeded(estimator):
    """Give every part a seed that has none."""
    seeds = {
        key: 0
        for key, value in estimator.get_params(deep=True).items()
        if key.rpartition("__")[2] == "random_state" and value is None
    }
    return clone(estimator).set_params(**seeds)


def _raised(error: Exception) -> dict:
    """The kind of an error; its message may be reworded."""
    kinds = (ValueError, TypeError)
    return {"raises": next(kind.__name__ for kind in kinds if isinstance(error, kind))}


def _is_for_text(estimator) -> bool:
    return any(
        isinstance(value, TfidfVectorizer) for value in estimator.get_params(deep=True).values()
    )


def _inputs_of(estimator, done: set[str]) -> Iterator[tuple[str, dict]]:
    """The kinds of input for an estimator; some only where no instance before took them."""
    name = type(estimator).__name__
    kinds = ("dense", "frame", *(kind for kind in ("sparse", "binary") if kind not in done))
    make = _labels
    if name == "MultilabelDetector":
        make = _indicators
    elif name == "ResidualDetector" or is_regressor(estimator):
        make = _numbers
    elif _is_for_text(estimator):
        kinds = ("text",)
    elif name in ("TrustedReweighter", "TrustedTransition"):
        kinds = ("frame", "verified")
    elif name == "InstanceFlipClassifier":
        kinds = ("binary", "verified", "sparse")[: 2 if done else 3]
    if name in ("CleaningClassifier", "EnsembleDetector") and _is_default(estimator):
        kinds = ("dense",)  # many trees
    for kind in kinds:
        if (kind != "binary" or make is _labels) and (kind != "sparse" or _takes_sparse(estimator)):
            yield kind, make(kind)


def _is_default(estimator) -> bool:
    return getattr(estimator, "detector", None) is getattr(estimator, "estimators", None) is None


def _takes_sparse(estimator) -> bool:
    return get_tags(estimator).input_tags.sparse


def _fit_and_use(estimator, given: dict, **more) -> dict:
    """What fitting and using an estimator leads to, or the name of the error it raises."""
    accepted = inspect.signature(estimator.fit).parameters
    names = ("verified_labels", "sample_weight", "groups", "sources", "repeated_labels")
    fit_params = {k: v for k, v in {**given, **more}.items() if k in accepted and k in names}
    try:
        estimator.fit(given["X"], given["y"], **fit_params)
    except (TypeError, ValueError) as error:
        return _raised(error)
    found = fitted_attributes(estimator)
    calls = {name: (given["X_new"],) for name in METHODS}
    calls |= {name: (given["X_new"], given["y_new"]) for name in ("detect", "score_labels")}
    calls |= {"apply": (given["X_new"],), "sample": (given["X"], given["y"])}
    for name, arguments in calls.items():
        if not hasattr(estimator, name):
            continue
        seed = {"random_state": 0} if name == "sample" else {}
        try:
            found[name] = getattr(estimator, name)(*arguments, **seed)
        except AttributeError:
            continue
        except (TypeError, ValueError) as error:
            found[name] = _raised(error)
    return found


def _cases_of_estimator(name: str, arguments: list[dict]) -> Iterator[tuple[str, dict]]:
    """Fit each instance to each kind of input."""
    cls = _class_of(name)
    done = set()
    for i, kwargs in enumerate(arguments):
        estimator = _seeded(cls(**kwargs))
        for kind, given in _inputs_of(estimator, done):
            done.add(kind)
            words = " ".join(repr(cls(**kwargs)).split())
            yield f"{i} {kind} {words}", _fit_and_use(clone(estimator), given)
            if "sources" in inspect.signature(cls.fit).parameters:
                case = f"{i} {kind} with sources {words}"
                yield case, _fit_and_use(clone(estimator), given, sources=_sources())
    if name == "NoiseSimulator":
        given = _labels("dense")
        repeated = np.column_stack([given["y"], np.roll(given["y"], 3)])
        estimator = _seeded(cls(**arguments[0]))
        yield "repeated labels", _fit_and_use(estimator, given, repeated_labels=repeated)
    if name == "CleaningClassifier":
        yield from _given_detection(cls)
    if is_classifier(cls()) and name in NETWORKS:
        yield from _given_targets(cls, arguments[0])


def _given_detection(cls) -> Iterator[tuple[str, dict]]:
    """Errors, or probabilities, that the user has already."""
    given = _labels("dense")
    proba = _proba()[:N_ROWS]
    errors = proba.argmax(axis=1) != given["y"]
    for key, value in {"label_errors": errors, "pred_proba": proba}.items():
        for action in ("drop", "relabel", "reweight"):
            model = cls(LogisticRegression(), action=action, random_state=0)
            try:
                model.fit(given["X"], given["y"], **{key: value})
            except (TypeError, ValueError) as error:
                yield f"{key} {action}", _raised(error)
                continue
            yield (
                f"{key} {action}",
                {
                    **fitted_attributes(model),
                    "predict_proba": model.predict_proba(given["X_new"]),
                },
            )


def _given_targets(cls, kwargs) -> Iterator[tuple[str, dict]]:
    """Probabilities as targets, and rows to validate on."""
    given = _labels("dense")
    more = {"validation_data": (given["X_new"], given["y_new"])}
    for key, value in {"target_proba": _proba()[:N_ROWS], **more}.items():
        model = _seeded(cls(**kwargs))
        try:
            model.fit(given["X"], given["y"], **{key: value})
        except (TypeError, ValueError) as error:
            yield key, _raised(error)
            continue
        yield key, {"predict_proba": model.predict_proba(given["X_new"])}


# Functions ------------------------------------------------------------------------------------


def _proba() -> np.ndarray:
    """Probabilities of three classes, one row with a tie."""
    X, _, _ = _blobs()
    proba = np.exp(X[:, :3])
    proba[0] = 1.0
    return proba / proba.sum(axis=1, keepdims=True)


class _Calls:
    """Collects the results of calls, with the name of the error where there is one."""

    def __init__(self):
        self.found = {}

    def __call__(self, function: Callable, *args, case: str = "", **kwargs) -> None:
        words = ", ".join(
            f"{k}={v!r}" for k, v in kwargs.items() if isinstance(v, (str, float, int))
        )
        key = " ".join(f"{function.__name__} {case} {words}".split())
        # Numbered among equal ones, so that a new call does not rename those of other functions.
        number = sum(name.rpartition(" ")[0] == key for name in self.found)
        key = f"{key} {number}"
        try:
            self.found[key] = {"result": function(*args, **kwargs)}
        except (TypeError, ValueError) as error:
            self.found[key] = _raised(error)


def _noise_functions() -> dict:
    from skrobust import noise

    call = _Calls()
    X, truth, given = _blobs()
    names, proba = np.array(["ham", "eggs", "spam"])[given], _proba()
    weight = np.arange(len(given)) % 3 + 1
    for y in (given, names):
        for more in ({}, {"sample_weight": weight}, {"sample_weight": weight / 2}):
            call(noise.confident_joint, y, proba, **more)
            call(noise.confident_joint, y, proba, calibrate=True, **more)
            call(noise.confident_thresholds, y, proba, **more)
    frame = pd.DataFrame(proba, columns=["spam", "eggs", "ham"])
    call(noise.confident_joint, names, frame)
    call(noise.symmetric_transition, 3, 0.3)
    call(noise.symmetric_transition, 3, 0.3, include_self=True)
    call(noise.symmetric_transition, 3, 1.3)
    call(noise.pair_transition, 3, 0.3)
    call(noise.random_transition, 4, 0.3, random_state=0)
    transition = noise.pair_transition(3, 0.3)
    for exact in (False, True):
        call(noise.flip_labels, truth, transition, exact=exact, random_state=0)
        call(noise.flip_labels, names, transition, exact=exact, random_state=0)
        for kind in ("linear", "boundary"):
            call(noise.flip_labels_instance, X, truth, 0.3, kind=kind, exact=exact, random_state=0)
        groups = np.arange(len(truth)) // 6
        call(noise.flip_labels_grouped, truth, groups, transition, exact=exact, random_state=0)
        call(
            noise.simulate_annotators, truth, 3, transition=transition, exact=exact, random_state=0
        )
    call(noise.flip_labels_grouped, truth, groups, transition, run_length=3, random_state=0)
    call(noise.simulate_annotators, truth, 4, ability=0.8, coverage=0.5, random_state=0)
    call(noise.simulate_annotators, names, 3, correlation=0.3, concentration=5.0, random_state=0)
    call(noise.unbiased_labels, truth, transition)
    call(noise.unbiased_labels, names, transition)
    return call.found


def _detection_functions() -> dict:
    from skrobust import detection

    call = _Calls()
    X, _, given = _blobs()
    names, proba = np.array(["ham", "eggs", "spam"])[given], _proba()
    weight = np.arange(len(given)) % 3 + 1
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        call(detection.label_quality_scores, given, proba, method=method)
        call(detection.label_quality_scores, names, proba.astype(np.float32), method=method)
    rules = (
        "prune_by_noise_rate",
        "prune_by_class",
        "both",
        "confident_learning",
        "low_self_confidence",
        "low_normalized_margin",
        "predicted_neq_given",
    )
    for rule in rules:
        for more in (
            {},
            {"sample_weight": weight},
            {"sample_weight": weight / 2},
            {"rank_by": "normalized_margin"},
            {"min_per_class": 20},
            {"n_per_class": [1, 2, 0]},
            {"confident_thresholds": [0.3, 0.4, 0.5]},
            {"confident_joint": np.array([[15, 3, 1], [2, 14, 1], [4, 2, 10]])},
        ):
            call(detection.find_label_errors, given, proba, case=str(list(more)), rule=rule, **more)
        call(detection.find_label_errors, names, proba.astype(np.float32), rule=rule)
    indicators, y_pred = (X[:, :3] > 0.7).astype(int), 1 / (1 + np.exp(-X[:, [1, 0, 2]]))
    for rule in rules:
        call(detection.find_multilabel_errors, indicators, y_pred, rule=rule)
    for aggregate in ("ema", "min", "mean"):
        call(detection.multilabel_quality_scores, indicators, y_pred, aggregate=aggregate)
    call(detection.multilabel_quality_scores, indicators, y_pred, entries=True)
    numbers = _numbers("dense")["y"]
    for more in ({}, {"uncertainty": 0.5 + np.abs(X[:60, 0])}, {"sample_weight": weight[:60]}):
        call(detection.find_target_errors, numbers, X[:60, 0], case=str(list(more)), **more)
        call(detection.target_quality_scores, numbers, X[:60, 0], case=str(list(more)), **more)
    for scale in ("rank", "standard", None):
        call(detection.fine_scores, X, given, scale=scale)
    call(detection.fine_scores, X, given, contrast=False)
    for more in ({}, {"metric": "cosine"}, {"n_neighbors": 3, "max_neighbors": 20}):
        call(detection.knn_shapley_scores, X, names, random_state=0, **more)
    return call.found


def _evidence_functions() -> dict:
    from skrobust import evidence, weighting, wrappers

    call = _Calls()
    X, _, given = _blobs()
    names = np.array(["ham", "eggs", "spam"])[given]
    weight, groups = np.arange(len(given)) % 3, np.arange(len(given)) // 2
    for more in ({}, {"sample_weight": weight}, {"groups": groups}):
        call(evidence.out_of_fold_proba, GaussianNB(), X, names, case=str(list(more)), **more)
    forest = _forest().set_params(random_state=0)
    call(evidence.out_of_bag_proba, forest, X, given, random_state=0)
    call(evidence.out_of_bag_proba, forest, X, given, sample_weight=weight, random_state=0)
    for more in ({}, {"metric": "cosine"}, {"groups": groups}):
        call(evidence.neighbor_graph, X, n_neighbors=4, **more)

    def staged_proba(fitted, X):
        return list(evidence.staged_proba(fitted, X))

    call(staged_proba, clone(forest).fit(X, given), X[:5], case="forest")
    call(staged_proba, GaussianNB().fit(X, given), X[:5], case="no stages")
    call(weighting.importance_weights, names, _proba(), np.eye(3) * 0.7 + 0.1)
    losses = np.exp(X[:, :3])
    for reference in ("lower_hump", "all"):
        call(weighting.loss_history_weights, losses, reference=reference)
    call(weighting.loss_history_weights, losses, beta_low=1.5, sample_weight=weight)
    vectors = np.random.RandomState(0).normal(size=(5, 12, 3))
    for name in ("nna_median", "mean", "trimmed_mean", "median", "geometric_median"):
        call(wrappers.aggregate_sources, vectors, aggregation=name, n_faulty=1)
        call(wrappers.aggregate_sources, vectors, aggregation=name)
    return call.found


def _metric_functions() -> dict:
    from skrobust import metrics, noise

    call = _Calls()
    X, truth, given = _blobs()
    predicted = np.where(X[:, 3] > 1.2, (truth + 1) % 3, truth)
    wrong, quality = given != truth, 1 / (1 + np.exp(X[:, 0]))
    transition = np.eye(3) * 0.7 + 0.1
    verified = np.where(np.arange(len(truth)) % 2 == 0, truth, np.nan)
    call(metrics.detection_report, wrong, quality, quality < 0.3, y=given)
    call(metrics.detection_report, wrong, quality)
    call(metrics.precision_at_budget, wrong, quality, 10)
    call(metrics.precision_at_budget, wrong, quality, 0.2)
    rates = {"tpr": 0.9, "tnr": 0.8, "prevalence": 0.3, "fpr_labels": 0.1, "fnr_labels": 0.2}
    for name in ("accuracy", "f1", "balanced_accuracy"):
        call(metrics.expected_noisy_score, name, case=name, **rates)
    call(metrics.f1_gmean_score, truth, predicted)
    call(metrics.f1_gmean_score, truth == 1, predicted == 1)
    call(metrics.geometric_mean_score, truth, predicted)
    call(metrics.noise_corrected_confusion_matrix, given, predicted, transition)
    for name in ("accuracy", "balanced_accuracy", "f1_macro"):
        common = {"metric": name, "n_bootstrap": 20, "random_state": 0}
        score = metrics.noise_corrected_score
        call(score, given, predicted, case="transition", transition=transition, **common)
        call(score, given, predicted, case="verified", verified_labels=verified, **common)
        call(score, given, predicted, case="quality", label_quality=quality, **common)
    call(metrics.rank_flip_prevalence, 0.8, 0.1, 0.78, 0.28)
    models = {"a": predicted, "b": truth, "c": given}
    call(
        metrics.rank_models, given, models, verified_labels=verified, n_bootstrap=50, random_state=0
    )
    forest = ExtraTreesClassifier(20, bootstrap=True, oob_score=True, random_state=0)
    transition = noise.AnchorTransition(forest, n_bootstrap=10, random_state=0).fit(X, truth)
    for name in ("accuracy", "f1_macro"):
        call(score, given, predicted, case="estimated", transition=transition, metric=name)
    return call.found


def _selection_functions() -> dict:
    from sklearn.model_selection import GridSearchCV

    from skrobust import model_selection
    from skrobust.detection import ConfidentLearning
    from skrobust.inspection import LabelReport, apply_corrections

    call = _Calls()
    X, truth, given = _blobs()
    predicted = np.where(X[:, 3] > 1.2, (truth + 1) % 3, truth)
    quality = 1 / (1 + np.exp(X[:, 0]))

    def audit(strata):
        auditor = model_selection.FlipRateAuditor(strata=strata, random_state=0)
        rows = auditor.fit(given, predicted).draw(20)
        return rows, auditor.partial_fit(rows, truth[rows]), auditor.rows_needed_for(0.2)

    for strata in ("predicted", None):
        call(audit, strata=strata)

    def allocate(purpose, y_pred):
        allocator = model_selection.ReviewBudgetAllocator(purpose=purpose, random_state=0)
        first = allocator.allocate(8, given, quality, X=X, y_pred=y_pred)
        verified = np.full(len(given), np.nan)
        verified[first] = truth[first]
        second = allocator.allocate(8, given, quality, X=X, y_pred=y_pred, verified_labels=verified)
        return first, second

    for purpose in ("find", "measure"):
        call(allocate, purpose=purpose, y_pred=predicted)

    def folds(**params):
        y = np.where(np.arange(len(given)) % 7 == 0, np.nan, given)
        return [list(pair) for pair in model_selection.LabelledKFold(3, **params).split(X, y)]

    call(folds)
    call(folds, shuffle=True, random_state=0)

    def search(tolerance):
        refit = model_selection.lexicographic_refit(
            ["accuracy", "balanced_accuracy"], tolerance=tolerance
        )
        grid = {"C": [0.01, 0.1, 1.0]}
        scores = ["accuracy", "balanced_accuracy"]
        return (
            GridSearchCV(LogisticRegression(), grid, scoring=scores, refit=refit, cv=3)
            .fit(X, given)
            .best_params_
        )

    call(search, tolerance="1se")
    call(search, tolerance=0.0)

    def corrected(metric):
        transition = np.eye(3) * 0.7 + 0.1
        scorer = model_selection.make_noise_corrected_scorer(metric, transition=transition)
        return scorer(GaussianNB().fit(X, given), X, given)

    for metric in ("accuracy", "balanced_accuracy"):
        call(corrected, metric=metric)

    def curve(kind):
        found = model_selection.noise_robustness_curve(
            GaussianNB(), X, truth, rates=(0.0, 0.3), kind=kind, n_repeats=2, random_state=0
        )
        return dict(found)

    for kind in ("symmetric", "pair"):
        call(curve, kind=kind)

    def review():
        detector = ConfidentLearning(GaussianNB(), cv=3).fit(X, given)
        report = LabelReport.from_detector(detector, X, given)
        decision = {"fingerprint": report.fingerprint, "n_rows": len(given), "row": 3}
        decision |= {"row_id": "", "given_label": str(given[3]), "decision": "wrong"}
        decision |= {"new_label": str((given[3] + 1) % 3), "source": "flagged"}
        decision |= {"sampled_from": "", "reviewer": "a", "time": "2026-01-05T10:00:00Z"}
        result = apply_corrections(given, pd.DataFrame([{**decision, "note": ""}]))
        return dict(result)

    call(review)
    return call.found


def _neural_functions() -> dict:
    import torch

    from skrobust.neural import (
        NeuralClassifier,
        layers,
        losses,
        modules,
        prune_network,
        quantize_network,
    )

    call = _Calls()
    X, _, given = _blobs()
    transition = (np.eye(3) * 0.7 + 0.1).tolist()
    arguments = {"ForwardCorrected": (transition,), "BackwardCorrected": (transition,)}
    arguments["VolumeMinimizing"] = (3,)
    numeric = {"SquaredError", "Huber", "LogCosh", "TrimmedSquaredError"}

    def loss(name, reduction):
        torch.manual_seed(0)
        criterion = getattr(losses, name)(*arguments.get(name, ()), reduction=reduction)
        logits = torch.tensor(X[:, :3] if name not in numeric else X[:, 0], requires_grad=True)
        target = torch.tensor(given if name not in numeric else X[:, 1])
        if name == "TripletAlignment":
            logits = torch.tanh(logits.detach()).requires_grad_()
        weight = torch.tensor(np.arange(len(X)) % 3, dtype=torch.float64)
        weighted = criterion(logits, target, weight)
        value = criterion(logits, target)
        value.sum().backward()
        return weighted, value, logits.grad

    for name in losses.__all__:
        if name != "RobustLoss":
            for reduction in ("none", "mean"):
                call(loss, name=name, reduction=reduction)

    def outputs(module, shape):
        torch.manual_seed(0)
        built = module()
        built.eval()
        return built(torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape))

    call(outputs, lambda: modules.MLP(4, 3), (2, 4), case="MLP")
    call(outputs, lambda: modules.SmallCNN((1, 8, 8), 3), (2, 1, 8, 8), case="SmallCNN")
    call(outputs, lambda: modules.ResNet18((3, 8, 8), 3), (1, 3, 8, 8), case="ResNet18")
    call(outputs, lambda: layers.FixedSimplex(4, 3), (2, 4), case="FixedSimplex")
    call(outputs, lambda: layers.NestedDropout(4), (2, 4), case="NestedDropout")
    params = {"hidden_layer_sizes": (8,), "max_epochs": 2, "device": "cpu", "random_state": 0}
    fitted = NeuralClassifier(**params).fit(X, given)

    def smaller(make, **kwargs):
        return make(fitted, X=X, y=given, **kwargs).classifier.predict_proba(X[:5])

    call(smaller, prune_network, amount=0.5)
    call(smaller, quantize_network, case="quantize")
    return call.found


FUNCTIONS = {
    "functions of noise": _noise_functions,
    "functions of detection": _detection_functions,
    "functions of evidence, weighting and wrappers": _evidence_functions,
    "functions of metrics": _metric_functions,
    "functions of model_selection and inspection": _selection_functions,
    "functions of neural": _neural_functions,
}
NEURAL_UNITS = (*NETWORKS, "functions of neural")


def units() -> list[str]:
    """The names of all units, without importing torch."""
    return [*sorted([*(name for group in GROUPS for name in group()), *NETWORKS]), *FUNCTIONS]


def record(unit: str) -> dict[str, dict]:
    """Run the cases of a unit and return the plain values of their results."""
    with one_thread():
        if unit in FUNCTIONS:
            cases = FUNCTIONS[unit]()
        else:
            cases = dict(_cases_of_estimator(unit, _arguments_of(unit)))
        return {case: plain(found) for case, found in cases.items()}


def _arguments_of(unit: str) -> list[dict]:
    groups = (_networks,) if unit in NETWORKS else GROUPS
    return next(found[unit] for group in groups if unit in (found := group()))


if __name__ == "__main__":
    chosen = sys.argv[1:] or units()
    write({unit: record(unit) for unit in chosen}, keep=units())
