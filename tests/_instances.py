"""Which instances of each public estimator the common checks look at, and what may fail there.

A public estimator without an entry is checked with its default arguments, so that a new one is
tested by being public. An entry is for cheap arguments, and for arguments that change the code
that runs.
"""

import contextlib
import importlib
import inspect
import os
import pkgutil

import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.fixes import parse_version

import skrobust
from tests._stand_ins import VerifyingReweighter, VerifyingTransition

# Before 1.7, more of scikit-learn's checks made y themselves, and tags of a Pipeline said less.
OLD_CHECKS = parse_version(sklearn.__version__) < parse_version("1.7")


def _logistic():
    """A linear model that is solved well enough not to depend on the order of rows."""
    return LogisticRegression(tol=1e-8, max_iter=1000)


def _forest():
    """A forest of few trees with out-of-bag probabilities."""
    return ExtraTreesClassifier(25, bootstrap=True, oob_score=True, min_samples_leaf=3)


def _confident_learning():
    # Rules and scores are functions of probabilities: tests/detection and the recorded results.
    yield {"estimator": GaussianNB(), "store_estimators": True}
    yield {"estimator": _forest()}
    yield {"estimator": _logistic(), "rule": "confident_learning", "cv": 3}
    yield {"estimator": GaussianNB(), "rule": "low_self_confidence", "threshold": 0.4}
    yield {"estimator": GaussianNB(), "flag_fraction": 0.1, "max_flag_rate": None}


def _ensemble_detector():
    yield {"estimators": [GaussianNB(), _logistic()]}
    yield {"estimators": [_forest(), "neighbors"], "store_estimators": True}
    yield {
        "estimators": [GaussianNB(), "neighbors"],
        "weights": "uniform",
        "rule": "prune_by_class",
        "quality_method": "self_confidence",
    }


def _cascade_classifier():
    yield {"fast_estimator": GaussianNB(), "accurate_estimator": _logistic()}
    yield {
        "fast_estimator": _logistic(),
        "accurate_estimator": GaussianNB(),
        "call_share": 0.2,
        "uncertainty": "margin",
        "cv": 3,
    }


def _source_robust_classifier():
    # Without sources: tests/wrappers/test_source_robust.py runs the checks with them.
    yield {"estimator": _logistic()}
    yield {"estimator": GaussianNB(), "combine": "predictions", "n_faulty": 0}


def _source_robust_regressor():
    yield {"estimator": _ridge()}
    yield {"estimator": _ridge(), "combine": "predictions", "n_faulty": 0}
    yield {"estimator": _ridge(), "combine": "coefficients"}


def _cleaning_classifier():
    from skrobust.detection import ConfidentLearning, EnsembleDetector

    for action in ("relabel", "drop", "reweight"):
        detector = ConfidentLearning(GaussianNB())
        yield {"estimator": _logistic(), "detector": detector, "action": action}
    yield {"detector": EnsembleDetector([GaussianNB(), "neighbors"])}
    detector = ConfidentLearning(_forest())
    yield {"estimator": _logistic(), "detector": detector, "random_state": 0}
    detector = ConfidentLearning(_logistic(), rule="low_self_confidence")
    yield {"estimator": GaussianNB(), "detector": detector, "cv": 3}


def _loss_corrected_classifier():
    from skrobust.noise import AnchorTransition

    linear = LogisticRegression(tol=1e-10, max_iter=10_000)
    anchors = AnchorTransition(_forest())
    yield {"estimator": linear, "transition": anchors, "evidence": GaussianNB()}
    # Weights that add up to little against their sizes leave a solver few digits.
    stiff = clone(linear).set_params(C=0.1)
    yield {"estimator": stiff, "transition": anchors, "method": "backward"}
    yield {"estimator": GaussianNB(), "transition": anchors, "method": "posterior", "cv": 3}


def _reweighted_classifier():
    from skrobust.detection import ConfidentLearning
    from skrobust.weighting import QualityReweighter

    reweighter = QualityReweighter(ConfidentLearning(GaussianNB()))
    yield {"estimator": _logistic(), "reweighter": reweighter}
    reweighter = QualityReweighter(ConfidentLearning(_logistic()), power=1.0)
    yield {"estimator": GaussianNB(), "reweighter": reweighter, "cv": 3, "random_state": 0}


