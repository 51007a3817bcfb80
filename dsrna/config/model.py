"""What all models of settings share: strict types, no unknown keys, and what pydantic refuses in our words."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar, Union

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from dsrna.config.explain import unresolved
from dsrna.config.parts import nearest, placed
from dsrna.conforming import choices_of, shown, type_text
from dsrna.errors import ConfigError, DsrnaError


class Model(BaseModel):
    """Settings, or a node of them.

    True is no number, text is no number, 3.0 is no whole number. A field's ``description`` says what is expected, for
    messages; where there is none, its type does.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, validate_by_alias=True, validate_by_name=True
    )


M = TypeVar("M", bound=Model)
Check = Callable[[], object]
"""Raises a DsrnaError where something is wrong."""

T = TypeVar("T")
_TRIES_PARTS = ContextVar("_TRIES_PARTS", default=True)


@contextmanager
def parts_untried() -> Iterator[None]:
    """Inside, settings are read by their keys, types and ranges alone: no part is imported, and nothing that is asked
    of several settings together is checked. So it takes no torch, whose import takes longer than all else.
    """
    before = _TRIES_PARTS.set(False)
    try:
        yield
    finally:
        _TRIES_PARTS.reset(before)


def tries_parts() -> bool:
    """Whether parts are built to see what they refuse; False within :func:`parts_untried`."""
    return _TRIES_PARTS.get()


def read(schema: type[M], config: DictConfig, checks: Callable[[M], Iterable[Check]] = lambda _: ()) -> M:
    """Typed settings from a composed config.

    Args:
        schema: of the settings.
        config: the config.
        checks: settings -> what is asked of several of them together. Where some are wrong by themselves, the checks
            get settings without those, and what needs them isn't checked yet.

    Raises:
        ConfigError: lists every key that is unknown, missing or wrong, and what the checks raise.
    """
    try:
        given = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(unresolved(error)) from error
    try:
        settings = schema.model_validate(given, context=given)
    except ValidationError as error:
        problems: dict[str, _Problem] = {}
        for each in error.errors(include_url=False):
            problem = _Problem(schema, each)
            problems.setdefault(problem.key, problem)  # a union has one for each of its members
        rest = _without(schema, given, {problem.field for problem in problems.values()})
        refuse([*(problem.text for problem in problems.values()), *_raised(checks(rest), needing_more=AttributeError)])
    check_all(checks(settings))
    return settings


def refused(error: DsrnaError) -> PydanticCustomError:
    """What a validator raises for an error of ours, whose key, if it names one, is below the validated value."""
    return PydanticCustomError("refused", "{error}", {"error": error})


def distinct(values: list[T]) -> list[T]:
    """A validator: no value twice."""
    if len(set(values)) < len(values):
        raise PydanticCustomError("twice", "a value twice")
    return values


def refuse(problems: Iterable[str]) -> NoReturn:
    """Raises one ConfigError that lists every problem."""
    unique = list(dict.fromkeys(problems))
    if len(unique) == 1:
        raise ConfigError(unique[0])
    raise ConfigError(f"{len(unique)} settings are wrong:\n" + "\n".join(f"  - {line}" for line in unique))


def check_all(checks: Iterable[Check]) -> None:
    """Raises one ConfigError that lists what the checks raise, if there is anything."""
    if problems := _raised(checks):
        refuse(problems)


def _raised(checks: Iterable[Check], needing_more: type[Exception] | tuple[()] = ()) -> list[str]:
    """What the checks raise; those that can't be made, as ``needing_more`` says, count as passed.

    None is made within :func:`parts_untried`.
    """
    problems: list[str] = []
    for check in checks if tries_parts() else ():
        try:
            check()
        except DsrnaError as error:
            problems.append(str(error))
        except needing_more:
            continue
    return problems


def _without(schema: type[M], given: Any, wrong: set[str], place: str = "") -> M:
    """Settings as they were given, of which the wrong ones don't exist."""
    fields = _fields(schema)
    values = {key: value for key, value in given.items() if key not in fields}
    for key, field in fields.items():
        here, model = f"{place}{key}", _model_in(field.annotation)
        if key in given and here not in wrong:
            below = model is not None and isinstance(given[key], dict)
            values[key] = _without(model, given[key], wrong, f"{here}.") if model and below else given[key]
    return schema.model_construct(**values)


class _Problem:
    """One thing that pydantic refuses, with its place as the user types it."""

    def __init__(self, schema: type[Model], details: ErrorDetails) -> None:
        self._details, self._value = details, details["input"]
        self._schema: type[Model] = schema
        self._model: type[Model] | None = schema
        self._field: FieldInfo | None = None
        self.field = ""
        """The key of the setting that holds the value."""
        self.key = ".".join(self._walk(schema, details["loc"]))

    @property
    def text(self) -> str:
        kind = self._details["type"]
        if kind == "refused":
            return placed(str(self._details["ctx"]["error"]), self.key)
        return f"{self._sentence(kind)} (conf: {self.key})"

    def _walk(self, annotation: Any, place: Iterable[str | int]) -> Iterator[str]:
        """The keys on the way to the value; further steps are into lists and the members of a union."""
        for step in place:
            model, entries = _model_in(annotation), _entries_in(annotation)
            if model is not None:
                self._model, self._field = model, _fields(model).get(str(step))
                self.field = f"{self.field}.{step}".lstrip(".")
                annotation = None if self._field is None else self._field.annotation
            elif entries is not None:
                annotation = entries
            else:
                return
            yield str(step)

    def _sentence(self, kind: str) -> str:
        key, value, top = self.key, shown(self._value), "." not in self.key
        if kind == "extra_forbidden" and self._model is not None:
            node, _, last = key.rpartition(".")
            known = [f"{node}.{name}" if node else name for name in _fields(self._model)]
            close = nearest(last, _fields(self._model)).replace("`", f"`{node}." if node else "`", 1)
            there = "`python -m dsrna show` prints all keys." if top else f"There are: {', '.join(known)}."
            return f"Unknown key `{key}`.{close or nearest(key, _every_key(self._schema))} {there}"
        if kind == "missing":
            if top:
                return f"`{key}` was removed, but is needed: leave out ~{key} or {key}=null."
            return f"`{key}` has no default: give it as {key}=VALUE."
        if kind == "model_type":
            return f"Expected keys below `{key}`, got {value}: write {key}.KEY=VALUE."
        if self._field is None:
            return f"Expected {self._details['msg']}, got {value}."
        close = nearest(self._value, choices_of(self._field.annotation)) if isinstance(self._value, str) else ""
        return f"Expected {self._field.description or type_text(self._field.annotation)}, got {value}.{close}"


def _fields(model: type[Model]) -> dict[str, FieldInfo]:
    """Key, as the user types it -> field."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _every_key(model: type[Model], place: str = "") -> Iterator[str]:
    for key, field in _fields(model).items():
        yield f"{place}{key}"
        if below := _model_in(field.annotation):
            yield from _every_key(below, f"{place}{key}.")


def _members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union; of anything else, itself."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for each in typing.get_args(annotation) for member in _members(each))
    return (annotation,)


def _model_in(annotation: Any) -> type[Model] | None:
    return next((each for each in _members(annotation) if isinstance(each, type) and issubclass(each, Model)), None)


def _entries_in(annotation: Any) -> Any:
    """The type of a mapping's values, or of the models in a list; None where it is neither."""
    for each in _members(annotation):
        if typing.get_origin(each) is dict:
            return typing.get_args(each)[1]
        if typing.get_origin(each) is list and _model_in(typing.get_args(each)[0]) is not None:
            return typing.get_args(each)[0]
    return None
