"""Links that expire: a function of the user's signs each one when it is opened, and again when it no longer does."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import TypeAlias

from geomtrs.errors import QueryError

Sign: TypeAlias = Callable[[str], str]


def signer(told: str | Sign | None) -> Sign | None:
    """The function that was told, by itself or as `module:function`.

    Raises QueryError where there is none. What it returns is used to open a file and written nowhere.
    """
    if told is None or not isinstance(told, str):
        return told
    module, colon, name = told.partition(":")
    try:
        if not (module and colon and name):
            raise ValueError("no module:function")
        found: object = operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise _no_function(told, f"nothing that imports ({error})") from error
    if not callable(found):
        raise _no_function(told, f"a {type(found).__name__}")
    return found


def name_of(sign: Sign) -> str:
    """As run.json keeps it: `module:function`, which another process can import where it is not made on the spot."""
    return f"{getattr(sign, '__module__', '?')}:{getattr(sign, '__qualname__', type(sign).__qualname__)}"


def _no_function(told: str, found: str) -> QueryError:
    return QueryError(
        "--sign",
        found=f"{told!r}: {found}",
        wanted="module:function, which makes a signed address of an address",
        remedy="for example planetary_computer:sign; the module must be installed, or lie in PYTHONPATH",
    )