def _regression_forest(n_estimators):
    return ExtraTreesRegressor(n_estimators, bootstrap=True, oob_score=True, min_samples_leaf=3)


def _ridge():
    """A linear model that is solved well enough not to depend on the order of rows."""
    return Ridge(alpha=0.1, tol=1e-12)


def _residual_detector():
    from skrobust.detection import DecoyThreshold

    yield {"estimator": _regression_forest(60), "store_estimators": True}
    yield {"estimator": _ridge(), "threshold": DecoyThreshold()}
    yield {"estimator": _ridge(), "cv": 3, "n_bootstrap": 2}
    yield {"estimator": _ridge(), "rule": "refit", "flag_fraction": 0.1, "cv": 2}


def _cleaning_regressor():
    from skrobust.detection import ResidualDetector

    detector = ResidualDetector(_regression_forest(40))
    yield {"estimator": _ridge(), "detector": detector}
    detector = ResidualDetector(_ridge(), cv=3)
    yield {"estimator": _ridge(), "detector": detector, "action": "relabel"}
    yield {"estimator": _ridge(), "detector": detector, "action": "reweight"}


def _multilabel_detector():
    from skrobust.detection import DecoyThreshold, MixtureThreshold

    yield {"estimator": GaussianNB()}
    yield {"estimator": GaussianNB(), "threshold": DecoyThreshold()}
    yield {"estimator": _forest(), "threshold": MixtureThreshold(per_class=True)}
    yield {"estimator": _forest(), "aggregate": "min", "rule": "both"}
    yield {"estimator": GaussianNB(), "strategy": "one_vs_rest", "rule": "low_self_confidence"}
    yield {"estimator": GaussianNB(), "aggregate": "mean", "flag_fraction": 0.1}
    yield {"estimator": MultiOutputClassifier(GaussianNB())}


def _multilabel_failures(estimator):
    names = (
        "check_estimators_dtypes",
        "check_fit2d_1feature",
        "check_sample_weights_not_an_array",
        "check_sample_weights_not_overwritten",
        "check_sample_weights_pandas_series",
        "check_sample_weights_shape",
    )
    if OLD_CHECKS:
        names += (
            "check_dict_unchanged",
            "check_dont_overwrite_parameters",
            "check_dtype_object",
            "check_estimator_sparse_array",
            "check_estimator_sparse_matrix",
            "check_estimators_empty_data_messages",
            "check_estimators_fit_returns_self",
            "check_estimators_overwrite_params",
            "check_estimators_pickle",
            "check_f_contiguous_array_estimator",
            "check_fit2d_predict1d",
            "check_fit_check_is_fitted",
            "check_methods_sample_order_invariance",
            "check_methods_subset_invariance",
            "check_pipeline_consistency",
            "check_readonly_memmap_input",
            "check_sample_weight_equivalence_on_dense_data",
        )
        if get_tags(estimator).input_tags.sparse:
            names += ("check_sample_weight_equivalence_on_sparse_data",)
    reason = "y holds more than 0 and 1; check_multilabel_detector is run instead"
    return dict.fromkeys(names, reason)


def _dynamics_failures(estimator):
    if OLD_CHECKS and isinstance(estimator.estimator, Pipeline):
        reason = "a Pipeline says that it takes sparse X, whatever its scaler takes"
        return {"check_sample_weight_equivalence_on_sparse_data": reason}
    return {}


def _training_dynamics():
    yield {}
    yield {"cv": 3, "n_stages": 10, "statistic": "mean_loss", "store_estimators": True}
    yield {"rule": "fake_class", "n_stages": 10, "statistic": "el2n"}
    yield {"estimator": GaussianNB(), "n_stages": 2, "statistic": "forgetting", "cv": 3}
    learner = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.02)
    yield {"estimator": make_pipeline(StandardScaler(), learner), "n_stages": 3}


def _energy_detector():
    yield {}
    yield {"estimator": _logistic(), "cv": 3, "store_estimators": True}
    yield {"estimator": GaussianNB(), "temperature": 2.0}


def _consensus_mixture():
    yield {"estimators": [_forest(), GaussianNB()]}
    yield {"estimators": [_logistic(), GaussianNB()], "cv": 3, "store_estimators": True}


def _neighbor_vote():
    yield {}
    yield {"method": "rank", "metric": "cosine", "store_estimators": True}
    yield {"method": "shapley"}
    yield {"n_rounds": 3, "scale": "standard", "flag_fraction": 0.1}


