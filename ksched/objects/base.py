"""What every Kubernetes object model shares: immutability, JSON names, cheap copies, lossless output.

Models are pydantic models with Kubernetes' camelCase names as aliases of snake_case attributes. They validate once,
when a manifest is read; afterwards objects are shared, never changed, and new versions are made by
:meth:`KubeModel.replaced`, which copies one level and validates nothing.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Generic, Self, TypeVar
from weakref import WeakSet

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from .quantity import Quantity


class _NullTuple(tuple[Any, ...]):
    """An empty list that stood as ``null`` in the manifest, so that it is written back as null."""

    __slots__ = ()


class _NullDict(dict[str, Any]):
    """An empty map that stood as ``null`` in the manifest, so that it is written back as null."""

    __slots__ = ()


_NULL_TUPLE: Final = _NullTuple()
_NULL_DICT: Final = _NullDict()


def _list_or_null(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return _NULL_TUPLE if value is None else handler(value)


def _map_or_null(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return _NULL_DICT if value is None else handler(value)


def _struct_or_null(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return handler({} if value is None else value)


_T = TypeVar("_T")
# In Go's JSON null means absent. Lists and maps are never None here, so that nobody has to ask.
Many = Annotated[tuple[_T, ...], WrapValidator(_list_or_null)]
Map = Annotated[dict[str, _T], WrapValidator(_map_or_null)]
Struct = Annotated[_T, WrapValidator(_struct_or_null)]
StrMap = Map[StrictStr]
ResourceList = Map[Quantity]
# The api-server does not turn "3" into 3, nor 3 into "3".
Str = StrictStr
Int = StrictInt
Bool = StrictBool


def _int_or_str(value: Any) -> int | str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError('must be a whole number or a text like "25%"')


# A union would add its members' names to the path in error messages.
IntOrStr = Annotated[int | str, PlainValidator(_int_or_str)]

_set_fields_set = BaseModel.__dict__["__pydantic_fields_set__"].__set__


class _Draft(BaseModel):
    """What a copy is until it has all its parts: pydantic's own ``__setattr__`` would stop every one of them."""

    __init__ = object.__init__
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


