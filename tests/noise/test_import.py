"""Importing the package loads no more of scikit-learn than its models need."""

import subprocess
import sys


def test_neither_text_vectoriser_nor_gaussian_process_is_loaded():
    code = "import sys, skrobust.noise\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "sklearn.ensemble" in loaded
    assert "sklearn.feature_extraction.text" not in loaded
    assert not [name for name in loaded if name.startswith("sklearn.gaussian_process")]
