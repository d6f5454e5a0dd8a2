"""Whether a request was made by Twilio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import structlog
from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator, get_signature_algorithm

logger = structlog.get_logger()

SIGNATURE = "x-twilio-signature"
SIGNATURE_SETTINGS = "x-twilio-webhooks-signature-settings"


class Form(dict[str, list[str]]):
    """Fields, each with all of its values, as Twilio's validator asks for them."""

    def getlist(self, name: str) -> Sequence[str]:
        return self[name]


Signed: TypeAlias = Form | str


class Signatures:
    """`tokens`: the account's, and while they are changed the one before. Either is good."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._validators = [RequestValidator(token) for token in tokens if token]

    def hold(self, url: str, content: Signed, headers: Mapping[str, str]) -> bool:
        """`url` as Twilio knows it; `content`: a form's fields, or a body of another kind as it is."""
        algorithm = get_signature_algorithm(headers.get(SIGNATURE_SETTINGS)).upper()
        signature = headers.get(SIGNATURE)
        if not signature or not signature.isascii() or algorithm not in {HMAC_SHA1, HMAC_SHA256}:
            return False
        try:
            return any(one.validate(url, content, signature, algorithm) for one in self._validators)
        except Exception as error:  # noqa: BLE001  What the library meets in a forged request is not ours to know.
            logger.info("validator_upset", kind=type(error).__name__)
            return False
