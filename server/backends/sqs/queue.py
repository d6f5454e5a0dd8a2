"""What we ask of SQS, and its troubles in our words."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aioboto3
import aiohttp
import structlog
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from server.errors import ConfigError, Unavailable

logger = structlog.get_logger()

# The most that SQS gives at once, and lets anyone wait.
MOST_AT_ONCE = 10
LONGEST_WAIT_SECONDS = 20
CALL_SECONDS = 3
# Our own waits are the limits; the library's are only not to be shorter.
CONFIG = AioConfig(
    connect_timeout=CALL_SECONDS,
    read_timeout=LONGEST_WAIT_SECONDS + CALL_SECONDS,
    max_pool_connections=64,
    retries={"mode": "standard", "total_max_attempts": 2},
)
HOPELESS = {
    "AccessDenied",
    "AWS.SimpleQueueService.NonExistentQueue",
    "InvalidAddress",
    "InvalidClientTokenId",
    "QueueDoesNotExist",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


@dataclass(frozen=True, slots=True)
class Message:
    """`receipt` is good until another hears the message."""

    conversation_id: str
    receipt: str


class Queue:
    """Every method may raise `Unavailable`; then nothing is known of its effect."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url

    async def check(self) -> None:
        """Raises `ConfigError` where the queue is not one, or not ours."""
        try:
            async with asked(CALL_SECONDS):
                found = await self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["All"])
        except Unavailable as error:
            if code_of(error.__cause__) in HOPELESS or isinstance(error.__cause__, BotoCoreError):
                raise ConfigError(f"QUEUE_URL={self._url} cannot be used: {error.__cause__}") from error
            raise
        if found.get("Attributes", {}).get("FifoQueue") != "true":
            raise ConfigError(f"QUEUE_URL={self._url} is no FIFO queue; infra/cluster/template.yaml has the right one.")

    async def send(self, conversation_id: str) -> None:
        """SQS compares ids of rings within the whole queue, for minutes: never is one used twice."""
        async with asked(CALL_SECONDS):
            await self._sqs.send_message(
                QueueUrl=self._url,
                MessageBody=conversation_id,
                MessageGroupId=conversation_id,
                MessageDeduplicationId=uuid.uuid4().hex,
            )

    async def receive(self, wait_seconds: int, hold_seconds: int) -> Sequence[Message]:
        """What has come, or comes within `wait_seconds`; nobody else is given it for `hold_seconds`.

        Wait for it: SQS may go on giving messages to who has long hung up.
        """
        async with asked(wait_seconds + CALL_SECONDS):
            answer = await self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MOST_AT_ONCE,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=hold_seconds,
            )
            return [Message(message["Body"], message["ReceiptHandle"]) for message in answer.get("Messages", [])]

    async def delete(self, receipt: str) -> None:
        async with asked(CALL_SECONDS):
            await self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)

    async def hold(self, receipt: str, seconds: int) -> None:
        """From now on; 0 gives it to whoever listens."""
        async with asked(CALL_SECONDS):
            await self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds
            )


@asynccontextmanager
async def open_queue(url: str, region: str, endpoint_url: str) -> AsyncIterator[Queue]:
    """Where `region` and `endpoint_url` are empty, AWS's own environment variables and rules say."""
    session = aioboto3.Session(region_name=region or None)
    async with AsyncExitStack() as stack:
        try:
            client = session.client("sqs", endpoint_url=endpoint_url or None, config=CONFIG)
            sqs = await stack.enter_async_context(client)
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"SQS cannot be asked: {error}") from error
        yield Queue(sqs, url)


@asynccontextmanager
async def asked(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except (BotoCoreError, ClientError, aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"the queue does not answer ({code_of(error)})") from error
    except Exception as error:
        # Of whoever gives credentials, or of an answer that is none.
        logger.exception("sqs_failed")
        raise Unavailable("the queue does not answer") from error


def code_of(error: BaseException | None) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__
