"""Presigned URLs. They are computed here, without asking anybody: boto3's own client does that, aioboto3's waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import boto3
import structlog
from botocore.config import Config

logger = structlog.get_logger()

# A role's credentials can be renewed from a quarter of an hour before they end.
FRESHEN_SECONDS = 60

# From the credentials of a moment to a client that signs with them and can renew none.
Connect: TypeAlias = Callable[[Any], Any]


class Signer:
    """`url` does no I/O, whatever becomes of the credentials: whoever gives them is asked on a thread, by `freshen`."""

    def __init__(self, bucket: str, credentials: Any, connect: Connect) -> None:
        self._bucket = bucket
        self._credentials = credentials
        self._connect = connect
        self._frozen: Any = None
        self._client: Any = None

    def url(self, key: str, seconds: int) -> str:
        target = {"Bucket": self._bucket, "Key": key}
        url: str = self._client.generate_presigned_url("get_object", Params=target, ExpiresIn=seconds)
        return url

    async def keep_fresh(self, every: float = FRESHEN_SECONDS) -> None:
        while True:
            await asyncio.sleep(every)
            try:
                await asyncio.to_thread(self.freshen)
            except Exception as error:  # noqa: BLE001  whoever gives credentials; the next try may succeed
                logger.warning("credentials_not_renewed", kind=type(error).__name__)

    def freshen(self) -> None:
        """Slow, for a thread; once before the first `url`."""
        frozen = self._credentials.get_frozen_credentials()
        if frozen != self._frozen:
            self._client, self._frozen = self._connect(frozen), frozen


def make_signer(bucket: str, region: str, endpoint_url: str) -> Signer | None:
    """Slow, for a thread. None without credentials."""
    session = boto3.Session(region_name=region or None)
    credentials = session.get_credentials()
    if credentials is None:
        return None
    signer = Signer(bucket, credentials, connector(session, endpoint_url))
    signer.freshen()
    return signer


def connector(session: boto3.Session, endpoint_url: str) -> Connect:
    # By its region's own name: the common one redirects for days after a bucket was made.
    config = Config(signature_version="s3v4", s3={"addressing_style": "auto" if endpoint_url else "virtual"})

    def connect(frozen: Any) -> Any:
        return session.client(
            "s3",
            endpoint_url=endpoint_url or None,
            config=config,
            aws_access_key_id=frozen.access_key,
            aws_secret_access_key=frozen.secret_key,
            aws_session_token=frozen.token,
        )

    return connect
