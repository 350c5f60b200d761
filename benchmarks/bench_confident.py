"""Time and memory of the confident joint and of finding label errors, beside cleanlab's.

Every case lives in a process of its own, which holds its copy of the data; the processes take
turns, so that all cases see the same machine. Memory is the highest anonymous resident memory
during the first full call, as seen from outside, above that before it and without the result.

    python benchmarks/bench_confident.py [--repetitions 7] [--shapes 1000000x10 ...] [--all-rules]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHAPES = ("1000000x10", "100000x1000", "4000000x10 memmap")
OTHER_RULES = (
    "prune_by_class",
    "both",
    "confident_learning",
    "low_self_confidence",
    "low_normalized_margin",
    "predicted_neq_given",
)
CASES = (
    "sum",
    "skrobust joint",
    "cleanlab joint",
    "skrobust find n_jobs=1",
    "skrobust find n_jobs=2",
    "cleanlab find n_jobs=1",
    "cleanlab find default",
)


def make_data(folder: Path, n_samples: int, n_classes: int) -> None:
    """Write labels with 20 % symmetric noise and the probabilities of a good model."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, n_classes, n_samples)
    shape = (n_samples, n_classes)
    proba = np.lib.format.open_memmap(folder / "proba.npy", "w+", np.float32, shape)
    for start in range(0, n_samples, 10_000):
        some = true[start : start + 10_000]
        logits = rng.standard_normal((len(some), n_classes), dtype=np.float32)
        logits[np.arange(len(some)), some] += 4 + np.log(n_classes) / 2
        np.exp(logits, out=logits)
        proba[start : start + 10_000] = logits / logits.sum(axis=1, keepdims=True)
    proba.flush()
    flip = rng.random(n_samples) < 0.2
    given = true.copy()
    given[flip] = (true[flip] + rng.integers(1, n_classes, flip.sum())) % n_classes
    np.save(folder / "labels.npy", given)


def make_call(case: str):
    """The function of labels and probabilities that a case is about."""
    if case == "sum":
        return lambda y, proba: proba.sum()
    tool, what, *rest = case.split()
    options = dict(word.split("=") for word in rest if "=" in word)
    n_jobs = int(options.get("n_jobs", 1))
    rule = options.get("rule", "prune_by_noise_rate")
    if tool == "skrobust":
        if what == "joint":
            from skrobust.noise import confident_joint as call

            return call
        from skrobust.detection import find_label_errors

        return lambda y, proba: find_label_errors(y, proba, rule=rule, n_jobs=n_jobs)
    if what == "joint":
        from cleanlab.count import compute_confident_joint

        return lambda y, proba: compute_confident_joint(y, proba, calibrate=False)
    from cleanlab.filter import find_label_issues

    n_jobs = None if "default" in rest else n_jobs
    return lambda y, proba: find_label_issues(y, proba, filter_by=rule, n_jobs=n_jobs)


def work(case: str, folder: Path, mapped: bool) -> None:
    """Serve one case: each line that comes in is one call, timed; results stay on disk."""
    sys.path.insert(0, str(ROOT))
    warnings.filterwarnings("ignore", message="May not flag all label issues")
    call = make_call(case)
    y = np.load(folder / "labels.npy")
    proba = np.load(folder / "proba.npy", mmap_mode="r" if mapped else None)
    few = max(1000, 5 * proba.shape[1])
    call(y[:few], np.array(proba[:few]))
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        result = call(y, proba)
        seconds = time.perf_counter() - start
        np.save(folder / line.strip(), result)
        nbytes = getattr(result, "nbytes", 0)
        del result
        print(json.dumps({"seconds": seconds, "nbytes": nbytes}), flush=True)


class Worker:
    """The process of a case, seen from the one that compares them."""

    def __init__(self, case: str, folder: Path, mapped: bool):
        self.case, self.folder = case, folder
        self.result = "-".join(case.split()) + ".npy"
        command = [sys.executable, __file__, "--case", case, "--folder", str(folder)]
        command += ["--mapped"] if mapped else []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{case} did not start.")
        self.seconds = []

    def start(self) -> None:
        self.process.stdin.write(self.result + "\n")
        self.process.stdin.flush()

    def measured(self) -> dict:
        return json.loads(self.process.stdout.readline())

    def anonymous(self) -> float:
        """Resident anonymous memory, MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("RssAnon:")[2].split()[0]) / 1024

    def measure_memory(self) -> float:
        """Peak of anonymous memory during a call, above that before, without the result; MB."""
        before = peak = self.anonymous()
        results = []
        reader = threading.Thread(target=lambda: results.append(self.measured()))
        reader.start()
        self.start()
        while reader.is_alive():
            peak = max(peak, self.anonymous())
            time.sleep(0.0003)
        reader.join()
        return peak - before - results[0]["nbytes"] / 2**20

    def measure_time(self) -> None:
        self.start()
        self.seconds.append(self.measured()["seconds"])

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(shape: str, cases: list[str], repetitions: int) -> list[dict]:
    """Run all cases at one shape."""
    size, _, storage = shape.partition(" ")
    n_samples, n_classes = map(int, size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder, n_samples, n_classes)
        workers = [Worker(case, folder, storage == "memmap") for case in cases]
        memory = {worker.case: worker.measure_memory() for worker in workers}
        for _ in range(repetitions):
            for worker in workers:
                worker.measure_time()
        for worker in workers:
            worker.stop()
        results = {worker.case: np.load(folder / worker.result) for worker in workers}
    seconds = {worker.case: worker.seconds for worker in workers}
    budget = 64 + (16 * n_samples + 24 * n_classes**2) / 2**20
    rows = []
    for case in cases:
        row = {
            "shape": shape,
            "case": case,
            "median_s": median(seconds[case]),
            "min_s": min(seconds[case]),
            "extra_mb": memory[case],
        }
        if case.startswith("skrobust"):
            row["extra_mb_target"] = budget
            rivals = [other for other in cases if is_rival(case, other)]
            if rivals:
                best = min(rivals, key=lambda other: median(seconds[other]))
                row["times_faster"] = median(seconds[best]) / row["median_s"]
                row["faster_target"] = 10.0 if "find n_jobs" in case else None
                row["same_result"] = all(
                    np.array_equal(results[case], results[other]) for other in rivals
                )
            if "joint" in case:
                row["times_sum"] = row["median_s"] / median(seconds["sum"])
                row["sum_target"] = 3.0 if n_classes == 1000 else None
        rows.append(row)
    return rows


def is_rival(case: str, other: str) -> bool:
    """Whether cleanlab's case `other` computes what skrobust's `case` does."""
    if not other.startswith("cleanlab"):
        return False
    rules = [[word for word in name.split() if "rule=" in word] for name in (case, other)]
    return other.split()[1] == case.split()[1] and rules[0] == rules[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help='as "1000x10" or with memmap')
    parser.add_argument("--all-rules", action="store_true", help="not only the default rule")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mapped", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        work(arguments.case, arguments.folder, arguments.mapped)
        return
    from _common import environment, write_results

    rows = []
    for shape in arguments.shapes:
        rows += compare(shape, list(CASES), arguments.repetitions)
        if not arguments.all_rules:
            continue
        # The other rules in turns of their own, as each process holds its copy of the data.
        for rule in OTHER_RULES:
            pair = [f"skrobust find rule={rule}", f"cleanlab find rule={rule}"]
            rows += compare(shape, pair, max(3, arguments.repetitions // 2))
    write_results("bench_confident", rows, environment())


if __name__ == "__main__":
    main()
