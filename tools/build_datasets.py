"""Build the data files shipped in skrobust/datasets/data from the full collections.

Run ``python tools/build_datasets.py``. The collections are read from the folder named by the
environment variable SKROBUST_DATA (default ``../shared/data``, seen from the top of the
repository). Two builds on one machine give the same bytes: no time stamp goes into a file.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

TOP = Path(__file__).resolve().parents[1]
TARGET = TOP / "skrobust" / "datasets" / "data"
N_UNCHECKED = 4900


def write_npz(path, arrays):
    """Write arrays as ``np.savez_compressed`` does, with a fixed date on every member."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, buffer.getvalue(), compresslevel=9)


def build_mnist(source, path):
    """Write the checked rows of the MNIST test set and a random sample of the others."""
    with np.load(source / "label_errors" / "mnist.npz", allow_pickle=False) as archive:
        checks = {name: archive[name] for name in archive.files}
    with np.load(source / "mnist_test" / "mnist_test.npz", allow_pickle=False) as archive:
        images = archive["images"]
    labels, is_error = checks["labels"], checks["is_error"]

    unchecked = np.flatnonzero(is_error == -1)
    drawn = np.random.default_rng(0).choice(unchecked, N_UNCHECKED, replace=False)
    index = np.sort(np.concatenate([checks["cand_id"], drawn]))
    row_of = {int(original): row for row, original in enumerate(index)}

    n_rows = len(index)
    unchecked_code = len(checks["verdict_names"])
    verdict = np.full(n_rows, unchecked_code, dtype=np.int8)
    votes = np.full((n_rows, len(checks["vote_columns"])), -1, dtype=np.int8)
    verified = np.full(n_rows, -1, dtype=np.int8)
    for position, original in enumerate(checks["cand_id"]):
        row = row_of[int(original)]
        verdict[row] = checks["cand_verdict"][position]
        votes[row] = checks["cand_votes"][position]
        wrong = is_error[original] == 1
        verified[row] = checks["cand_guessed" if wrong else "cand_given"][position]

    write_npz(
        path,
        {
            "images": images[index],
            "target": labels[index].astype(np.int8),
            "verified": verified,
            "is_error": is_error[index].astype(np.int8),
            "verdict": verdict,
            "verdict_names": np.append(checks["verdict_names"], "unchecked"),
            "votes": votes,
            "vote_names": checks["vote_columns"],
            "index": index.astype(np.int16),
        },
    )


def build_youtube(source, path):
    """Write every comment with its majority vote, its gold label and the votes of the rules."""
    names = {"-1": "", "0": "ham", "1": "spam"}
    with gzip.open(source / "text" / "youtube.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rules = [name for name in rows[0] if name.startswith("lf")]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["split", "text", "weak_label", "label", *rules])
    for row in rows:
        weak, gold = names[row["weak_mv"]], names[row["label"]]
        writer.writerow([row["split"], row["text"], weak, gold, *(row[rule] for rule in rules)])
    path.write_bytes(gzip.compress(buffer.getvalue().encode("utf-8"), 9, mtime=0))


def build(source, target):
    """Write both data files into the folder `target`."""
    target.mkdir(parents=True, exist_ok=True)
    build_mnist(source, target / "mnist_errors.npz")
    build_youtube(source, target / "youtube_spam.csv.gz")


def main():
    """Build into the package."""
    source = Path(os.environ.get("SKROBUST_DATA", TOP.parent / "shared" / "data"))
    if not source.is_dir():
        print(f"no data in {source}; set SKROBUST_DATA to their folder", file=sys.stderr)
        return 2
    build(source, TARGET)
    for path in sorted(TARGET.iterdir()):
        print(f"{path.relative_to(TOP)}  {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