def camel(name: str) -> str:
    """``node_name`` -> ``nodeName``."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


class KubeModel(BaseModel):
    """Base of all models in :mod:`ksched.objects`.

    Attribute names are snake_case, JSON names Kubernetes' own; both are accepted by the constructor. Absent lists
    are ``()``, absent maps ``{}``, absent scalars and optional structures None. Unknown fields are kept and
    written back. Instances are immutable and must be treated so all the way down (maps are plain dicts).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        alias_generator=camel,
        populate_by_name=True,
        defer_build=True,  # building the schemas of all kinds takes longer than most runs of the command line
        protected_namespaces=(),
    )

    def replaced(self, **changes: Any) -> Self:
        """A copy in which the named attributes are as given. Validates nothing and shares everything else (1 us)."""
        cls, names = type(self), tuple(changes)
        replace: Callable[[Self, dict[str, Any]], Self] | None = _REPLACE.get((cls, names))
        if replace is None:
            replace = _REPLACE[cls, names] = replacing(cls, *names)
        return replace(self, changes)

    def completed(self, **changes: Any) -> Self:
        """This very object with the named attributes as given: only for a copy just made that nobody else holds yet."""
        self.__dict__.update(changes)
        fields_set = self.__pydantic_fields_set__
        if not fields_set.issuperset(changes):
            _set_fields_set(self, _shared(fields_set.union(changes)))
        return self

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, camelCase, holding only what was set; quantities stand as the user wrote them."""
        out: dict[str, Any] = {}
        values = self.__dict__
        fields_set = self.__pydantic_fields_set__
        extra = self.__pydantic_extra__
        for name, alias in json_names(type(self)):
            if name in fields_set:
                value = values[name]
                if extra and name in extra and not value:
                    continue  # an unknown field that has the name of an attribute, not the attribute itself
                out[alias] = value if value is None or value.__class__ is str else jsonable(value)
        if extra:
            out.update(extra)
        return out

    def __hash__(self) -> int:
        raise TypeError(f"{type(self).__name__} holds maps and cannot be hashed; key by name, uid or id()")


_M = TypeVar("_M", bound=KubeModel)
_REPLACE: dict[tuple[type[KubeModel], tuple[str, ...]], Callable[[Any, dict[str, Any]], Any]] = {}
_MAX_SETS = 1 << 10
_SHARED: dict[frozenset[str], set[str]] = {}


def _shared(fields_set: set[str]) -> set[str]:
    """The one set of these names that all copies have: nobody changes such a set, because models are frozen."""
    if len(_SHARED) >= _MAX_SETS:
        _SHARED.clear()
    return _SHARED.setdefault(frozenset(fields_set), fields_set)


def replacing(cls: type[_M], *names: str) -> Callable[[_M, dict[str, Any]], _M]:
    """What :meth:`KubeModel.replaced` does for these attributes, as a function: half the price, for every pod's copies.

    It takes an object of ``cls``, or of a class derived from it, and a map of just these names.
    """
    unknown = set(names) - cls.model_fields.keys()
    if unknown:
        raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}")
    # What is set of an object's copies, by the id of what is set of the object, which stays alive here.
    sets: dict[int, tuple[set[str], set[str]]] = {}

    def replace(obj: _M, changes: dict[str, Any]) -> _M:
        fields_set = obj.__pydantic_fields_set__
        known = sets.get(id(fields_set))
        if known is None:
            if len(sets) >= _MAX_SETS:
                sets.clear()
            known = sets[id(fields_set)] = (fields_set, _shared(fields_set.union(names)))
        copy: Any = _Draft()
        copy.__dict__ = obj.__dict__ | changes
        copy.__pydantic_fields_set__ = known[1]
        copy.__pydantic_extra__ = obj.__pydantic_extra__
        copy.__pydantic_private__ = None
        copy.__class__ = type(obj)
        return copy  # type: ignore[no-any-return]

    return replace


def jsonable(value: Any) -> Any:
    """The JSON form of a field's value."""
    if isinstance(value, KubeModel):
        return value.to_dict()
    if isinstance(value, Quantity):
        return value.source
    if isinstance(value, tuple | list):
        return None if value is _NULL_TUPLE else [jsonable(item) for item in value]
    if isinstance(value, Mapping):
        return None if value is _NULL_DICT else {key: jsonable(item) for key, item in value.items()}
    return value


_JSON_NAMES: dict[type[KubeModel], tuple[tuple[str, str], ...]] = {}


def json_names(cls: type[KubeModel]) -> tuple[tuple[str, str], ...]:
    """(attribute, JSON name) of every declared field, in order."""
    names = _JSON_NAMES.get(cls)
    if names is None:
        names = tuple((name, field.alias or name) for name, field in cls.model_fields.items())
        _JSON_NAMES[cls] = names
    return names


_K = TypeVar("_K")
_V = TypeVar("_V")


class IdentityCache(Generic[_K, _V]):
    """Results for immutable shared objects, found by identity, bounded.

    Objects here are shared on purpose (one spec per template), so identity is the cheapest key there is. An entry
    keeps its object alive; when ``maxsize`` is reached the older half goes.
    """

    __slots__ = ("__weakref__", "_maxsize", "entries")

    def __init__(self, maxsize: int = 8192) -> None:
        self.entries: dict[int, tuple[_K, _V]] = {}
        """By id, for those who ask so often that a call of :meth:`get` counts."""
        self._maxsize = maxsize
        _caches.add(self)

    def get(self, key: _K) -> _V | None:
        """What was put for this very object, or None."""
        entry = self.entries.get(id(key))
        return None if entry is None else entry[1]

    def put(self, key: _K, value: _V) -> _V:
        """Remember ``value`` for this very object; returns it."""
        entries = self.entries
        if len(entries) >= self._maxsize:
            for old in list(entries)[: self._maxsize // 2 + 1]:
                del entries[old]
        entries[id(key)] = (key, value)
        return value

    def clear(self) -> None:
        """Forget all results, and let go of their objects."""
        self.entries.clear()

    def __len__(self) -> int:
        return len(self.entries)


_caches: WeakSet[IdentityCache[Any, Any]] = WeakSet()


def forget_results() -> None:
    """Empty every :class:`IdentityCache`: for a process that is done with the objects it had so far."""
    for cache in list(_caches):
        cache.clear()
