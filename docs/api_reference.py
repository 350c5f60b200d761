"""The public names of skrobust by subpackage and by tier, from which the API pages are made.

The tiers are those of the deprecation policy: names to start with, names for a stated situation in
which measurements favour them, and methods of the literature that are here for comparison.
"""

import importlib
import inspect

TIERS = {
    "start": "Start here",
    "specialised": "Specialised",
    "research": "For comparison and research",
}

# What is also importable from a second place is documented where it is defined.
ALIASES = {
    "skrobust.CleaningClassifier": "skrobust.wrappers.CleaningClassifier",
    "skrobust.EnsembleDetector": "skrobust.detection.EnsembleDetector",
    "skrobust.find_label_errors": "skrobust.detection.find_label_errors",
    "skrobust.detection.confident_joint": "skrobust.noise.confident_joint",
    "skrobust.detection.confident_thresholds": "skrobust.noise.confident_thresholds",
}

API_REFERENCE = {
    "skrobust.wrappers": {
        "summary": "Meta-estimators that train a classifier or regressor on noisy labels.",
        "guide": "choosing_a_wrapper",
        "start": ["CleaningClassifier", "CleaningRegressor"],
        "specialised": [
            "CascadeClassifier",
            "LossCorrectedClassifier",
            "ReweightedClassifier",
            "SourceRobustClassifier",
            "SourceRobustRegressor",
            "TeacherStudentClassifier",
            "aggregate_sources",
        ],
        "research": [],
    },
    "skrobust.detection": {
        "summary": "Detectors of label errors, thresholds, and functions on probabilities.",
        "guide": "choosing_a_detector",
        "start": ["EnsembleDetector", "find_label_errors"],
        "specialised": [
            "ConfidentLearning",
            "DecoyThreshold",
            "MultilabelDetector",
            "NegativeClassDetector",
            "NeighborVote",
            "ResidualDetector",
            "TrainingDynamics",
            "TrustedThreshold",
            "detect_from",
            "find_multilabel_errors",
            "find_target_errors",
            "label_quality_scores",
            "multilabel_quality_scores",
            "target_quality_scores",
        ],
        "research": [
            "ConsensusMixture",
            "DensityDetector",
            "EnergyDetector",
            "MixtureThreshold",
            "fine_scores",
            "knn_shapley_scores",
        ],
    },
    "skrobust.inspection": {
        "summary": "Displays of label noise, and the report in which labels are reviewed.",
        "guide": "look_decide_correct",
        "start": ["LabelReport", "apply_corrections"],
        "specialised": [
            "DataMapDisplay",
            "DetectionCurveDisplay",
            "LabelQualityDisplay",
            "NestedWidthDisplay",
            "RobustnessCurveDisplay",
            "TransitionMatrixDisplay",
        ],
        "research": [],
    },
    "skrobust.metrics": {
        "summary": "Scores of models under label noise, and scores of detectors.",
        "guide": "scoring_models",
        "start": ["noise_corrected_score"],
        "specialised": [
            "detection_report",
            "expected_noisy_score",
            "f1_gmean_score",
            "geometric_mean_score",
            "noise_corrected_confusion_matrix",
            "precision_at_budget",
            "rank_flip_prevalence",
            "rank_models",
        ],
        "research": [],
    },
    "skrobust.model_selection": {
        "summary": "Scorers, splitters, audits and curves for noisy labels.",
        "guide": "scoring_models",
        "start": ["LabelledKFold", "make_noise_corrected_scorer"],
        "specialised": [
            "FlipRateAuditor",
            "ReviewBudgetAllocator",
            "lexicographic_refit",
            "noise_robustness_curve",
        ],
        "research": [],
    },
    "skrobust.noise": {
        "summary": "Synthetic label noise, and estimators of the transition matrix.",
        "guide": "choosing_a_wrapper",
        "start": [],
        "specialised": [
            "AnchorTransition",
            "NoiseSimulator",
            "TrustedTransition",
            "confident_joint",
            "confident_thresholds",
            "flip_labels",
            "flip_labels_grouped",
            "flip_labels_instance",
            "pair_transition",
            "random_transition",
            "simulate_annotators",
            "symmetric_transition",
            "unbiased_labels",
        ],
        "research": ["ConfidentTransition", "DualTransition", "NeighborTransition"],
    },
    "skrobust.weighting": {
        "summary": "Sample weights for rows whose labels may be wrong.",
        "guide": "choosing_a_wrapper",
        "start": [],
        "specialised": ["QualityReweighter", "ScorePruner", "TrustedReweighter"],
        "research": [
            "ImportanceReweighter",
            "LossHistoryReweighter",
            "importance_weights",
            "loss_history_weights",
        ],
    },
    "skrobust.linear_model": {
        "summary": "Linear models with the label noise inside the likelihood.",
        "guide": "choosing_a_wrapper",
        "start": [],
        "specialised": ["InstanceFlipClassifier", "NoisyLogisticRegression"],
        "research": [],
    },
    "skrobust.neural": {
        "summary": "Scikit-learn estimators with a torch network inside.",
        "guide": "neural_networks",
        "start": ["NeuralClassifier", "NeuralRegressor"],
        "specialised": [
            "CoTeachingClassifier",
            "ELRClassifier",
            "FeatureTuneClassifier",
            "FeatureTuneTransformer",
            "HalfFineTuning",
            "MetaRescaledClassifier",
            "SmallerNetwork",
            "prune_network",
            "quantize_network",
        ],
        "research": ["NestedDropoutClassifier", "SOPClassifier"],
    },
    "skrobust.neural.losses": {
        "summary": "Losses for noisy labels and noisy targets.",
        "guide": "neural_networks",
        "start": [],
        "specialised": [
            "ActivePassiveLoss",
            "CrossEntropy",
            "ForwardCorrected",
            "GeneralizedCrossEntropy",
            "Huber",
            "LabelSmoothing",
            "RobustLoss",
            "SquaredError",
            "SymmetricCrossEntropy",
            "TrimmedSquaredError",
        ],
        "research": [
            "BackwardCorrected",
            "Bootstrapping",
            "CORES",
            "LogCosh",
            "MeanAbsoluteError",
            "NormalizedCrossEntropy",
            "PeerLoss",
            "SoftDice",
            "TripletAlignment",
            "VolumeMinimizing",
        ],
    },
    "skrobust.neural.layers": {
        "summary": "Layers that limit what a network can memorise.",
        "guide": "neural_networks",
        "start": [],
        "specialised": [],
        "research": ["FixedSimplex", "HiddenNoise", "NestedDropout", "VariationalBottleneck"],
    },
    "skrobust.neural.modules": {
        "summary": "Networks for the neural estimators, and augmentation.",
        "guide": "neural_networks",
        "start": [],
        "specialised": [
            "Augmented",
            "MLP",
            "Normalize",
            "RandomCropFlip",
            "ResNet18",
            "SmallCNN",
            "make_image_module",
        ],
        "research": [],
    },
    "skrobust.base": {
        "summary": "Base classes of detectors, reweighters, transition estimators and thresholds.",
        "guide": "write_your_own",
        "start": [],
        "specialised": [
            "DetectionResult",
            "LabelErrorDetector",
            "LabelQualityThreshold",
            "LabelledData",
            "NoiseLevel",
            "Reweighter",
            "ThresholdInput",
            "ThresholdResult",
            "TransitionEstimator",
        ],
        "research": [],
    },
    "skrobust.evidence": {
        "summary": "Out-of-sample predictions, predictions by stage, and neighbours of rows.",
        "guide": "choosing_a_detector",
        "start": [],
        "specialised": [
            "Evidence",
            "Mixture",
            "Neighbors",
            "OutOfBag",
            "OutOfFold",
            "Stages",
            "neighbor_graph",
            "out_of_bag_proba",
            "out_of_fold_proba",
            "staged_proba",
        ],
        "research": [],
    },
    "skrobust.datasets": {
        "summary": "Small data sets with real label errors, shipped with the package.",
        "guide": "look_decide_correct",
        "start": ["load_mnist_errors", "load_youtube_spam"],
        "specialised": [],
        "research": [],
    },
    "skrobust.utils": {
        "summary": "The warning of this package.",
        "guide": "labels_and_tables",
        "start": [],
        "specialised": ["LabelNoiseWarning"],
        "research": [],
    },
    "skrobust.testing": {
        "summary": "Checks for detectors, reweighters and other estimators of third parties.",
        "guide": "write_your_own",
        "start": [],
        "specialised": [
            "check_detector",
            "check_label_error_detector",
            "check_multilabel_detector",
            "check_regression_detector",
            "check_reweighter",
            "check_robust_classifier",
            "check_robust_regressor",
            "check_transition_estimator",
            "parametrize_with_robust_checks",
            "yield_checks",
        ],
        "research": [],
    },
}

