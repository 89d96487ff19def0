"""What all parts of the schema share: frozen, refusing unknown fields, and no value turned into another silently."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from ipsecd.policy.complaint import Complaint, Remark, complaint

T = TypeVar("T")
Several = Annotated[tuple[T, ...], Field(strict=False)]  # a YAML list


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """The values; raises Complaint if one stands there twice."""
    seen: set[T] = set()
    remarks = []
    for index, value in enumerate(values):
        if value in seen:
            remarks.append(Remark("stands here twice", "", (index,)))
        seen.add(value)
    if remarks:
        raise Complaint(*remarks)
    return values


def exactly_one(model: BaseModel) -> None:
    """Raises Complaint unless one field of the model, and no other, is given."""
    if len(model.model_fields_set) != 1:
        raise complaint(f"expected exactly one of {', '.join(type(model).model_fields)}")