def _neighbor_transition():
    yield {"n_starts": 2}
    yield {"n_neighbors": 3, "scale": "rank", "n_starts": 1, "n_bootstrap": 3}


def _confident_transition():
    yield {"estimator": _forest()}
    yield {"estimator": GaussianNB(), "cv": 3, "n_bootstrap": 3}


def _anchor_transition():
    yield {"estimator": _forest(), "n_bootstrap": 3}
    yield {"estimator": _logistic(), "statistic": "proba", "anchor_share": 0.8}


def _dual_transition():
    yield {"estimator": _forest()}
    yield {"estimator": GaussianNB(), "sharpness": 1.0, "anchor_share": 0.3, "n_bootstrap": 3}


def _trusted_transition():
    yield {"estimator": _forest(), "n_bootstrap": 3}
    yield {"estimator": GaussianNB(), "cv": 3}


def _noise_simulator():
    yield {"min_region_size": 20}
    yield {"regions": "clusters", "n_regions": 2, "shrinkage": 30, "n_neighbors": 3}
    yield {"n_regions": 1, "scale": "rank", "n_starts": 1}


def _density_detector():
    yield {}
    yield {"density": "kde", "cv": 3, "n_dimensions": 2, "store_estimators": True}
    yield {"density": "gaussian_mixture", "threshold": 0.4, "max_flag_rate": None}


def _negative_class_detector():
    yield {"estimator": GaussianNB()}
    yield {"estimator": _forest(), "metric": "euclidean", "store_estimators": True}


def _instance_flip_classifier():
    yield {}
    yield {"fixed_flip_rate": 0.1, "C": 10.0}
    yield {"flip_C": 0.1, "prior_strength": 5.0, "fit_intercept": False}


def _instance_flip_failures(estimator):
    reason = "the class whose labels flip is the last one if none is named: renaming turns it round"
    failures = {"check_renamed_classes": reason}
    if OLD_CHECKS:
        reason = "y is made binary by its first label, which is not the same one in both fits"
        failures["check_sample_weight_equivalence_on_dense_data"] = reason
        failures["check_sample_weight_equivalence_on_sparse_data"] = reason
    return failures


# On the CPU, where fits are equal bit for bit.
_NETWORK = {"learning_rate": 0.01, "max_epochs": 20, "device": "cpu"}
_SMALL_NETWORK = {**_NETWORK, "hidden_layer_sizes": (32,), "dtype": "float64"}


def _neural_classifier():
    yield _SMALL_NETWORK
    yield {
        **_NETWORK,
        "weight_decay": 0.0,
        "ema_decay": 0.9,
        "criterion": "generalized_cross_entropy",
    }


def _neural_regressor():
    yield {**_SMALL_NETWORK, "max_epochs": 40}
    yield {**_SMALL_NETWORK, "max_epochs": 40, "criterion": "trimmed", "early_stopping": True}


def _nested_dropout_classifier():
    # A tenth of the rows of these checks are too few to choose the width on.
    yield {**_SMALL_NETWORK, "validation_fraction": 0.2, "sigma": 40.0}
    yield {**_SMALL_NETWORK, "early_stopping": False, "sigma": 40.0}


def _co_teaching_classifier():
    yield {**_SMALL_NETWORK, "forget_rate": 0.15}


# The running means of norms take some steps to get where the batches are; and staying close to
# few features, as these checks have, is staying where classes overlap.
_TUNED = {
    **_NETWORK,
    "learning_rate": 0.03,
    "max_epochs": 30,
    "dtype": "float64",
    "closeness": 0.02,
}


def _feature_tune_classifier():
    yield _TUNED


def _feature_tune_transformer():
    from skrobust.neural import FeatureTuneClassifier

    yield {"classifier": FeatureTuneClassifier(**_TUNED)}


def _norm_failures(estimator):
    names = (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    )
    return dict.fromkeys(names, "norms over a batch look at rows, whatever their weights")


def _meta_rescaled_classifier():
    yield {**_SMALL_NETWORK, "max_epochs": 10}


def _elr_classifier():
    yield _SMALL_NETWORK


def _sop_classifier():
    yield _SMALL_NETWORK


def _neural_failures(estimator):
    if estimator.dtype == "float64":
        return {}
    names = (
        "check_methods_subset_invariance",
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    )
    return dict.fromkeys(names, "the tolerance is 1e-7, and the network computes in float32")