ALIASES |= {
    f"skrobust.utils.estimator_checks.{name}": f"skrobust.testing.{name}"
    for name in API_REFERENCE["skrobust.testing"]["specialised"]
}


def index_page() -> str:
    """The page that lists all tiers and links the pages of the subpackages."""
    lines = [
        "=============",
        "API reference",
        "=============",
        "",
        "Names are in three tiers. *Start here* has the names that suffice for most tasks;",
        "*Specialised* those for a stated situation, or the parts from which others are made;",
        "*For comparison and research* has methods of the literature that our own measurements",
        "do not favour. A name moves between tiers by measurement only.",
        "",
        ".. toctree::",
        "   :hidden:",
        "",
        *[f"   {module}" for module in API_REFERENCE],
        "",
    ]
    for tier, title in TIERS.items():
        lines += [title, "=" * len(title), ""]
        for module, content in API_REFERENCE.items():
            if not content[tier]:
                continue
            names = ", ".join(f":obj:`~{module}.{name}`" for name in content[tier])
            lines += [f":doc:`{module}`", f"    {names}", ""]
    return "\n".join(lines)


def module_page(module: str) -> str:
    """The page of a subpackage, with one table per tier."""
    content = API_REFERENCE[module]
    lines = [module, "=" * len(module), "", f".. module:: {module}", "", content["summary"], ""]
    lines += [f"User guide: :doc:`/{content['guide']}`.", ""]
    for tier, title in TIERS.items():
        if not content[tier]:
            continue
        lines += [title, "-" * len(title), "", f".. currentmodule:: {module}", ""]
        lines += [".. autosummary::", "   :toctree: ../generated", "   :template: object.rst", ""]
        lines += [f"   {name}" for name in content[tier]]
        lines += [""]
    return "\n".join(lines)


