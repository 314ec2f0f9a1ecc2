"""What ``datasets.Dataset.with_transform`` was given, as a function of one row that ``.map`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rowmill.exceptions import SchemaMismatchError
from rowmill.stages.identity import describe_function

__all__ = ["Transform"]


@dataclass(frozen=True)
class Transform:
    """Makes of a row what ``dataset[i]`` is: the transform of a batch of one.

    Attributes:
        function: From a batch (a dict of lists) to a batch.
        features: Those of the columns that it is shown, images and sounds decoded.
        keeps_others: Whether the other columns come as well, as they are.
    """

    function: Callable[[dict[str, list[Any]]], Any]
    features: Any
    keeps_others: bool

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the transform makes of ``row``."""
        batch = self.features.decode_batch({name: [row[name]] for name in self.features})
        made = self.function(batch)
        try:
            values = {name: column[0] for name, column in made.items()}
        except (AttributeError, TypeError, IndexError, KeyError) as error:
            raise SchemaMismatchError(
                f"the dataset's transform {describe_function(self.function)} must return a dict of lists with a value "
                f"for each row, but of one row it made {made!r:.200}"
            ) from error
        others = {name: value for name, value in row.items() if name not in self.features} if self.keeps_others else {}
        return {**values, **others}

    def __rowmill_describe__(self) -> str:
        return f"transform({describe_function(self.function)})"
