"""
==============================
From a CSV to a corrected CSV
==============================

A table of measurements and text with some wrong labels is read, audited and written back with the
label quality and corrected labels as columns. A model is trained on the corrected labels as well.
Without programming and without the model, ``skrobust audit cells.csv --label diagnosis --out
reviewed.csv`` does the same.
"""

# %%
# The table: measurements of cell nuclei, with a patient number and a clinic. Fifteen per
# cent of the diagnoses are changed at random.
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

from skrobust.noise import flip_labels, symmetric_transition

folder = Path(tempfile.mkdtemp())
cells = load_breast_cancer(as_frame=True)
table = cells.data.copy()
true_label = cells.target_names[cells.target]
table["patient"] = [f"P{number}" for number in range(len(table))]
table["clinic"] = np.random.default_rng(0).choice(["north", "south", "west"], len(table))
table["diagnosis"], wrong = flip_labels(true_label, symmetric_transition(2, 0.15), random_state=0)
table.to_csv(folder / "cells.csv", index=False)

# %%
# Read it, find the labels that are probably wrong, and train on the corrected ones. Models take
# numbers: a pipeline leaves out the patient number and encodes the clinic.
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skrobust import CleaningClassifier

table = pd.read_csv(folder / "cells.csv")
X, y = table.drop(columns="diagnosis"), table["diagnosis"]
encode = make_column_transformer(
    ("drop", ["patient"]),
    (OneHotEncoder(handle_unknown="ignore"), ["clinic"]),
    remainder=StandardScaler(),
)
model = CleaningClassifier(make_pipeline(encode, LogisticRegression()), random_state=0).fit(X, y)
detector = model.detector_
low, high = detector.noise_rate_interval_
print(f"wrong labels: {detector.noise_rate_:.0%}, interval {low:.0%} to {high:.0%}")

# %%
# ``corrected_labels_`` changes a label only where another one is more probable even if few labels
# are wrong.
reviewed = table.assign(
    label_quality=detector.label_quality_.round(3),
    is_flagged=detector.label_errors_,
    corrected_label=detector.corrected_labels_,
)
reviewed.to_csv(folder / "reviewed.csv", index=False)
changed = reviewed["corrected_label"] != reviewed["diagnosis"]
print(reviewed.loc[changed, ["diagnosis", "corrected_label", "label_quality"]].head())
before = (reviewed["diagnosis"] != true_label).sum()
after = (reviewed["corrected_label"] != true_label).sum()
print(f"wrong labels in the file: {before} before, {after} after")

# %%
# Cells by two of their columns; circles are labels that were changed.
import matplotlib.pyplot as plt

radius, concavity = table["mean radius"], table["mean concavity"]
fig, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, column in zip(axes, ("diagnosis", "corrected_label"), strict=True):
    for name in cells.target_names:
        rows = reviewed[column] == name
        ax.scatter(radius[rows], concavity[rows], 10, label=name)
    ax.scatter(radius[changed], concavity[changed], 60, "none", edgecolors="black", label="changed")
    ax.set(title=column, xlabel="mean radius")
axes[0].set_ylabel("mean concavity")
axes[1].legend()
plt.show()
