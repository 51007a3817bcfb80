"""Networks from the files of ``torch.export.save``, read without running what they hold.

``torch.export.load`` unpickles where a file asks for it (with ``weights_only=False``, to which it also falls back where
``weights_only=True`` fails), evaluates its expressions of sizes by sympy, and calls any function of torch that it names
(read in torch 2.15). So the archive is read here: its graph is JSON, its weights are plain bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dsrna.errors import DataError, DsrnaError, UnsupportedError
from dsrna.training.exported_operators import ASSERTIONS, CHANGES_FIRST, function_of

_GRAPH = "models/model.json"
_SCHEMA = 8
"""Major version of the format of graphs, of all versions of torch that we allow."""
_TYPES = {
    **{1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16},
    **{7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16},
}
"""The format's numbers of types."""
_PLAIN = ("as_int", "as_ints", "as_floats", "as_bool", "as_bools", "as_string")
_WHERE = ("device", "layout", "memory_format", "pin_memory")
"""Arguments that are left out: values are where the images are, and laid out as they come."""


class Name(str):
    """A value that the program computed before, or was given."""


class Step(NamedTuple):
    """One call of a program: arguments hold a :class:`Name` for each value."""

    function: Callable[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    outputs: list[Any]


class ExportedNetwork(nn.Module):
    """A network (N, ...) -> (N, K) that computes what an exported program of one input and one output says.

    Programs exported for one size of batch are run on such batches, one after the other, unless the size is written
    nowhere in them, so that larger batches give the same logits. Gradients are those of the program's operators.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        DataError: it's no such file, or hasn't one input and one output.
        UnsupportedError: it needs an operator or a type of weights that isn't known, or is in training mode.
    """

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__()
        with _read(content, name) as archive:
            program = archive.json(_GRAPH)
            if program["schema_version"]["major"] != _SCHEMA:
                raise DataError(f"of version {program['schema_version']} of the format: export it by another torch")
            graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
            self._weights: dict[str, str] = {}
            (self._input,) = self._keep_weights(archive, signature["input_specs"])
            kinds = [next(iter(one)) for one in signature["output_specs"]]
            if kinds != ["user_output"]:
                raise DataError(f"of the outputs {', '.join(kinds)}, where one is expected: export network.eval()")
            self._output = _argument(signature["output_specs"][0]["user_output"]["arg"])
            self._steps = [self._step(node) for node in graph["nodes"] if node["target"] not in ASSERTIONS]
            sizes = [size.get("as_int") for size in graph["tensor_values"][self._input]["sizes"]]
        self._batch: int | None = sizes[0]
        if self._batch is not None and None not in sizes and self._takes_any_batch(sizes):
            self._batch = None

    def forward(self, x: Tensor) -> Any:
        """Maps (N, ...) to (N, K)."""
        if self._batch is None or len(x) == self._batch:
            return self._run(x)
        return self._in_batches(x)

    def _run(self, x: Tensor) -> Any:
        values: dict[str, Any] = {name: getattr(self, kept) for name, kept in self._weights.items()}
        values[self._input] = x

        def filled(argument: Any) -> Any:
            if isinstance(argument, list):
                return [filled(each) for each in argument]
            return values[argument] if isinstance(argument, Name) else argument

        for step in self._steps:
            given = step.function(*filled(step.args), **{name: filled(each) for name, each in step.kwargs.items()})
            _assign(values, step.outputs, given)
        return values[self._output]

    def _in_batches(self, x: Tensor) -> Tensor:
        """By the program's own size of batch; the last one is filled up with its last image."""
        size = self._batch or len(x)
        filled = torch.cat([x, x[-1:].expand(-len(x) % size, *x.shape[1:])])
        return torch.cat([self._run(part) for part in filled.split(size)])[: len(x)]

    def _takes_any_batch(self, sizes: list[int]) -> bool:
        """Whether other batches than those it was exported for get the same logits; tried on random images."""
        images = torch.rand(sizes[0] + 1, *sizes[1:], generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = self._in_batches(images)
            try:
                found = self._run(images)
            except RuntimeError:
                return False
        return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-5)

    def _keep_weights(self, archive: _Archive, specs: list[dict[str, Any]]) -> Iterator[Name]:
        """Keeps the program's weights; gives its inputs."""
        tensors = archive.tensors("weights") | archive.tensors("constants")
        for spec in specs:
            (kind, about), *_ = spec.items()
            if kind == "user_input":
                yield _argument(about["arg"])
                continue
            if kind not in ("parameter", "buffer", "tensor_constant"):
                raise UnsupportedError(f"No rule for an input of the kind {kind}")
            kept = self._weights[about["arg"]["name"]] = f"weight_{len(self._weights)}"
            weight = tensors[about[f"{kind}_name"]]
            if kind == "parameter" and weight.is_floating_point():
                self.register_parameter(kept, nn.Parameter(weight, requires_grad=False))
            else:
                self.register_buffer(kept, weight)

    def _step(self, node: dict[str, Any]) -> Step:
        target: str = node["target"]
        function = function_of(target)
        if target in CHANGES_FIRST and node["inputs"][0]["arg"].get("as_tensor", {}).get("name") in self._weights:
            raise UnsupportedError(f"No rule for {target} on a weight: export the network after network.eval()")
        given = [(each["name"], each.get("kind") == 1, _argument(each["arg"])) for each in node["inputs"]]
        return Step(
            function,
            [value for _, positional, value in given if positional],
            {name: value for name, positional, value in given if not positional and name not in _WHERE},
            [_argument(each) for each in node["outputs"]],
        )


def _assign(values: dict[str, Any], names: list[Any], given: Any) -> None:
    if len(names) == 1:
        names, given = (names[0], given) if isinstance(names[0], list) else (names, [given])
    for name, value in zip(names, given, strict=True):
        values[name] = value


def _argument(argument: dict[str, Any]) -> Any:
    """A call's argument, or what its result is called."""
    (kind, value), *_ = argument.items()
    if kind == "as_tensor":
        return Name(value["name"])
    if kind == "as_name":
        return Name(value)
    if kind == "as_tensors":
        return [Name(each["name"]) for each in value]
    if kind in ("as_sym_int", "as_sym_float"):
        return _argument(value)
    if kind in ("as_sym_ints", "as_optional_tensors"):
        return [_argument(each) for each in value]
    if kind == "as_scalar_type":
        return _type(value)
    if kind == "as_float":
        return float(value)  # the infinite ones are texts
    if kind in _PLAIN:
        return value
    if kind in ("as_none", "as_device", "as_layout", "as_memory_format"):
        return None  # as far as they aren't left out
    raise UnsupportedError(f"No rule for an argument of the kind {kind}")


def _type(number: int) -> torch.dtype:
    if number not in _TYPES:
        raise UnsupportedError(f"No rule for values of the type {number}")
    return _TYPES[number]


class _Archive:
    """The records of a file, each below the file's own name."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        found = [name for name in file.namelist() if name.endswith(f"/{_GRAPH}")]
        if len(found) != 1:
            raise DataError("of no graph of the name `model`: compiled packages and TorchScript hold code, not a graph")
        self._root = found[0].removesuffix(_GRAPH)

    def json(self, record: str) -> Any:
        return json.loads(self._file.read(self._root + record))

    def tensors(self, kind: str) -> dict[str, Tensor]:
        """The weights or constants by their names, of which none may be pickled."""
        found = {}
        for name, about in self.json(f"data/{kind}/model_{kind}_config.json")["config"].items():
            meta = about["tensor_meta"]
            if about["use_pickle"] or meta is None:
                raise UnsupportedError(f"{name} is pickled, and unpickling runs code")
            sizes, strides = ([one["as_int"] for one in meta[key]] for key in ("sizes", "strides"))
            content = bytearray(self._file.read(f"{self._root}data/{kind}/{about['path_name']}"))
            values = torch.frombuffer(content, dtype=_type(meta["dtype"])) if content else torch.empty(0)
            offset = meta["storage_offset"]["as_int"]
            found[name] = torch.as_strided(values, sizes, strides, offset).clone()
        return found


@contextmanager
def _read(content: bytes, name: str) -> Iterator[_Archive]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            yield _Archive(file)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{error}, in {name}. If you trust the file, load it by torch.export.load in a function of yours, and name "
            "that: model=MODULE:NAME."
        ) from error
    except DataError as error:
        raise DataError(f"Expected a program of torch.export.save in {name}, got one {error}.") from error
    except DsrnaError:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, RuntimeError, EOFError) as error:
        raise DataError(
            f"Expected a program of torch.export.save in {name}, got what can't be read: "
            f"{type(error).__name__}: {error}"
        ) from error
