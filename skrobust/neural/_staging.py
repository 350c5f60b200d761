"""Registration of neural classifiers for staged predictions and training dynamics."""

from skrobust.evidence._staged import watch_training, watched_passes
from skrobust.neural._callbacks import AfterEpoch
from skrobust.neural._neural_classifier import BaseNeuralClassifier


@watch_training.register(BaseNeuralClassifier)
def _watch(estimator, X, y, watcher, *, weight=None, fit_params=None, n_stages=None):
    """Train once; training dynamics are recorded from the steps, without predictions."""
    if n_stages is not None:
        estimator.set_params(max_epochs=n_stages)
    if estimator.early_stopping == "auto":
        # All rows are needed, in all epochs.
        estimator.set_params(early_stopping=False)
    params = dict(fit_params or {})
    if weight is not None:
        params.setdefault("sample_weight", weight)
    if watcher.in_sample and not watcher.wants_norms:
        estimator.set_params(record_dynamics=True)
        estimator.fit(X, y, **params)
        watcher.take(estimator.training_dynamics_)
        return
    if watcher.wants_norms:
        raise ValueError(
            "statistic='grand' needs the input of the last layer, which is not recorded for"
            f" {type(estimator).__name__}: use 'el2n', or another model."
        )
    chosen = set(watched_passes(estimator.max_epochs))

    def predict(number: int) -> None:
        if number in chosen:
            watcher.add(estimator.predict_proba(watcher.X), estimator.classes_)

    before = estimator.callbacks
    estimator.set_params(callbacks=[*(before or ()), AfterEpoch(predict)])
    try:
        estimator.fit(X, y, **params)
    finally:
        estimator.set_params(callbacks=before)