def _noisy_logistic_regression():
    from skrobust.noise import AnchorTransition, NeighborTransition

    yield {"transition": AnchorTransition(_forest())}
    yield {"transition": "learn", "tol": 1e-6}
    yield {"transition": NeighborTransition(n_starts=1), "C": 10.0, "fit_intercept": False}


def _quality_reweighter():
    from skrobust.detection import ConfidentLearning, NeighborVote, TrainingDynamics

    yield {"detector": ConfidentLearning(GaussianNB()), "cv": 3}
    yield {"detector": NeighborVote(), "power": 1, "per_class": False}
    yield {"detector": TrainingDynamics(n_stages=10), "power": 8.0}


def _importance_reweighter():
    from skrobust.noise import NeighborTransition

    transition = NeighborTransition(n_starts=1)
    yield {"transition": transition, "estimator": _forest()}
    yield {"transition": transition, "estimator": GaussianNB(), "cv": 3}


def _loss_history_reweighter():
    yield {"n_stages": 10}
    yield {"n_stages": 10, "reference": "all", "beta_high": 1.5, "beta_low": 3, "cv": 3}
    learner = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.02)
    yield {"estimator": make_pipeline(StandardScaler(), learner), "n_stages": 3}


def _score_pruner():
    from skrobust.detection import ConfidentLearning, TrainingDynamics

    yield {"detector": ConfidentLearning(GaussianNB(), quality_method="normalized_margin")}
    yield {"detector": ConfidentLearning(_forest()), "offset": 0.2, "keep": 0.7}
    detector = TrainingDynamics(n_stages=10)
    yield {"statistic": "forgetting", "offset": 0.2, "per_class": False, "detector": detector}


def _teacher_student_classifier():
    yield {"estimator": _logistic(), "teacher": GaussianNB()}
    yield {"estimator": GaussianNB(), "teacher": _forest(), "selection": "mixture"}
    yield {"estimator": _logistic(), "teacher": _logistic(), "n_rounds": 2, "cv": 3}
    yield {"estimator": GaussianNB(), "teacher": _forest(), "selection": "all"}


def _trusted_reweighter():
    from skrobust.detection import ConfidentLearning, TrainingDynamics

    yield {"detector": ConfidentLearning(GaussianNB()), "cv": 3}
    yield {"detector": TrainingDynamics(n_stages=10), "power": 1}


# Generators of constructor arguments, by the name of the class.
ARGUMENTS = {
    "AnchorTransition": _anchor_transition,
    "CascadeClassifier": _cascade_classifier,
    "CleaningClassifier": _cleaning_classifier,
    "CoTeachingClassifier": _co_teaching_classifier,
    "CleaningRegressor": _cleaning_regressor,
    "ConfidentLearning": _confident_learning,
    "ConfidentTransition": _confident_transition,
    "DensityDetector": _density_detector,
    "DualTransition": _dual_transition,
    "ConsensusMixture": _consensus_mixture,
    "ELRClassifier": _elr_classifier,
    "EnergyDetector": _energy_detector,
    "FeatureTuneClassifier": _feature_tune_classifier,
    "FeatureTuneTransformer": _feature_tune_transformer,
    "LossHistoryReweighter": _loss_history_reweighter,
    "MetaRescaledClassifier": _meta_rescaled_classifier,
    "MultilabelDetector": _multilabel_detector,
    "NegativeClassDetector": _negative_class_detector,
    "NeighborTransition": _neighbor_transition,
    "NeighborVote": _neighbor_vote,
    "NoiseSimulator": _noise_simulator,
    "ImportanceReweighter": _importance_reweighter,
    "InstanceFlipClassifier": _instance_flip_classifier,
    "NestedDropoutClassifier": _nested_dropout_classifier,
    "NeuralClassifier": _neural_classifier,
    "NeuralRegressor": _neural_regressor,
    "NoisyLogisticRegression": _noisy_logistic_regression,
    "QualityReweighter": _quality_reweighter,
    "LossCorrectedClassifier": _loss_corrected_classifier,
    "ReweightedClassifier": _reweighted_classifier,
    "ResidualDetector": _residual_detector,
    "SOPClassifier": _sop_classifier,
    "ScorePruner": _score_pruner,
    "SourceRobustClassifier": _source_robust_classifier,
    "SourceRobustRegressor": _source_robust_regressor,
    "TeacherStudentClassifier": _teacher_student_classifier,
    "TrainingDynamics": _training_dynamics,
    "TrustedReweighter": _trusted_reweighter,
    "TrustedTransition": _trusted_transition,
    "EnsembleDetector": _ensemble_detector,
}

