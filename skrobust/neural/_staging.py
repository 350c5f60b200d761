"""Registration of neural classifiers for the recording of training stages."""

from typing import Any

import numpy as np

from skrobust.evidence._stages import StageRecorder
from skrobust.evidence._training_record import record_training, recorded_passes
from skrobust.neural._callbacks import AfterEpoch
from skrobust.neural._neural_classifier import BaseNeuralClassifier
from skrobust.utils._typing import LabelsLike, MatrixLike


@record_training.register(BaseNeuralClassifier)
def _record(
    estimator: BaseNeuralClassifier,
    X: MatrixLike,
    y: LabelsLike,
    recorder: StageRecorder,
    *,
    weight: np.ndarray | None = None,
    fit_params: dict[str, Any] | None = None,
    n_stages: int | None = None,
) -> None:
    """Train once; training rows are recorded during their batches, without a prediction."""
    if n_stages is not None:
        estimator.set_params(max_epochs=n_stages)
    if estimator.early_stopping == "auto":
        # All rows are recorded, in all epochs.
        estimator.set_params(early_stopping=False)
    params = dict(fit_params or {})
    if weight is not None:
        params.setdefault("sample_weight", weight)
    if recorder.in_sample and not recorder.wants_norms:
        estimator.set_params(record_dynamics=True)
        estimator.fit(X, y, **params)
        recorder.take(estimator.training_dynamics_)
        return
    if recorder.wants_norms:
        raise ValueError(
            "statistic='grand' needs the input of the last layer, which is not recorded for"
            f" {type(estimator).__name__}: use 'el2n', or another model."
        )
    chosen = set(recorded_passes(estimator.max_epochs))

    def record(number: int) -> None:
        if number in chosen:
            recorder.add(estimator.predict_proba(recorder.X), estimator.classes_)

    before = estimator.callbacks
    estimator.set_params(callbacks=[*(before or ()), AfterEpoch(record)])
    try:
        estimator.fit(X, y, **params)
    finally:
        estimator.set_params(callbacks=before)
