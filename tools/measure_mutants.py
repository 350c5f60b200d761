"""Which faults do the fast tests notice? A random sample of mutants, and the tests that reach them.

A mutant is the package with one small fault, made by an operator of mutmut in the body of a
function. Coverage tells which fast tests run the changed line; they run in order of their duration,
in a fork, until one fails. A mutant is killed if one does, or takes three times as long as all of
them together.

    pip install mutmut coverage
    OMP_NUM_THREADS=1 python tools/measure_mutants.py map COPY
    OMP_NUM_THREADS=1 python tools/measure_mutants.py run COPY [--seed 0] [--keep]

COPY is a copy of the repository that is changed and restored. The map is written to its folder,
and takes as long as the fast tests in one process.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

DETECTION = (
    "_decoy_threshold", "_decoys", "_detect_from", "_mixture_1d", "_mixture_threshold",
    "_noise_posterior", "_residual_rules", "_rules", "_scores", "_target_decoys",
    "_trusted_threshold",
)  # fmt: skip
SIZES = {"noise": 130, "base": 80, "detection": 100}
FAST = "not (slow or peers or data or browser)"
# More tests, or seconds of tests, than these are not run for one mutant.
MOST_TESTS, MOST_SECONDS = 400, 120
OWN = Path(__file__).resolve().parents[1]


def files(package: str, copy: Path) -> list[Path]:
    """The modules of a package that are mutated."""
    found = sorted((copy / "skrobust" / package).glob("_[!_]*.py"))
    return [f for f in found if package != "detection" or f.stem in DETECTION]


class Reached:
    """Pytest plugin that records which tests run which lines, and their durations."""

    def __init__(self, copy: Path):
        import coverage

        folders = [f"{copy}/skrobust/{package}/*" for package in SIZES]
        self.coverage = coverage.Coverage(data_file=None, include=folders, config_file=False)
        self.seconds: dict[str, float] = {}
        self.started = 0.0
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid):
        """Begin to record for a test."""
        self.coverage.switch_context(nodeid)
        self.started = time.perf_counter()

    def pytest_runtest_logfinish(self, nodeid):
        """End recording for a test."""
        self.seconds[nodeid] = time.perf_counter() - self.started
        self.coverage.switch_context("")

    def pytest_sessionfinish(self):
        """Write the map."""
        self.coverage.stop()
        data = self.coverage.get_data()
        lines = {
            os.path.relpath(file): {
                str(k): tests for k, tests in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        Path("mutants_map.json").write_text(json.dumps({"lines": lines, "seconds": self.seconds}))


def mutants(path: Path) -> list[tuple]:
    """All mutants of a module: first and last line, and a function that returns the source."""
    import libcst
    from libcst.metadata import MetadataWrapper, PositionProvider
    from mutmut.mutation.mutators import mutation_operators

    wrapper = MetadataWrapper(libcst.parse_module(path.read_text()))
    place_of = wrapper.resolve(PositionProvider)
    found = []

    def visit(node, inside: bool) -> None:
        if isinstance(node, (libcst.Annotation, libcst.Decorator, libcst.Parameters)):
            return
        if inside and node in place_of:
            lines = place_of[node].start.line, place_of[node].end.line
            for kind, operator in mutation_operators:
                if isinstance(node, kind):
                    found.extend((*lines, node, other) for other in operator(node))
        inside = inside or isinstance(node, libcst.FunctionDef)
        for child in node.children:
            visit(child, inside)

    visit(wrapper.module, False)
    return [
        (first, last, lambda old=old, new=new: wrapper.module.deep_replace(old, new).code)
        for first, last, old, new in found
    ]


def is_killed(copy: Path, path: Path, source: str, tests: list[str], limit: float) -> bool:
    """Run tests in a fork, with another source of one module."""
    import pytest

    original = path.read_text()
    path.write_text(source)
    try:
        child = os.fork()
        if child == 0:
            os.setsid()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1), os.dup2(null, 2)
            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", FAST]
            try:
                code = int(pytest.main([*options, *tests]))
            except BaseException:
                code = 1
            os._exit(code)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status) != 0
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True
    finally:
        path.write_text(original)


def run(copy: Path, seed: int) -> list[dict]:
    """Measure a sample of mutants of each package."""
    reached = json.loads(Path("mutants_map.json").read_text())
    lines, seconds = reached["lines"], reached["seconds"]
    rng, rows = random.Random(seed), []
    for package, size in SIZES.items():
        every = [(path, *m) for path in files(package, copy) for m in mutants(path)]
        counts: Counter = Counter()
        for path, first, last, source in rng.sample(every, size):
            known = lines.get(str(path.relative_to(copy)), {})
            tests = {
                t for k in range(first, last + 1) for t in known.get(str(k), ()) if t in seconds
            }
            chosen = sorted(tests, key=seconds.get)[:MOST_TESTS]
            while sum(map(seconds.get, chosen)) > MOST_SECONDS:
                chosen.pop()
            limit = 3 * sum(map(seconds.get, chosen)) + 30
            killed = bool(chosen) and is_killed(copy, path, source(), chosen, limit)
            counts["killed" if killed else "survived"] += 1
            if not killed:
                print(f"survived: {path.relative_to(copy)}:{first}", flush=True)
        rows.append(
            {
                "package": package,
                "mutants": len(every),
                "sample": size,
                "seed": seed,
                "killed": counts["killed"],
                "survived": counts["survived"],
                "share killed": round(counts["killed"] / size, 3),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("map", "run"))
    parser.add_argument("copy", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    options = parser.parse_args()
    copy = options.copy.resolve()
    os.chdir(copy)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(copy))
    if options.command == "map":
        import pytest

        arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", FAST]
        raise SystemExit(pytest.main(arguments, plugins=[Reached(copy)]))
    import sklearn.ensemble
    import sklearn.utils.estimator_checks  # noqa: F401

    rows = run(copy, options.seed)
    sys.path.insert(0, str(OWN / "benchmarks"))
    from _cells import CACHE
    from _common import RESULTS, environment, write_results

    write_results("mutants", rows, environment(), folder=RESULTS if options.keep else CACHE)


if __name__ == "__main__":
    main()
