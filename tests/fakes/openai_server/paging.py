"""Lists that are given out page by page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.fakes.openai_server.faults import Denial, Denied
from tests.fakes.openai_server.objects import Json

_LARGEST_PAGE = 100


def page(values: Sequence[Json], query: Mapping[str, str]) -> Json:
    """`values` in the order of their creation; the query's `order` (desc), `limit` (20), `after` and `before` count."""
    ordered = list(values) if _order(query) == "asc" else list(values)[::-1]
    first = _place(ordered, query, "after") + 1 if "after" in query else 0
    last = _place(ordered, query, "before") if "before" in query else len(ordered)
    rest = ordered[first:last]
    data = rest[: _limit(query)]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, **ends, "has_more": len(data) < len(rest)}


def _order(query: Mapping[str, str]) -> str:
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise _invalid("order", "expected 'asc' or 'desc'")
    return order


def _limit(query: Mapping[str, str]) -> int:
    limit = query.get("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit) <= _LARGEST_PAGE:
        raise _invalid("limit", f"expected an integer from 1 to {_LARGEST_PAGE}")
    return int(limit)


def _place(ordered: Sequence[Json], query: Mapping[str, str], param: str) -> int:
    for place, value in enumerate(ordered):
        if value["id"] == query[param]:
            return place
    raise _invalid(param, f"nothing here has the id '{query[param]}'")


def _invalid(param: str, why: str) -> Denied:
    return Denied(Denial(400, f"Invalid '{param}': {why}.", param=param))
