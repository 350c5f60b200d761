"""Does the interval of the estimated precision of the flags hold the true one?

Clean tables, with no noise, symmetric noise of 5 and 20 % and pair noise of 30 %: the share of
flagged labels that are wrong, as estimated by the default detector, its interval, and the truth.

    python benchmarks/flag_precision.py [--rows 600] [--tables 10] [--seeds 1]

Reads the folder named by SKROBUST_DATA (default ../shared/data).
"""

import argparse
import warnings

import numpy as np
from _common import environment, write_results
from _tables import TABLES, load_table, plant, seed_of

from skrobust.detection import EnsembleDetector
from skrobust.inspection._flag_precision import flag_precision

NOISE = (("none", 0.0), ("symmetric", 0.05), ("symmetric", 0.2), ("pair", 0.3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--tables", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    rows = []
    for name in list(TABLES)[: options.tables]:
        X, y = load_table(name, options.rows)
        for kind, rate in NOISE:
            for seed in range(options.seeds):
                given = y if rate == 0 else plant(X, y, kind, rate, seed_of(name, seed))[0]
                rows.append({"table": name, "noise": f"{kind} {rate:g}", **measure(X, y, given)})
                print(rows[-1], flush=True)
    write_results("flag_precision", [*rows, *summary(rows)], environment())


def measure(X, y, given) -> dict:
    """Compare the estimate with the truth."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = EnsembleDetector(max_flag_rate=None, random_state=0).fit(X, given)
    found, flagged = flag_precision(detector), detector.label_errors_
    true = float((given != y)[flagged].mean()) if flagged.any() else None
    return {
        "flagged": int(flagged.sum()),
        "precision": None if true is None else round(true, 3),
        "estimate": None if found.estimate is None else round(found.estimate, 3),
        "low": round(found.low, 3),
        "high": round(found.high, 3),
        "covered": None if true is None else bool(found.low - 1e-9 <= true <= found.high + 1e-9),
        "reliability": detector.reliability_,
    }


def summary(rows) -> list[dict]:
    """Share of covered cells, mean error of the estimate and mean width, by reliability."""
    found = []
    for reliability in ("good", "limited", "cannot tell"):
        own = [row for row in rows if row["reliability"] == reliability and row["flagged"]]
        estimated = [row for row in own if row["estimate"] is not None]
        if own:
            errors = [abs(row["estimate"] - row["precision"]) for row in estimated]
            found.append(
                {
                    "table": f"all {len(own)}",
                    "reliability": reliability,
                    "covered": round(float(np.mean([row["covered"] for row in own])), 3),
                    "estimate": f"off by {np.mean(errors):.3f}" if errors else None,
                    "high": f"wide {np.mean([row['high'] - row['low'] for row in own]):.3f}",
                }
            )
    return found


if __name__ == "__main__":
    main()
