"""The server, with the libraries' own logs turned up as far as they go."""

from __future__ import annotations

import logging
import sys

from server.__main__ import main

LOUD = (
    *("aiobotocore", "aiohttp", "aiosqlite", "asyncio", "azure", "boto3", "botocore", "httpcore", "httpx", "httpx2"),
    *("jose", "openai", "PIL", "sqlalchemy", "twilio", "urllib3", "uvicorn", "websockets"),
)

if __name__ == "__main__":
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.DEBUG)
    sys.exit(main())
