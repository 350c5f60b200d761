"""
===============
A text pipeline
===============

Comments on videos were labelled "spam" or "ham" by rules, and one label in seven is wrong. A list
of texts goes through the wrapper into the pipeline as it is.
"""

# %%
# The rules also left out some comments; here are those on which at least one rule voted.
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skrobust import CleaningClassifier
from skrobust.datasets import load_youtube_spam

comments = load_youtube_spam()
test = load_youtube_spam(subset="test")
wrong = comments.target != comments.verified_target
print(f"{len(comments.data)} comments, {wrong.mean():.1%} of the labels wrong")

# %%
pipeline = make_pipeline(TfidfVectorizer(min_df=2), LogisticRegression(C=10))
plain = pipeline.fit(comments.data, comments.target)
plain_score = plain.score(test.data, test.verified_target)
cleaned = CleaningClassifier(pipeline, random_state=0).fit(comments.data, comments.target)
cleaned_score = cleaned.score(test.data, test.verified_target)
print(f"accuracy on true labels: {plain_score:.3f} plain, {cleaned_score:.3f} cleaned")

# %%
# The comments whose labels have the lowest quality.
import numpy as np

detector = cleaned.detector_
for row in np.argsort(detector.label_quality_)[:6]:
    print(f"{comments.target[row]:4} (true: {comments.verified_target[row]})", end="  ")
    print(comments.data[row][:70].encode("ascii", "replace").decode())

# %%
# How many wrong labels a reviewer finds who reads comments in the order of their label quality.
import matplotlib.pyplot as plt

found = np.cumsum(wrong[np.argsort(detector.label_quality_)])
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=(2, 1))
axes[0].plot(np.arange(1, len(found) + 1), found, label="lowest label quality first")
axes[0].plot([0, len(found)], [0, wrong.sum()], ":", color="tab:grey", label="random order")
axes[0].axvline(wrong.sum(), color="tab:red", linestyle="--", label="number of wrong labels")
axes[0].set(xlabel="comments read", ylabel="wrong labels found")
axes[0].legend(loc="lower right")
bars = axes[1].bar(["plain", "cleaned"], [plain_score, cleaned_score], color=["grey", "tab:blue"])
axes[1].bar_label(bars, fmt="%.3f")
axes[1].set(ylabel="accuracy on true test labels", ylim=(0, 1.05))
plt.show()
