"""Tables of the documentation, read from benchmarks/results/."""

import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from api_reference import API_REFERENCE, TIERS

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
# The subpackage of each public name, without the package.
SUBPACKAGE = {
    name: module.removeprefix("skrobust.")
    for module, content in API_REFERENCE.items()
    for tier in TIERS
    for name in content[tier]
}


def result_rows(name: str) -> list[dict]:
    """The rows of a result file."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]


def _value(name: str, column: str, **wanted) -> float:
    """The entry of `column` in the only row of a result file that has these other entries."""
    (row,) = [
        row for row in result_rows(name) if all(row[key] == value for key, value in wanted.items())
    ]
    return row[column]


def _best(name: str, column: str, prefix: str) -> float:
    """The largest entry of `column` over the methods whose name starts with `prefix`."""
    return max(
        row[column]
        for row in result_rows(name)
        if row["method"].startswith(prefix) and row[column] is not None
    )


def _text(value: float, scale: int = 1, digits: int = 3) -> str:
    """`value` times `scale` with so many digits, halves rounded up as in the guide."""
    step = Decimal(1).scaleb(-digits)
    rounded = (Decimal(str(value)) * scale).quantize(step, rounding=ROUND_HALF_UP)
    return str(abs(rounded) if rounded == 0 else rounded)


def comparison() -> list[tuple[str, str, str, str]]:
    """Rows of the comparison: what was measured, plain training, cleanlab, skrobust."""
    plain, cleanlab, ours = "plain", "cleanlab", "cleaning/relabel"

    def synthetic(column, scale, digits):
        files = ("robust_synthetic_default", "robust_synthetic", "robust_synthetic_default")
        return [
            _text(_value(name, column, method=method), scale, digits)
            for name, method in zip(files, (plain, cleanlab, ours), strict=True)
        ]

    def real(verified):
        return [
            _text(_value("robust_real", "mean", method=method, verified=verified))
            for method in (plain, cleanlab, ours)
        ]

    def two(noise, column, scale, digits):
        return [
            _text(_value("harm", column, method=method, noise=noise), scale, digits)
            for method in ("cleanlab", "skrobust")
        ]

    return [
        (
            "Synthetic noise: gap to training without the wrong rows that is closed, %",
            *synthetic("gap closed", 100, 0),
        ),
        (
            "The same tables without noise: accuracy lost, points",
            *synthetic("lost on clean labels", 100, 2),
        ),
        ("Real wrong labels, seven data sets: mean score", *real("-")),
        ("The same with 2 % of the rows verified", *real("2 %")),
        (
            "Synthetic noise: average precision of the ranking (cleanlab: best of its scores)",
            "",
            _text(_best("detection_synthetic", "ap", "score/")),
            _text(_value("detection_synthetic_default", "ap", method="detector/default")),
        ),
        (
            "Synthetic noise: F1 of the flagged rows (cleanlab: best of its rules)",
            "",
            _text(_best("detection_synthetic", "f1", "cleanlab/")),
            _text(_value("detection_synthetic_default", "f1", method="detector/default")),
        ),
        ("Errors only where classes meet: average precision", "", *two("boundary", "ap", 1, 3)),
        ("Errors only where classes meet: F1", "", *two("boundary", "f1", 1, 3)),
        (
            "Right labels, all flags corrected: labels changed, %",
            "0.0",
            *two("clean", "change", 100, 1),
        ),
    ]


# Public name and settings, situation, whether verified rows are needed, method in the results.
WRAPPERS = [
    ("CleaningClassifier", "", "noisy labels, any classifier", "no", "cleaning/relabel"),
    ("CleaningClassifier", 'action="drop"', "the same", "no", "cleaning/drop"),
    (
        "CleaningClassifier",
        "only_if_better=True",
        "labels made by rules or heuristics",
        "no; much better with",
        "cleaning/relabel if better",
    ),
    ("CleaningClassifier", 'action="reweight"', "the same", "no", "cleaning/reweight"),
    ("TeacherStudentClassifier", "", "labels missing as well", "no", "teacher_student"),
    ("ReweightedClassifier", "QualityReweighter", "every row kept", "no", "reweighted/quality"),
    ("ReweightedClassifier", "ImportanceReweighter", "the same", "no", "reweighted/importance"),
    ("ReweightedClassifier", "LossHistoryReweighter", "the same", "no", "reweighted/history"),
    (
        "ReweightedClassifier",
        "TrustedReweighter",
        "some verified rows",
        "yes",
        "reweighted/trusted",
    ),
    (
        "LossCorrectedClassifier",
        'method="importance"',
        "a known transition matrix",
        "no",
        "corrected/importance",
    ),
    ("LossCorrectedClassifier", 'method="posterior"', "the same", "no", "corrected/posterior"),
    ("LossCorrectedClassifier", 'method="backward"', "the same", "no", "corrected/backward"),
    ("NoisyLogisticRegression", "", "a linear model", "no", "noisy_logistic/estimated"),
    ("NoisyLogisticRegression", 'transition="learn"', "the same", "no", "noisy_logistic/learn"),
    ("InstanceFlipClassifier", "", "errors of two classes in one direction", "no", "instance_flip"),
]
DETECTORS = [
    ("EnsembleDetector", "", "any", "detector/default"),
    ("EnsembleDetector", "threshold=DecoyThreshold()", "any", "detector/default+decoys"),
    ("ConfidentLearning", "", "any classifier", "detector/base"),
    ("TrainingDynamics", "", "a model with stages", "detector/dynamics"),
    ("ConsensusMixture", "", "several models", "detector/consensus"),
    ("NeighborVote", "", "numeric, a good embedding", "detector/neighbors"),
    ("DensityDetector", "", "numeric", "detector/density"),
    ("EnergyDetector", "", "rows that belong to no class", "detector/energy"),
]
NETWORKS = [
    ("NeuralClassifier", "plain", "plain"),
    ("NeuralClassifier", "label_smoothing", "label smoothing"),
    ("NeuralClassifier", "mixup", "mixup"),
    ("NeuralClassifier", "GeneralizedCrossEntropy", "generalized cross-entropy"),
    ("NeuralClassifier", "SymmetricCrossEntropy", "symmetric cross-entropy"),
    ("CoTeachingClassifier", "", "co-teaching"),
    ("ELRClassifier", "", "ELR"),
    ("ELRClassifier", "ensemble=True", "ELR ensemble"),
    ("SOPClassifier", "", "SOP"),
    ("MetaRescaledClassifier", "", "meta-rescaled"),
    ("NestedDropoutClassifier", "", "nested dropout"),
    ("NestedDropoutClassifier", 'compression="bottleneck"', "bottleneck"),
    ("CleaningClassifier", "NeuralClassifier", "cleaned labels"),
]


def _found(name: str, **wanted) -> dict:
    """The only row of a result file with these entries; {} if there is none."""
    rows = [
        row for row in result_rows(name) if all(row[key] == value for key, value in wanted.items())
    ]
    if len(rows) > 1:
        raise ValueError(f"{name}.json has {len(rows)} rows with {wanted}.")
    return rows[0] if rows else {}


def _cell(row: dict, column: str, scale: int = 1, digits: int = 2) -> str:
    """One entry as text, a dash where it was not measured."""
    value = row.get(column)
    return "–" if value is None else _text(value, scale, digits)


def _markdown(header: list[str], rows: list) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _method(name: str, settings: str) -> str:
    """A name that links its page, with its settings."""
    link = f"{{any}}`{name} <skrobust.{SUBPACKAGE[name]}.{name}>`"
    return (
        f"{link}, {settings}"
        if settings.isidentifier()
        else f"{link} `{settings}`".replace(" ``", "")
    )


def wrapper_table() -> str:
    """Wrappers and linear models: gap closed by kind of noise, losses, seconds, real data."""
    plain = {
        verified: _value("robust_real", "mean", method="plain", verified=verified)
        for verified in ("-", "2 %")
    }
    plain_seconds = _text(_value("robust_synthetic_wrappers", "seconds", method="plain"), digits=1)
    rows = []
    for name, settings, situation, verified, method in WRAPPERS:
        found = _found("robust_synthetic_wrappers", method=method)
        gaps = [
            _cell(found, column)
            for column in (
                "gap closed",
                "symmetric 0.2",
                "symmetric 0.4",
                "pair 0.3",
                "instance 0.3",
            )
        ]
        real = []
        for share, score in plain.items():
            # A mean over fewer data sets cannot be compared with that of plain training.
            scores = _found("robust_real", method=method, verified=share)
            mean = None if None in scores.values() else scores.get("mean")
            real.append("–" if mean is None else _text(round(mean - score, 4), 100, 1))
        lost = _cell(found, "lost on clean labels", 100, 1)
        seconds = _cell(found, "seconds", digits=1)
        rows.append([_method(name, settings), situation, verified, *gaps, lost, seconds, *real])
    return _markdown(
        [
            "method",
            "situation",
            "needs verified rows",
            "gap closed, mean",
            "symmetric 20 %",
            "symmetric 40 %",
            "pair 30 %",
            "by row 30 %",
            "lost on clean labels, points",
            f"seconds (plain training: {plain_seconds})",
            "real data, points gained",
            "the same, 2 % verified",
        ],
        rows,
    )


def detector_table() -> str:
    """Detectors: ranking, flags and seconds."""
    rows = []
    for name, settings, situation, method in DETECTORS:
        newest = _found("detection_synthetic_default", method=method)
        found = newest or _found("detection_synthetic", method=method)
        scores = [_cell(found, column, digits=3) for column in ("ap", "f1")]
        rows.append([_method(name, settings), situation, *scores, str(found["cells"])])
    return _markdown(["detector", "input", "average precision", "F1 of the flags", "cells"], rows)


def network_table() -> str:
    """Networks: share of the gap closed on tables and CIFAR-10N, and time."""
    seconds = _value("neural_tabular", "seconds", method="plain")
    rows = []
    for name, settings, method in NETWORKS:
        files = ("neural_tabular", "neural_cifar10n_10000", "neural_cifar10n")
        found = [_found(file, method=method) for file in files]
        cost = _text(round(found[0]["seconds"] / seconds, 3), digits=1)
        gaps = [_cell(row, "gap closed") for row in found]
        worst = min(row["gap closed"] for row in found)
        rows.append([_method(name, settings), *gaps, _text(worst, digits=2), cost])
    return _markdown(
        [
            "network",
            "four tables",
            "CIFAR-10N, 10 000 rows",
            "CIFAR-10N, all rows",
            "worst of the three",
            "time against the plain network",
        ],
        rows,
    )


def probability_table() -> str:
    """Seconds and memory of finding errors in given probabilities, beside cleanlab."""
    cases = ("skrobust find n_jobs=1", "cleanlab find n_jobs=1")
    rows = []
    for shape in dict.fromkeys(row["shape"] for row in result_rows("bench_confident")):
        found = [_found("bench_confident", shape=shape, case=case) for case in cases]
        rows.append(
            [
                shape,
                *[_cell(row, "median_s", digits=2) for row in found],
                *[_cell(row, "extra_mb", digits=0) for row in found],
            ]
        )
    header = ["rows x classes", "seconds", "cleanlab 2.9", "extra MB", "cleanlab 2.9"]
    return _markdown(header, rows)


def size_table() -> str:
    """Seconds, memory and average precision of detectors by number of rows."""
    rows = [
        [
            _method(row["detector"], ""),
            str(row["rows"]),
            _cell(row, "seconds", digits=0),
            _cell(row, "peak GB", digits=1),
            _cell(row, "ap", digits=3),
        ]
        for row in result_rows("bench_detection")
    ]
    return _markdown(["detector", "rows", "seconds", "peak GB", "average precision"], rows)


def tables() -> dict[str, str]:
    """The Markdown tables that pages include, by name."""
    header = ["measured", "plain training", "cleanlab 2.9", "skrobust"]
    return {
        "comparison": _markdown(header, comparison()),
        "wrapper_table": wrapper_table(),
        "detector_table": detector_table(),
        "network_table": network_table(),
        "probability_table": probability_table(),
        "size_table": size_table(),
    }
