"""Linear models by L-BFGS for dense and sparse inputs: softmax for classes, a sigmoid for each label, least squares for numbers.

    minimise over W, b:  sum of losses + |W|^2 / (2 C)

the problem and the C of scikit-learn's LogisticRegression, and its Ridge with alpha = 1 / C for half the squared error. All labels are
solved at once: hundreds of them cost larger matrix products instead of hundreds of fits. Solutions go from strong to weak penalties,
each starting at the one before; validation chooses among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunesmith.baselines._kinds import quality, validated
from tunesmith.core.arrays import sigmoid, softmax
from tunesmith.core.errors import DataError, require
from tunesmith.core.outcomes import Given, Said
from tunesmith.core.threads import one_thread

if TYPE_CHECKING:
    from tunesmith.core.outcomes import Truth

ITERATIONS = 200
NEEDS = ("scipy.optimize", "scipy.sparse", "threadpoolctl")
Matrix = Any
"""(rows, width) float array, or a sparse one in rows."""
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be predicted, as the solver wants it.

    Attributes:
        what: kind of truth.
        targets: (n, k) 0 and 1, or standardised numbers, of the k outputs that vary in the training rows.
        varies: (outputs,) which outputs these are.
        constant: (outputs,) what is said of the others.
        mean: of the numbers.
        spread: of the numbers.
    """

    what: str
    targets: Doubles
    varies: npt.NDArray[np.bool_]
    constant: Doubles
    mean: float = 0.0
    spread: float = 1.0

    @staticmethod
    def of(truth: Truth, classes: int, what: str) -> Problem:
        """The problem of the training rows' truth.

        Raises:
            DataError: nothing varies in it.
        """
        if what == "numbers":
            mean, spread = float(truth.mean()), float(truth.std())
            if spread == 0:
                raise DataError("all numbers that it would learn from are the same")
            return Problem(what, ((truth - mean) / spread)[:, None].astype(np.float64), np.ones(1, bool), np.zeros(1), mean, spread)
        held = (np.eye(classes)[truth] if what == "classes" else truth).astype(np.float64)
        shares = held.mean(axis=0)
        varies = (shares > 0) & (shares < 1)
        if not varies.any():
            raise DataError("all rows that it would learn from have the same label")
        return Problem(what, held[:, varies], varies, shares)

    def said(self, scores: Doubles) -> npt.NDArray[np.float32]:
        """(rows, k) scores as (rows, outputs) predictions."""
        if self.what == "numbers":
            return (scores * self.spread + self.mean).astype(np.float32)
        result = np.broadcast_to(self.constant, (len(scores), len(self.constant))).astype(np.float32)
        result[:, self.varies] = softmax(scores) if self.what == "classes" else sigmoid(scores)
        return result

    def loss(self, scores: Doubles) -> tuple[float, Doubles]:
        """Sum of the losses, and its gradient by the scores."""
        if self.what == "numbers":
            error = scores - self.targets
            return float(np.square(error).sum()) / 2, error
        if self.what == "labels":
            return float((np.logaddexp(0, scores) - self.targets * scores).sum()), sigmoid(scores) - self.targets
        top = scores.max(axis=1, keepdims=True)
        powers = np.exp(scores - top)
        total = powers.sum(axis=1, keepdims=True)
        powers /= total
        return float((top + np.log(total)).sum() - (self.targets * scores).sum()), powers - self.targets


def solutions(x: Matrix, problem: Problem, strengths: Sequence[float]) -> Iterator[Doubles]:
    """Weights and, in the last row, intercepts, (width + 1, k), for each C in ascending order."""
    minimize = require("scipy.optimize", "linear baselines").minimize
    n, width = x.shape
    k = problem.targets.shape[1]
    across = x.T.tocsr() if hasattr(x, "tocsr") else x.T
    at = np.zeros((width + 1) * k)

    def objective(vector: Doubles, strength: float) -> tuple[float, Doubles]:
        weights = vector.reshape(width + 1, k)
        scores = np.asarray(x @ weights[:-1].astype(x.dtype), np.float64) + weights[-1]
        loss, residual = problem.loss(scores)
        gradient = np.empty_like(weights)
        gradient[:-1] = across @ residual.astype(x.dtype)
        gradient[:-1] += weights[:-1] / strength
        gradient[-1] = residual.sum(axis=0)
        gradient /= n
        return (loss + float(np.square(weights[:-1]).sum()) / (2 * strength)) / n, gradient.ravel()

    options = {"maxiter": ITERATIONS, "gtol": 1e-5, "ftol": 1e-6, "maxcor": 5}
    for strength in sorted(strengths):
        with one_thread():
            at = minimize(objective, at, args=(strength,), jac=True, method="L-BFGS-B", options=options).x
        yield at.reshape(width + 1, k)


def chosen(
    given: Given, places: npt.NDArray[np.int64], x: Matrix, parts: Callable[[str], Iterator[Matrix]], strengths: Sequence[float]
) -> Said:
    """Fit for each C, choose on validation, predict.

    Args:
        given: the truth.
        places: of the training rows in `x`.
        x: their features.
        parts: split -> its features, some rows after the other.
        strengths: what validation chooses from; without validation rows the middle one is taken.

    Raises:
        DataError: nothing varies in the truth of these rows.
    """
    what = given.answers
    problem = Problem.of(given.truth["train"][places], given.classes, what)
    ladder = sorted(strengths)
    found = list(solutions(x, problem, ladder))

    def said(split: str, solved: Sequence[Doubles]) -> list[npt.NDArray[np.float32]]:
        outputs: list[list[npt.NDArray[np.float32]]] = [[np.empty((0, len(problem.varies)), np.float32)] for _ in solved]
        for part in parts(split):
            for weights, result in zip(solved, outputs, strict=True):
                result.append(problem.said(np.asarray(part @ weights[:-1].astype(x.dtype), np.float64) + weights[-1]))
        return [np.concatenate(result) for result in outputs]

    if validated(given):
        offered = said("validation", found)
        best = max(range(len(found)), key=lambda i: quality(offered[i], given.truth["validation"], what))
        validation, note = offered[best], f"C = {ladder[best]:g}, chosen on validation"
    else:
        best = len(found) // 2
        validation, note = np.empty((0, len(problem.varies)), np.float32), f"C = {ladder[best]:g}"
    return Said(said("test", found[best : best + 1])[0], validation, found[best].size, note)
