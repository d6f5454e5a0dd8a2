"""A token of an Amazon Cognito user pool, for a user name and a password."""

from __future__ import annotations

from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from server.errors import ConfigError, Refused, ServerError, TooMany, Unauthorized, Unavailable

# Who signs in has no keys of AWS's, and needs none.
CONFIG = Config(signature_version=UNSIGNED, connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})


def sign_in(user: str, password: str, *, client_id: str, region: str, endpoint_url: str = "") -> str:
    """An access token. Raises `Unauthorized` for a wrong name or password, without saying which."""
    try:
        cognito = boto3.client("cognito-idp", region_name=region, endpoint_url=endpoint_url or None, config=CONFIG)
        answer = cognito.initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH",
            ClientId=client_id,
            AuthParameters={"USERNAME": user, "PASSWORD": password},
        )
    except ClientError as error:
        raise translated(error.response.get("Error", {})) from error
    except (BotoCoreError, ValueError) as error:
        raise Unavailable(f"Cognito cannot be asked: {error}") from error
    if "AuthenticationResult" not in answer:
        raise Refused(f"Cognito asks for more ({answer.get('ChallengeName')}); sign in where that can be answered.")
    return str(answer["AuthenticationResult"]["AccessToken"])


def translated(error: Any) -> ServerError:
    match error.get("Code"):
        case "NotAuthorizedException" | "UserNotFoundException":
            return Unauthorized(f"Cognito refuses: {error.get('Message')}")
        case "UserNotConfirmedException" | "PasswordResetRequiredException":
            return Unauthorized(f"Cognito refuses: {error.get('Message')} See to that first.")
        case "ResourceNotFoundException" | "InvalidParameterException" | "InvalidUserPoolConfigurationException":
            return ConfigError(f"COGNITO_CLIENT_IDS names no app client that takes passwords: {error.get('Message')}")
        case "TooManyRequestsException" | "LimitExceededException":
            return TooMany(f"Cognito wants a pause: {error.get('Message')}")
        case code:
            return Unavailable(f"Cognito does not sign in: {code}, {error.get('Message')}")
