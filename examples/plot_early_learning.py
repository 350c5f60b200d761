"""
================================================
Memorisation, and early-learning regularisation
================================================

A network learns the pattern first and memorises wrong labels later. Early-learning regularisation
(ELR) keeps to what was predicted early.
"""

# %%
# 40 per cent of the labels of the digits are wrong.
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skrobust.noise import flip_labels, symmetric_transition

X, y_true = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X / 8 - 1, y_true, test_size=0.4, random_state=0)
y, wrong = flip_labels(y_true, symmetric_transition(10, 0.4), random_state=0)

# %%
# A callback of skorch records after each epoch how many wrong labels the network predicts, and its
# accuracy on true test labels.
from skorch.callbacks import Callback

from skrobust.neural import ELRClassifier, NeuralClassifier


class Memorisation(Callback):
    """Record the share of wrong labels that are predicted, and the test accuracy."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("memorised", float(np.mean(net.predict(X[wrong]) == y[wrong])))
        net.history.record("test_accuracy", float(np.mean(net.predict(X_test) == y_test)))


settings = dict(max_epochs=60, early_stopping=False, callbacks=[Memorisation()], random_state=0)
models = {
    "cross-entropy": NeuralClassifier(ema_decay=None, weight_decay=0, **settings),
    "ELR": ELRClassifier(**settings),
}
for name, model in models.items():
    model.fit(X, y)
    print(
        f"{name}: {model.history_['memorised'][-1]:.0%} of the wrong labels memorised,"
        f" accuracy {model.history_['test_accuracy'][-1]:.3f}"
    )

# %%
# Accuracy on true labels peaks before the wrong labels are memorised.
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True, layout="constrained")
for name, model in models.items():
    axes[0].plot(model.history_["memorised"], label=name)
    axes[1].plot(model.history_["test_accuracy"], label=name)
axes[0].set(xlabel="epoch", ylabel="share of wrong labels predicted", ylim=(0, 1.02))
axes[1].set(xlabel="epoch", ylabel="accuracy on true test labels")
axes[0].legend()
plt.show()
