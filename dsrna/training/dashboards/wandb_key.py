"""Whether this machine has a key for Weights & Biases."""

from __future__ import annotations

import os
from contextlib import suppress
from netrc import NetrcParseError, netrc
from urllib.parse import urlsplit


def has_wandb_key() -> bool:
    """Whether wandb would find a key for its server, a self-hosted one too: in the environment or in a netrc file.

    Whether the key is good is for the server to say: those of self-hosted ones are longer than 40 characters.
    """
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    candidates = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    files = list(filter(os.path.isfile, map(os.path.expanduser, candidates)))
    if not files:
        return False
    import wandb  # takes half a second

    server = urlsplit(wandb.setup().settings.base_url).hostname or ""
    for file in files:
        with suppress(OSError, NetrcParseError):
            if netrc(file).authenticators(server):
                return True
    return False
