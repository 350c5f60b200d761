"""How large is a report, and how fast does its page answer?

Five thousand MNIST digits of which a hundred are flagged, ten thousand CIFAR-10 images with the
labels of annotators, and a hundred thousand made-up texts of 500 characters. The size of the file,
the time to write it, and in Chromium the time until the first row can be reviewed, the time from a
key to the next frame, and the elements of rows in the page.
Needs the extra `browser`, Chromium and the development data.

    python benchmarks/bench_report.py [--repeats 3] [--chromium PATH]
"""

import argparse
import io
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from _common import environment, write_results
from _tables import data_folder
from PIL import Image
from playwright.sync_api import sync_playwright
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skrobust.datasets import load_mnist_errors
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.inspection import LabelReport

N_KEYS = 100
# Runs before the page: notes when it is ready, and how long each key takes to the next frame.
PROBE = """
window.ready = null; window.times = [];
new MutationObserver(() => {
  if (document.documentElement?.dataset.ready && window.ready === null)
    requestAnimationFrame(() => { window.ready ??= performance.now(); });
}).observe(document, {attributes: true, subtree: true});
document.addEventListener("keydown", () => {
  const start = performance.now();
  requestAnimationFrame(() => setTimeout(() => window.times.push(performance.now() - start)));
}, true);
"""


def images():
    """Rows, labels by annotators and pictures."""
    folder = data_folder() / "cifar10n"
    with np.load(folder / "jpg_train.npz") as packed:
        starts, data = packed["offsets"], packed["data"]
        pictures = [
            np.asarray(Image.open(io.BytesIO(data[starts[row] : starts[row + 1]].tobytes())))
            for row in range(10_000)
        ]
    with np.load(folder / "features256.npz") as X, np.load(folder / "labels.npz") as y:
        return X["X_train"][:10_000].astype(np.float32), y["aggre_label"][:10_000], pictures


def texts(n_rows=100_000, length=500):
    """Rows, labels and made-up texts."""
    rng = np.random.default_rng(0)
    letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz     "), (n_rows, length))
    X = rng.normal(size=(n_rows, 3))
    y = (X[:, 0] + rng.normal(scale=0.5, size=n_rows) > 0).astype(int)
    return X, y, ["".join(row) for row in letters]


def measure(report, chromium, folder, n_repeats) -> dict:
    """Write a report and open it."""
    path = folder / "report.html"
    started = time.perf_counter()
    report.to_html(path)
    written = time.perf_counter() - started
    ready, keys, elements = [], [], 0
    for _ in range(n_repeats):
        page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        page.add_init_script(PROBE)
        page.goto(path.as_uri(), timeout=300_000)
        page.wait_for_selector("html[data-ready]", timeout=300_000)
        page.wait_for_timeout(200)
        ready.append(page.evaluate("window.ready") / 1000)
        page.select_option("#show", "all")
        page.focus("#list")
        for number in range(N_KEYS):
            page.keyboard.press("rsun"[number % 4])
        page.wait_for_timeout(200)
        keys += page.evaluate("window.times")
        elements = max(elements, page.locator("#list .row").count())
        page.context.close()
    return {
        "file, MB": round(path.stat().st_size / 1e6, 2),
        "write, s": round(written, 2),
        "first row, s": round(float(np.median(ready)), 2),
        "slowest first row, s": round(max(ready), 2),
        "key, ms (median)": round(float(np.median(keys)), 1),
        "key, ms (95 %)": round(float(np.quantile(keys, 0.95)), 1),
        "row elements": elements,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    rows = []
    digits = load_mnist_errors()
    X_digits = digits.data / 255
    digit_detector = EnsembleDetector(flag_fraction=0.02, random_state=0)
    digit_detector.fit(X_digits, digits.target)
    X, y, pictures = images()
    image_detector = ConfidentLearning(LogisticRegression(max_iter=100), cv=3).fit(X, y)
    X_text, y_text, words = texts()
    text_detector = ConfidentLearning(GaussianNB(), cv=3).fit(X_text, y_text)
    cases = (
        ("5 000 digits of 28 x 28", digit_detector, X_digits, digits.target, digits.images, 10_000),
        ("10 000 images of 32 x 32", image_detector, X, y, pictures, 10_000),
        ("100 000 texts, at most 10 000 rows listed", text_detector, X_text, y_text, words, 10_000),
        ("100 000 texts, all listed", text_detector, X_text, y_text, words, 100_000),
    )
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox"]
        )
        for name, detector, features, labels, raw, max_rows in cases:
            started = time.perf_counter()
            report = LabelReport.from_detector(
                detector, features, labels, raw=raw, max_rows=max_rows
            )
            built = time.perf_counter() - started
            found = measure(report, chromium, Path(folder), options.repeats)
            rows.append({"report": name, "build, s": round(built, 2), **found})
        browser = f"Chromium {chromium.version}"
        chromium.close()
    write_results("report_page", rows, {**environment(), "browser": browser})


if __name__ == "__main__":
    main()
