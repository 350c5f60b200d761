"""Check that the public names of the package have complete type annotations.

    python tools/check_types.py

This is ``basedpyright --verifytypes skrobust --ignoreexternal`` with a share of complete names that
must be reached. scikit-learn has no type information of its own: its base classes are read from
``scikit-learn-stubs``.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Raised whenever more is reached, never lowered.
LEAST_SHARE = 1.0


def verify() -> dict:
    """Run the type checker, and return the part of its report about completeness."""
    # An editable install is not found by static tools, the folder is; and of several interpreters
    # the first in the path is looked at.
    paths = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(ROOT)}
    env = {**os.environ} | {
        name: os.pathsep.join(filter(None, [first, os.environ.get(name)]))
        for name, first in paths.items()
    }
    program = shutil.which("basedpyright", path=env["PATH"])
    if program is None:
        raise SystemExit('basedpyright is not installed: pip install "skrobust[test]"')
    done = subprocess.run(
        [program, "--verifytypes", "skrobust", "--ignoreexternal", "--outputjson"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    try:
        return json.loads(done.stdout)["typeCompleteness"]
    except (KeyError, ValueError):
        raise SystemExit(
            f"basedpyright failed: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        ) from None


def main() -> int:
    """Print what is incomplete, and return 1 if it is too much."""
    report = verify()
    share = report["completenessScore"]
    problems = [
        f"{symbol['name']}: {problem['message'].splitlines()[0]}"
        for symbol in report["symbols"]
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
        for problem in symbol["diagnostics"]
    ]
    print(f"{share:.1%} of the public names have complete types; {LEAST_SHARE:.1%} are required.")
    if share >= LEAST_SHARE:
        return 0
    print("\n".join(problems))
    return 1


if __name__ == "__main__":
    sys.exit(main())