# Classes that are looked at in the place of others, which need more than X and y.
STAND_INS = {
    "TrustedReweighter": VerifyingReweighter,
    "TrustedTransition": VerifyingTransition,
}

# By the name of the class: a function that takes an instance and returns the checks that fail,
# with reasons. There are three kinds of reasons only: a tolerance of 1e-7 that float32 cannot
# keep; what scikit-learn exempts the inner model from, or what no method that is stochastic,
# looks at neighbours or decoys, or treats classes unequally can meet; and tags that ask for
# metadata or for y of another shape (such classes name the suite that they run instead).
EXPECTED_FAILURES = {
    "FeatureTuneClassifier": _norm_failures,
    "FeatureTuneTransformer": _norm_failures,
    "InstanceFlipClassifier": _instance_flip_failures,
    "MetaRescaledClassifier": _norm_failures,
    "MultilabelDetector": _multilabel_failures,
    "LossHistoryReweighter": _dynamics_failures,
    "NeuralClassifier": _neural_failures,
    "TrainingDynamics": _dynamics_failures,
}


def _public_modules():
    """All modules of the package that have no part with a leading underscore."""
    waiting = [skrobust]
    while waiting:
        package = waiting.pop()
        yield package
        for info in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
            if not info.name.rpartition(".")[2].startswith("_"):
                # What an optional extra is missing for, tests/test_docstrings.py names.
                with contextlib.suppress(ImportError):
                    waiting.append(importlib.import_module(info.name))


def public_estimators() -> list[type]:
    """The estimators that a public module lists in `__all__`, without the base classes.

    Returns
    -------
    classes : list of type
        Sorted by name.
    """
    found = set()
    for module in _public_modules():
        for name in getattr(module, "__all__", ()):
            cls = getattr(module, name, None)
            if inspect.isclass(cls) and issubclass(cls, BaseEstimator):
                found.add(cls)
    return sorted(
        (
            c
            for c in found
            if not c.__module__.startswith("skrobust.base.") and not inspect.isabstract(c)
        ),
        key=lambda cls: cls.__name__,
    )


# Their default has hundreds of trees or several models inside, or starts often. It is among the
# instances if all are chosen.
SLOW_DEFAULTS = {
    "CleaningClassifier",
    "ConfidentLearning",
    "ConfidentTransition",
    "EnsembleDetector",
    "ImportanceReweighter",
    "LossCorrectedClassifier",
    "QualityReweighter",
    "ReweightedClassifier",
}


def chosen_instances() -> str:
    """How many instances are checked: see conftest.py."""
    chosen = os.environ.get("SKROBUST_TESTS_INSTANCES", "usual")
    if chosen not in ("first", "usual", "all"):
        raise ValueError(f"SKROBUST_TESTS_INSTANCES={chosen} is none of first, usual, all.")
    return chosen


def first_of_each(instances: list[BaseEstimator]) -> list[BaseEstimator]:
    """The first instance of each class."""
    found = {}
    for instance in instances:
        found.setdefault(type(instance), instance)
    return list(found.values())


def instances_of(cls: type) -> list[BaseEstimator]:
    """Make the instances of a class that the common checks look at: see conftest.py."""
    chosen = chosen_instances()
    arguments = ARGUMENTS.get(cls.__name__, lambda: [{}])
    stand_in = STAND_INS.get(cls.__name__, cls)
    instances = [stand_in(**kwargs) for kwargs in arguments()]
    if chosen == "all" and cls.__name__ in SLOW_DEFAULTS:
        instances.append(cls())
    return instances[:1] if chosen == "first" else instances


def all_instances() -> list[BaseEstimator]:
    """Make the instances of all public estimators."""
    return [instance for cls in public_estimators() for instance in instances_of(cls)]


def expected_failed_checks(estimator) -> dict[str, str]:
    """Names of the checks that an estimator is known to fail, and why."""
    expected = EXPECTED_FAILURES.get(type(estimator).__name__)
    return expected(estimator) if expected else {}
