"""The same as scikit-learn estimators: fit, predict, predict_proba, score, get_params, usable in `cross_val_score` and pipelines.

`X` is a list or array of texts, of picture paths or picture arrays, a matrix of numbers (NaN where one is missing), or a DataFrame whose
columns are the inputs; `y` holds labels or numbers.

    clf = TunesmithClassifier(adapter="head", epochs=3)
    cross_val_score(clf, texts, labels, cv=3)
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from tunesmith.api import load, tune

COLUMN = "input"
EMPTY = "X holds no rows: at least one is needed (found array with 0 sample(s))"


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share.

    Args:
        backbone, adapter, epochs, batch_size, lr, seed: fields of the recipe.
        validation: share of the rows that decides which epoch's weights are kept.
        options: further fields of the recipe by their last name.
        out: folder of the run; None for one that goes with the estimator.
    """

    def __init__(
        self,
        *,
        backbone: Any = None,
        adapter: Any = None,
        epochs: int | None = None,
        batch_size: int = 32,
        lr: float | None = None,
        seed: int = 0,
        validation: float = 0.1,
        options: dict[str, Any] | None = None,
        out: str | None = None,
    ) -> None:
        self.backbone = backbone
        self.adapter = adapter
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.seed = seed
        self.validation = validation
        self.options = options
        self.out = out

    def _train(self, X: Any, y: Any, task: str) -> None:
        numbers = is_matrix(X)
        inputs = rows_of(self._checked(X, reset=True) if numbers else X)
        labels = np.asarray(y)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = column_or_1d(labels, warn=True)
        if labels.ndim != 1:
            raise ValueError(f"y must hold one value a row (got shape {labels.shape})")
        if len(inputs) != len(labels):
            raise ValueError(f"X has {len(inputs)} rows and y has {len(labels)}")
        self._tuned: Any = None
        self.n_features_in_ = len(inputs[0])
        rows = [{**row, "#label": value} for row, value in zip(inputs, self._written(labels), strict=True)]
        folder = self.out
        if folder is None:
            home = tempfile.mkdtemp(prefix="tunesmith-")
            weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
            folder = str(Path(home) / "run")
        self.run_ = tune(
            rows,
            inputs=list(inputs[0]),
            label="#label",
            task=task,
            backbone=self.backbone,
            adapter=self.adapter,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            seed=self.seed,
            # the caller holds its own test rows; the run's proofs need a few
            split=f"{1 - 2 * self.validation},{self.validation},{self.validation}",
            out=folder,
            **{"trackers": ["jsonl"], "max_bad_rows": 0, **(_table(inputs[0]) if numbers else {}), **(self.options or {})},
        )
        self.bundle_ = str(self.run_.bundle)

    def _checked(self, X: Any, reset: bool) -> npt.NDArray[np.float64]:
        """A matrix of numbers; NaN stands for a missing one."""
        found: npt.NDArray[np.float64] = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return found

    def _written(self, labels: npt.NDArray[Any]) -> list[str]:
        raise NotImplementedError

    def _predictions(self, X: Any) -> list[dict[str, Any]]:
        check_is_fitted(self, "bundle_")
        if self._tuned is None:
            self._tuned = load(self.bundle_)
        inputs = rows_of(self._checked(X, reset=False) if is_matrix(X) else X)
        if len(inputs[0]) != self.n_features_in_:
            raise ValueError(
                f"X has {len(inputs[0])} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input"
            )
        found: list[dict[str, Any]] = self._tuned.predict(inputs)
        return found

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "bundle_")

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state["_tuned"] = None  # read again from the bundle's folder
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False  # lists of texts are; of numbers they are none
        tags.input_tags.allow_nan = True
        tags.non_deterministic = False
        return tags


