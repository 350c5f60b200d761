"""The code of the README and of the user guide runs as it is printed."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust import CleaningClassifier, EnsembleDetector
from skrobust.evidence import out_of_fold_proba
from skrobust.noise import flip_labels, symmetric_transition

pd = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    if "```python" in page.read_text(encoding="utf-8")
)


def _blocks(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    """What the pages take for granted: data, a model, verified labels, and a reviewer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    X, truth = make_classification(
        600, n_features=8, n_informative=5, n_classes=2, class_sep=2, flip_y=0, random_state=0
    )
    y, _ = flip_labels(truth, symmetric_transition(2, 0.2), random_state=0)
    X, X_test, y, y_test, truth, truth_test = train_test_split(
        X, y, truth, test_size=200, random_state=0
    )
    rng = np.random.default_rng(0)
    checked = np.full(len(y), None, dtype=object)
    drawn = rng.choice(len(y), 40, replace=False)
    checked[drawn] = truth[drawn]
    verified = np.full(len(y_test), None, dtype=object)
    drawn = rng.choice(len(y_test), 100, replace=False)
    verified[drawn] = truth_test[drawn]
    votes = np.stack(
        [
            flip_labels(truth, symmetric_transition(2, rate), random_state=seed)[0]
            for seed, rate in enumerate([0.1, 0.1, 0.2, 0.2, 0.5])
        ],
        axis=1,
    ).astype(float)
    votes[rng.random(votes.shape) < 0.2] = np.nan
    votes[:, 0] = truth
    table = pd.DataFrame(X[:, :4], columns=["age", "height", "weight", "dose"])
    table["city"] = rng.choice(["Bonn", "Ulm"], len(X))
    table["patient"] = [f"P{i}" for i in range(len(X))]
    return {
        "pd": pd,
        "np": np,
        "sklearn": sklearn,
        "CleaningClassifier": CleaningClassifier,
        "EnsembleDetector": EnsembleDetector,
        "GridSearchCV": GridSearchCV,
        "LogisticRegression": LogisticRegression,
        "RandomForestClassifier": RandomForestClassifier,
        "StandardScaler": StandardScaler,
        "cross_val_score": cross_val_score,
        "make_pipeline": make_pipeline,
        "X": X,
        "y": y,
        "X_train": X,
        "y_train": y,
        "X_test": X_test,
        "y_test": y_test,
        "X_new": X_test,
        "X_more": X_test,
        "y_more": y_test,
        "X_valid": X_test,
        "y_valid": y_test,
        "targets": X[:, 0] + rng.normal(size=len(X)),
        "truth": truth,
        "votes": votes,
        "table": table,
        "images": rng.integers(0, 256, size=(len(X), 8, 8), dtype=np.uint8),
        "checked": checked,
        "verified": verified,
        "weight": rng.uniform(0.5, 1.5, size=len(X)),
        "pred_proba": out_of_fold_proba(LogisticRegression(), X, y, cv=5),
        "patient": np.arange(len(X)) // 2,
        "model": RandomForestClassifier(20, random_state=0).fit(X, y),
        "detector": EnsembleDetector(n_rounds=1, random_state=0),
        "check": lambda row: truth[row],
        "review": lambda row: truth_test[row],
        "grid": {"max_depth": [3, None]},
    }


def _save_corrections(namespace: dict) -> None:
    """What the review page saves, with the true label of each flagged row."""
    report, y, truth = (namespace[name] for name in ("report", "y", "truth"))
    flagged = np.flatnonzero(namespace["detector"].label_errors_)
    decisions = pd.DataFrame(
        {
            "fingerprint": report.fingerprint,
            "n_rows": len(y),
            "row": flagged,
            "row_id": "",
            "given_label": y[flagged],
            "decision": np.where(y[flagged] == truth[flagged], "right", "wrong"),
            "new_label": np.where(y[flagged] == truth[flagged], "", truth[flagged].astype(str)),
            "source": "flagged",
            "sampled_from": "",
            "reviewer": "ann",
            "time": "2026-01-01T00:00:00Z",
            "note": "",
        }
    )
    decisions.to_csv("corrections.csv", index=False)


