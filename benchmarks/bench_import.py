"""How long `import skrobust` takes, as a multiple of `import sklearn`.

The two imports run alternately, each in a fresh interpreter that times only the import statement.
A pair shares the state of the machine, so the ratio is taken within pairs and its median reported.

    python benchmarks/bench_import.py [--pairs 15]
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

from _common import environment, write_results

ROOT = Path(__file__).resolve().parents[1]
TIMER = "from time import perf_counter as t; s = t(); import {}; print(t() - s)"


def seconds(module: str) -> float:
    """Seconds that ``import module`` takes in a fresh interpreter."""
    command = [sys.executable, "-c", TIMER.format(module)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="alternating pairs (at least 15)")
    pairs = max(15, parser.parse_args().pairs)

    modules = ("sklearn", "skrobust")
    times = {module: [] for module in modules}
    for module in modules:  # once unmeasured: byte code written, files in the cache
        seconds(module)
    for _ in range(pairs):
        for module in modules:
            times[module].append(seconds(module))

    ratios = {
        module: [a / b for a, b in zip(times[module], times["sklearn"], strict=True)]
        for module in modules
    }
    rows = []
    for module in modules:
        lower, _, upper = quantiles(ratios[module], n=4)
        rows.append(
            {
                "import": module,
                "pairs": pairs,
                "median_s": median(times[module]),
                "min_s": min(times[module]),
                "ratio": median(ratios[module]),
                "ratio_q1": lower,
                "ratio_q3": upper,
            }
        )
    write_results("bench_import", rows, environment())


if __name__ == "__main__":
    main()
