"""The extras of chatferry: libraries that only some need, and how to install them where they are missing."""

import shlex
import sys

NEEDED = {"s3": "boto3>=1.36,<2", "cluster": "distributed>=2025.1,<2027"}
"""What each extra installs, as pyproject.toml says."""


def advice(what: str, extra: str, then: str = "try again") -> str:
    """Return what to do where something needs a missing extra, with a command for this very Python."""
    command = shlex.join([sys.executable, "-m", "pip", "install", NEEDED[extra]])
    return f'{what} needs chatferry\'s extra "{extra}". Install it ({command}), then {then}.'
