"""The contracts every implementation keeps, and the plain things that travel between them.

Nothing heavy is imported here: tensors appear in annotations only. Implementations are final dataclasses whose fields are their
hyperparameters, and each carries its registered `name`. The way of one example through them:

    row --Backbone.encode--> tensors --collate--> batch --features--> Features --head--> outputs --Task.decode--> plain JSON

Outputs leave torch before they are decoded, so that a prediction can be made without loading it: see `Backbone.light`.
Everybody imports them from this package; each file in it holds one contract, `_plain.py` what travels.
"""

from __future__ import annotations

from tunesmith.core.contracts._adapter import Adapter, Defaults
from tunesmith.core.contracts._backbone import Backbone, Decoder
from tunesmith.core.contracts._plain import Batch, Brought, Cells, Check, Encoded, Features, InputSpec, Picture, Prediction, Row, Sides
from tunesmith.core.contracts._task import Metrics, ScoreTable, Task

__all__ = [
    "Adapter",
    "Backbone",
    "Batch",
    "Brought",
    "Cells",
    "Check",
    "Decoder",
    "Defaults",
    "Encoded",
    "Features",
    "InputSpec",
    "Metrics",
    "Picture",
    "Prediction",
    "Row",
    "ScoreTable",
    "Sides",
    "Task",
]
