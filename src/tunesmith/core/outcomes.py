"""What a model or a baseline gave for the rows of a split, beside the truth: scores, intervals, calibration and slices are made of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tunesmith.core.contracts import Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tunesmith.core.arrays import Floats, Outputs

    Truth = npt.NDArray[Any]
    Weights = npt.NDArray[np.floating]


class Statistic(Protocol):
    """Scores as a function of how much each row counts: weights of 1 give the scores themselves, a bootstrap gives whole numbers."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def work(self) -> int:
        """About how many numbers one weighting touches; decides how many replicates can be afforded."""

    @property
    def by_row(self) -> str:
        """Name of a score that is a mean over rows (accuracy, mean absolute error), by which parts of the rows can be compared."""

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Least and greatest value of each score that has both."""

    @property
    def directions(self) -> Mapping[str, str]:
        """`max` or `min` for each score that has a better and a worse."""

    def __call__(self, weights: Weights) -> dict[str, float]:
        """Scores by name of rows with these weights, (rows,); one that is not defined for them is left out."""

    def many(self, weights: Weights, names: Collection[str] | None = None) -> dict[str, npt.NDArray[np.float64]]:
        """The same for (replicates, rows) weights at once: (replicates,) a score, NaN where it is not defined.

        Args:
            weights: one weighting a row.
            names: the scores that are wanted; None for all.
        """

    def take(self, places: npt.NDArray[Any]) -> Statistic:
        """The statistic of some of the rows: at these places, or where a mask is true."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outputs for the rows of a split, in their order.

    Attributes:
        numbers: (n,) numbers of the rows.
        outputs: as `Task.decode` takes them; may be memory-mapped.
        truth: what `Task.truth` makes of the rows' targets: (n,) class numbers (integers) or numbers (floats), (n, labels) of 0 and 1 ...
    """

    numbers: npt.NDArray[np.int64]
    outputs: Outputs
    truth: Truth

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, places: npt.NDArray[Any]) -> Outcome:
        """The rows at these places, or where a mask is true."""
        return Outcome(self.numbers[places], self.outputs[places], self.truth[places])


@dataclass(frozen=True, eq=False)
class Given:
    """What a baseline may use: rows, the truth of those it may learn from, and features of the backbone as it came.

    Attributes:
        inputs: input column -> its kind (`core.kinds`).
        rows: split -> its rows, in order.
        truth: split -> as in `Outcome`; a baseline learns from `train` and may choose by `validation`, which may be empty; the
            truth of the test rows is not here.
        answers: what is predicted, as `Task.answers`.
        classes: how many classes or labels there are; 0 for numbers.
        features: split -> (n, width); None where the backbone has none or they were not computed.
        seed: decides what is random.
        task: fields of the task, fitted, as plain values (a horizon, levels of quantiles).
    """

    inputs: Mapping[str, str]
    rows: Callable[[str], Iterator[Row]]
    truth: Mapping[str, Truth]
    answers: str
    classes: int
    features: Callable[[str], Floats | None]
    seed: int
    task: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Said:
    """What a baseline says of rows.

    That is (n, classes) probabilities that sum to 1, (n, labels) probabilities, (n, 1) numbers on the user's scale, or, of series,
    (n, horizon, columns) numbers or (n, horizon, columns, levels) quantiles.

    Attributes:
        test: of the test rows.
        validation: of the validation rows, by which the best baseline can be chosen without a look at the test rows; (0, ...) without any.
        learned: how many numbers were learned.
        note: what a reader should know (what was chosen, that rows were drawn); empty where there is nothing.
    """

    test: Floats
    validation: Floats
    learned: int
    note: str = ""


class Baseline(ABC):
    """A cheap way to do the task, which adapting has to beat.

    Attributes:
        answers: what it can predict, as `Task.answers`.
        needs: modules of optional packages that it imports; they are loaded before its seconds are counted.
    """

    name: ClassVar[str]
    answers: ClassVar[tuple[str, ...]] = ("classes", "labels", "numbers")
    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fits(self, given: Given) -> str | None:
        """Why it cannot be used on such data, or None."""

    @abstractmethod
    def said(self, given: Given) -> Said:
        """Learn from the training rows, choose by the validation rows, and predict those and the test rows.

        Raises:
            DataError: nothing can be learned from these rows; the message says why, and the run goes on without this baseline.
        """