def _prepare_labels(namespace: dict) -> None:
    """Labels as a column, and what was reviewed of them."""
    namespace["y"] = pd.Series(namespace["y"])
    rows = np.flatnonzero(namespace["checked"] != None)  # noqa: E711
    namespace["reviewed"] = pd.DataFrame({"right_label": namespace["truth"][rows]}, index=rows)


def _lose_labels(namespace: dict) -> None:
    """Labels of which some are missing, and a model that takes them."""
    namespace["y"] = namespace["y"].astype(float)
    namespace["y"].iloc[::20] = np.nan
    namespace["model"] = CleaningClassifier(LogisticRegression(), random_state=0)
    namespace["grid"] = {"estimator__C": [0.1, 1.0]}


def _import_detector(namespace: dict) -> None:
    """The detector of the page from a module, so that it can be pickled."""
    Path("own_detector.py").write_text(_blocks("docs/write_your_own.md")[0], encoding="utf-8")
    module = importlib.import_module("own_detector")
    namespace["ClassMeanDetector"] = module.ClassMeanDetector


# What has to happen before a block, by page and number of the block.
BEFORE = {
    ("docs/look_decide_correct.md", 2): _save_corrections,
    ("docs/labels_and_tables.md", 4): _prepare_labels,
    ("docs/labels_and_tables.md", 5): lambda space: space.update(
        grid={"cleaningclassifier__estimator__C": [0.1, 1.0]}
    ),
    ("docs/labels_and_tables.md", 8): _lose_labels,
    ("docs/write_your_own.md", 1): _import_detector,
}
# What holds after the last block of a page.
RESULTS = {
    "README.md": lambda space: len(space["detector"].label_errors_) == len(space["y"]),
    "docs/coming_from.md": lambda space: (
        np.array_equal(space["theirs"], space["ours"]) and len(space["issues"]) == len(space["y"])
    ),
    "docs/how_many_labels_are_wrong.md": lambda space: space["detector"].noise_rate_ > 0.05,
    "docs/scoring_models.md": lambda space: space["score"].score > space["score"].noisy_score,
    "docs/labels_and_tables.md": lambda space: (
        space["errors"].any()
        and (space["majority"] == space["truth"]).mean() > 0.9
        and len(space["features"]) == len(space["table"])
    ),
    "docs/large_data.md": lambda space: space["errors"].sum() > 0,
    "docs/look_decide_correct.md": lambda space: (space["result"].labels != space["y"]).any(),
    "docs/neural_networks.md": lambda space: (
        len(space["model"].history_["f1_macro"]) > 0
        and space["residual"].get_params()["module__width"] == 64
        and space["focal"].net_.criterion_.gamma == 1.0
        and space["selecting"].score(space["X"], space["y"]) > 0.7
        and space["stopped"].history_["train_loss"][-1] < 0.3
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_code_of_page_runs(page, namespace):
    text = (ROOT / page).read_text(encoding="utf-8")
    for library in ("skorch", "cleanlab", "skrub"):
        if re.search(rf"^(from|import) {library}\b", text, re.MULTILINE):
            pytest.importorskip(library)
    with sklearn.config_context():
        for number, block in enumerate(_blocks(page)):
            BEFORE.get((page, number), lambda space: None)(namespace)
            exec(compile(block, f"{page}, block {number}", "exec"), namespace)
    assert RESULTS.get(page, lambda space: True)(namespace)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CHANGES/README.md"]
)
def test_links_lead_to_files(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []
    assert links or page == "CHANGES/README.md"


def test_files_of_contributing_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:skrobust|tests|docs|tools|benchmarks)/[^` ]*)`", text)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = {path.name for path in (ROOT / "skrobust").rglob("*.py")}
    named = set(re.findall(r"`(_[a-z]\w+\.py)`", text))
    assert named - modules == set()


def test_pages_with_code_are_found():
    assert "README.md" in PAGES
    assert set(RESULTS) <= set(PAGES)
    assert {page for page, _ in BEFORE} <= set(PAGES)


def test_own_detector_is_the_one_of_the_gallery():
    example = (ROOT / "examples" / "plot_own_detector.py").read_text(encoding="utf-8")
    assert _blocks("docs/write_your_own.md")[0] in example
