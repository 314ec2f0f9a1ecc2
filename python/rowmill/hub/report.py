"""What a check found: problems that must be mended, warnings that may be lived with, and facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Report"]


@dataclass
class Report:
    """The outcome of ``rowmill.hub.verify`` or ``rowmill.hub.preflight``.

    Attributes:
        problems: What is wrong, a sentence each; nothing where all is well.
        warnings: What will cost something, or could not be found out.
        facts: What was found, as plain values.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return {"ok": self.ok, "problems": self.problems, "warnings": self.warnings, **self.facts}

    def __bool__(self) -> bool:
        return self.ok
