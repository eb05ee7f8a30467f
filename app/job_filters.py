"""Which jobs of a list are wanted. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from protocol.job_record import JobRecord
from protocol.states import JobState

Texts = frozenset[str]
NONE: Texts = frozenset()


@dataclass(frozen=True, slots=True)
class JobFilters:
    """A job is wanted that has one of the values of each filter; no values: no filter."""

    status: Texts = NONE
    model: Texts = NONE
    metadata: Mapping[str, Texts] = field(default_factory=dict)  # of top-level keys

    @classmethod
    def of(
        cls, status: Iterable[str], model: Iterable[str], metadata: Iterable[tuple[str, str]]
    ) -> Self:
        """From what a query names, each name as often as it likes."""
        pairs = list(metadata)
        named = {key: frozenset(v for k, v in pairs if k == key) for key, _ in pairs}
        return cls(frozenset(status), frozenset(model), named)

    def __bool__(self) -> bool:
        return bool(self.status or self.model or self.metadata)

    def admit(self, record: JobRecord, status: JobState) -> bool:
        """Whether the job, which is in this state now, is wanted."""
        request = record.request
        return (
            (not self.status or status in self.status)
            and (not self.model or request.model in self.model)
            and all(
                key in request.metadata and _text(request.metadata[key]) in values
                for key, values in self.metadata.items()
            )
        )

    def described(self) -> str:
        """The same text for the same filters, and another for others."""
        metadata = {key: sorted(values) for key, values in self.metadata.items()}
        return json.dumps([sorted(self.status), sorted(self.model), metadata], sort_keys=True)


def _text(value: Any) -> str:
    """As it can be said in a query: a text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
