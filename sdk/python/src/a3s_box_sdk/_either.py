"""A method that is called of an object, or of its class with the object's id, as E2B's are."""

from __future__ import annotations

from typing import Any, Callable, Generic, Optional, TypeVar, overload

from typing_extensions import Concatenate, ParamSpec

P = ParamSpec("P")
R = ParamSpec("R")
T = TypeVar("T")
U = TypeVar("U")


class Either(Generic[P, T, R, U]):
    def __init__(self, of_class: Callable[Concatenate[Any, P], T], of_object: Callable[Concatenate[Any, R], U]) -> None:
        self._of_class = of_class
        self._of_object = of_object
        self.__doc__ = of_object.__doc__

    @overload
    def __get__(self, one: None, owner: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, one: object, owner: Optional[type] = None) -> Callable[R, U]: ...

    def __get__(self, one: Optional[object], owner: Optional[type] = None) -> Any:
        if one is None:
            return self._of_class.__get__(owner)
        return self._of_object.__get__(one)


def either(
    of_class: Callable[Concatenate[Any, P], T], of_object: Callable[Concatenate[Any, R], U]
) -> Either[P, T, R, U]:
    return Either(of_class, of_object)