def is_matrix(X: Any) -> bool:
    """Whether X holds numbers in rows and columns, or ought to: scikit-learn then says what is wrong with it.

    Example:
        >>> is_matrix(np.ones((3, 2))), is_matrix([[1, 2], [3, 4]]), is_matrix(["a text"])
        (True, True, False)
    """
    if hasattr(X, "toarray"):
        return True
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        return all(getattr(kind, "kind", "O") in "biufc" for kind in X.dtypes)
    if hasattr(X, "dtype") and X.dtype.kind in "biufc":
        return bool(X.ndim < 3)  # pictures as arrays have more
    if isinstance(X, list | tuple) and X:
        first = X[0][0] if isinstance(X[0], list | tuple) and X[0] else X[0]
        return isinstance(first, int | float | np.number) and not isinstance(first, bool)
    return hasattr(X, "__array__") and not hasattr(X, "columns") and np.asarray(X).dtype.kind in "biufc" and np.asarray(X).ndim < 3


def _table(row: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a matrix: numbers, whatever they look like."""
    return {"modality": "tabular", "kinds": [f"{column}=number" for column in row]}


def rows_of(X: Any) -> list[dict[str, Any]]:
    """The rows of scikit-learn's X as mappings.

    Raises:
        ValueError: no rows.

    Example:
        >>> rows_of(["a text"])
        [{'input': 'a text'}]
    """
    if hasattr(X, "columns") and hasattr(X, "itertuples"):
        rows = [dict(zip(map(str, X.columns), row, strict=True)) for row in X.itertuples(index=False, name=None)]
    else:
        values = list(X)
        if values and isinstance(values[0], dict):
            rows = values
        else:
            rows = [{COLUMN: value} if not _is_row(value) else {f"{COLUMN}{i}": v for i, v in enumerate(value)} for value in values]
    if not rows:
        raise ValueError(EMPTY)
    return rows


def _rows(X: Any) -> int:
    """How many rows X has, where it can tell; else 1."""
    shape = getattr(X, "shape", None)
    return int(shape[0]) if shape else len(X) if hasattr(X, "__len__") else 1


def _is_row(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "OUSf"


@final
class TunesmithClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """Classification of texts, pictures, sounds or tables as a scikit-learn estimator."""

    def fit(self, X: Any, y: Any) -> TunesmithClassifier:
        """Adapt a backbone to (n,) rows `X` with (n,) labels `y`."""
        if y is None:
            raise ValueError("this estimator requires y to be passed, but the target y is None")
        if not _rows(X):
            raise ValueError(EMPTY)
        check_classification_targets(np.asarray(y))
        self.classes_ = np.unique(np.asarray(y))
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class only ({self.classes_[:1].tolist()}); a classifier needs two or more")
        self._train(X, y, "classification")
        return self

    def _written(self, labels: npt.NDArray[Any]) -> list[str]:
        # fixed width, so that the run's sorted class names stand in the order of `classes_`
        return [f"{number:09d}" for number in np.searchsorted(self.classes_, labels)]

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) labels."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(n, classes) probabilities in the order of `classes_`."""
        found = self._predictions(X)
        result = np.zeros((len(found), len(self.classes_)))
        for row, item in zip(result, found, strict=True):
            for code, probability in item["probabilities"].items():
                row[int(code)] = probability  # a class the run left out keeps 0
        return result


@final
class TunesmithRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """Regression on texts, pictures, sounds or tables as a scikit-learn estimator."""

    def fit(self, X: Any, y: Any) -> TunesmithRegressor:
        """Adapt a backbone to (n,) rows `X` with (n,) numbers `y`."""
        if y is None:
            raise ValueError("this estimator requires y to be passed, but the target y is None")
        if np.iscomplexobj(y):
            raise ValueError("Complex data not supported: y holds complex numbers")
        self._train(X, np.asarray(y, dtype=np.float64), "regression")
        return self

    def _written(self, labels: npt.NDArray[Any]) -> list[str]:
        return [repr(float(value)) for value in labels]

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """(n,) numbers."""
        return np.asarray([item["value"] for item in self._predictions(X)], np.float64)