def guide_pages() -> dict[str, str]:
    """The user guide page of each public name."""
    return {
        f"{module}.{name}": content["guide"]
        for module, content in API_REFERENCE.items()
        for tier in TIERS
        for name in content[tier]
    }


def llms_text() -> str:
    """The contents of llms.txt: what the package is, and one line for each public name."""
    lines = [
        "# skrobust",
        "",
        "> A scikit-learn-compatible toolkit for noisy labels: it finds label errors, trains",
        "> models despite them, and estimates scores against the true labels.",
        "",
        "Start with `skrobust.CleaningClassifier(estimator).fit(X, y)`; its `detector_` has",
        "`label_errors_`, `label_quality_`, `corrected_labels_` and `noise_rate_`. Pass labels",
        "that were checked as `fit(X, y, verified_labels=...)`, None for all other rows.",
        "`skrobust audit table.csv --label column --out reviewed.csv` cleans a table.",
        "",
        "The tiers are: start here; specialised; for comparison and research.",
        "",
    ]
    for tier, title in TIERS.items():
        lines += [f"## {title}", ""]
        for module, content in API_REFERENCE.items():
            for name in content[tier]:
                found = getattr(importlib.import_module(module), name)
                summary = inspect.getdoc(found).split("\n\n")[0].replace("\n", " ")
                lines.append(f"- [{module}.{name}](generated/{module}.{name}.html): {summary}")
        lines.append("")
    return "\n".join(lines)
