"""`python -m infra.cluster.deploy`: make or update the stack, and print the settings of a server that works on it."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import boto3
from botocore.exceptions import BotoCoreError, ClientError

TEMPLATE = Path(__file__).with_name("template.yaml")
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
SETTING = "Setting"
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
DEPLOY_SECONDS = 1800

Say: TypeAlias = Callable[[str], None]


class DeployFailed(Exception):
    """The stack is not as the template says; the message holds CloudFormation's reasons."""


def main() -> int:
    options = parser().parse_args()
    parameters = dict(given.split("=", 1) for given in options.parameter)
    try:
        cloudformation = boto3.client("cloudformation", endpoint_url=options.endpoint_url, region_name=options.region)
        settings = deploy(cloudformation, options.stack, parameters, say)
    except (DeployFailed, ClientError, BotoCoreError) as error:
        say(str(error))
        return 1
    settings = {"BACKEND": "aws", **settings}
    if options.endpoint_url:
        settings = {**settings, "AWS_ENDPOINT_URL": options.endpoint_url}
    print("\n".join(f"{name}={value}" for name, value in settings.items()))
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m infra.cluster.deploy", description=__doc__)
    top.add_argument("--stack", default="switchboard", help="name of the stack (default: %(default)s)")
    top.add_argument("--region", help="where (default: AWS_DEFAULT_REGION or the profile's)")
    top.add_argument("--endpoint-url", help="an emulator instead of AWS")
    top.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help="of the template")
    return top


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def deploy(cloudformation: Any, stack: str, parameters: Mapping[str, str], say: Say) -> dict[str, str]:
    """The server's settings for the stack, which is then as the template says. Raises `DeployFailed`."""
    if begin(cloudformation, stack, parameters):
        status = follow(cloudformation, stack, say)
        if status not in DONE:
            raise DeployFailed(f"The stack {stack} ended as {status}.")
    return settings_of(find(cloudformation, stack) or {})


def begin(cloudformation: Any, stack: str, parameters: Mapping[str, str]) -> bool:
    """Whether anything is to be done. Parameters that are not given stay as they are."""
    before = find(cloudformation, stack)
    change = cloudformation.update_stack if before else cloudformation.create_stack
    kept = {one["ParameterKey"] for one in (before or {}).get("Parameters", [])} - parameters.keys()
    try:
        change(
            StackName=stack,
            TemplateBody=TEMPLATE.read_text(),
            Capabilities=CAPABILITIES,
            Parameters=[
                *({"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()),
                *({"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept)),
            ],
        )
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    return True


def find(cloudformation: Any, stack: str) -> dict[str, Any] | None:
    try:
        [found] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return dict(found)


def follow(cloudformation: Any, stack: str, say: Say) -> str:
    """The status in which it came to rest; what happened on the way is said."""
    seen: set[str] = set()
    deadline, pause = time.monotonic() + DEPLOY_SECONDS, FIRST_PAUSE_SECONDS
    while time.monotonic() < deadline:
        status = str((find(cloudformation, stack) or {"StackStatus": "DELETED"})["StackStatus"])
        for event in news(cloudformation, stack, seen):
            say(line_of(event))
        if not status.endswith("_IN_PROGRESS"):
            return status
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    raise DeployFailed(f"The stack {stack} was not ready within {DEPLOY_SECONDS} s.")


def news(cloudformation: Any, stack: str, seen: set[str]) -> Iterator[Mapping[str, Any]]:
    """What happened since the last look, the oldest first; nothing from before the change that is under way."""
    fresh: list[Mapping[str, Any]] = []
    for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        if event["EventId"] in seen:
            break
        fresh.append(event)
        if event["LogicalResourceId"] == stack and event.get("ResourceStatusReason") == "User Initiated":
            break
    seen.update(event["EventId"] for event in fresh)
    return iter(fresh[::-1])


def line_of(event: Mapping[str, Any]) -> str:
    reason = event.get("ResourceStatusReason")
    line = f"{event['ResourceStatus']:20} {event['LogicalResourceId']}"
    return f"{line}: {reason}" if reason and event["ResourceStatus"].endswith("FAILED") else line


def settings_of(stack: Mapping[str, Any]) -> dict[str, str]:
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return {name_of(key): outputs[key] for key in sorted(outputs) if key.startswith(SETTING)}


def name_of(key: str) -> str:
    """SettingTableName -> TABLE_NAME"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.removeprefix(SETTING)).upper()


if __name__ == "__main__":
    sys.exit(main())
