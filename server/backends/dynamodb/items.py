"""Plain values to DynamoDB's and back: str, int, bool, bytes, lists, mappings, sets of int."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

Item: TypeAlias = dict[str, Any]
Encoded: TypeAlias = dict[str, Any]


class Key(NamedTuple):
    pk: str
    sk: str


def encode_item(item: Mapping[str, Any]) -> Encoded:
    """None is left out."""
    return {name: encode(value) for name, value in item.items() if value is not None}


def encode(value: Any) -> Encoded:
    match value:
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case set():
            return {"NS": sorted(map(str, value))}
        case list():
            return {"L": [encode(one) for one in value]}
        case dict():
            return {"M": encode_item(value)}
        case _:
            raise TypeError(f"no item holds a {type(value).__name__}")


def decode_item(item: Mapping[str, Encoded]) -> Item:
    return {name: decode(value) for name, value in item.items()}


def decode(encoded: Encoded) -> Any:
    [(kind, value)] = encoded.items()
    match kind:
        case "N":
            return int(value)
        case "NS":
            return set(map(int, value))
        case "L":
            return [decode(one) for one in value]
        case "M":
            return decode_item(value)
        case _:
            return value


def key_of(item: Item) -> Key:
    return Key(item["pk"], item["sk"])
