"""The column that says of each row which split it is of."""

from __future__ import annotations

from tunesmith.data.decisions import Decision
from tunesmith.data.sources import SPLITS
from tunesmith.data.values import Value
from tunesmith.recipe import DataRecipe


def split_column_of(sample: dict[str, list[Value]], recipe: DataRecipe, decisions: list[Decision]) -> str | None:
    """Its name, which goes into the decisions; None where there is none or the rows are to be divided anew."""
    if recipe.split not in (None, "given"):
        return None
    for name in ("split", "set", "subset", "partition", "fold"):
        column = next((c for c in sample if c.lower() == name), None)
        if column and column not in (recipe.inputs or []) and column not in (recipe.label or []):
            values = {str(value).lower() for value in sample[column] if value}
            if values and values <= set(SPLITS):
                decisions.append(Decision("split", f"column '{column}'", f"it holds {', '.join(sorted(values))}", "--split 0.8,0.1,0.1"))
                return column
    return None
