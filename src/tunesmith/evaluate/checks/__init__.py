"""What a finished run proves about itself. Each check is `passed`, `failed`, or `not_applicable` with the reason.

A check compares what happened with what must hold; it never repairs anything, and leaves the model as it was. By subject:

    training.py     what moved, loss and gradient, accumulation
    prediction.py   the same whatever the batch, merged or not, calibrated or not
    packaged.py     the bundle: head, labels, what a fresh process makes of it
    scores.py       finite, complete, better than a constant
    division.py     nothing of the test split in training
"""

from tunesmith.evaluate.checks._made import TOLERANCE, check, not_applicable
from tunesmith.evaluate.checks.division import no_test_row_in_training
from tunesmith.evaluate.checks.packaged import differences, head_saved, labels_in_order, reloaded
from tunesmith.evaluate.checks.prediction import (
    affordable,
    calibration_kept_predictions,
    merged_equals_adapted,
    metrics_independent_of_batch_size,
    outputs_of,
)
from tunesmith.evaluate.checks.scores import better_than_constant, scores_finite
from tunesmith.evaluate.checks.training import loss_and_gradient, loss_independent_of_accumulation, weights_moved

__all__ = [
    "TOLERANCE",
    "affordable",
    "better_than_constant",
    "calibration_kept_predictions",
    "check",
    "differences",
    "head_saved",
    "labels_in_order",
    "loss_and_gradient",
    "loss_independent_of_accumulation",
    "merged_equals_adapted",
    "metrics_independent_of_batch_size",
    "no_test_row_in_training",
    "not_applicable",
    "outputs_of",
    "reloaded",
    "scores_finite",
    "weights_moved",
]
