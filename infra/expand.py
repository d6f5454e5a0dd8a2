"""`expand.py TEMPLATE`: what CloudFormation makes of it, as JSON, without an account or a network.

Run by the Python of the emulator's virtual environment: what it needs does not get along with what the server needs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml
from samtranslator.translator.transform import transform


class NoPolicies:
    """Templates here name no managed policies, which only AWS could look up."""

    def load(self) -> dict[str, str]:
        return {}


def expand(template: dict[str, Any]) -> Any:
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
    return transform(template, {}, NoPolicies())


if __name__ == "__main__":
    source = json.loads(json.dumps(cfn_yaml.load(Path(sys.argv[1]))))
    print(json.dumps(expand(source), indent=1))
