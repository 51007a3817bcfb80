"""Where in a network a rule was missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from dsrna.errors import UnsupportedError


@contextmanager
def naming_the_module(network: nn.Module) -> Iterator[None]:
    """Inside, an UnsupportedError gets the path of the innermost module whose forward it came from.

    The path is read from the error's traceback, so that nothing has to be hooked into the network while all goes well.

    Args:
        network: the module whose submodules' paths are meant.
    """
    try:
        yield
    except UnsupportedError as error:
        paths = {id(module): path for path, module in network.named_modules()}
        found: nn.Module | None = None
        trace = error.__traceback__
        while trace is not None:
            module = trace.tb_frame.f_locals.get("self")
            if isinstance(module, nn.Module) and id(module) in paths:
                found = module
            trace = trace.tb_next
        if found is None:
            raise
        place = paths[id(found)] or "the network itself"
        raise UnsupportedError(f"{place} ({type(found).__name__}): {error}") from error
