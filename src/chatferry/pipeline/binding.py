"""Which destination a data directory belongs to.

What the store remembers (people, files to fetch, parts that were imported) is true of one destination only.
So the store is bound to the destination that is opened with it first: commands take it from there, and once
the store has been used no other destination is opened with it.
"""

from pathlib import Path

from chatferry.destinations import ADDRESS, Destination, Lookup, open_destination
from chatferry.destinations.urls import without_secrets
from chatferry.errors import SettingsError
from chatferry.records import ROCKET_CAT
from chatferry.settings import Settings
from chatferry.store import Store
from chatferry.store.binding import Binding

_EVERYWHERE = frozenset({ROCKET_CAT, "GENERAL"})
"""Documents that every workspace has."""
_ELSEWHERE = "choose another directory with --data"


def bound_destination(data: Path, given: str) -> str:
    """Return the URL that a command opens: the given one, or that of the data directory's destination.

    "" is the workspace in the data directory. Raise SettingsError if the URL lacks the password, or if the
    workspace of a used store is missing: opening it would make an empty one.
    """
    path = Settings(data=data).store_path
    if not path.exists():
        return given
    with Store(path) as store:
        known = store.binding.get()
        if known and not given and not known.is_whole:
            raise SettingsError(
                f"{data} belongs to {known.url}, whose password is not kept. Give the whole URL with "
                "--destination or CHATFERRY_DESTINATION."
            )
        settings = Settings(data=data, destination=given or (known.url if known else ""))
        if _is_missing(settings.destination_url) and store.operations.have_begun():
            raise _refusal(settings, known, _here(settings, ""))
    return settings.destination


def open_bound(settings: Settings, store: Store, patience: float | None = None) -> Destination:
    """Open the destination that the settings name, and bind the store to it; `patience` as it has it.

    Raise SettingsError if the store belongs to another one. A store that has imported nothing yet may change
    its destination. One that was used before stores were bound belongs to the destination that has what it
    wrote.
    """
    destination = open_destination(settings.destination_url, patience)
    try:
        if _news(destination, settings, store):
            with store.transaction():  # another process may have bound it meanwhile
                if binding := _news(destination, settings, store):
                    store.binding.put(binding)
    except BaseException:
        destination.close()
        raise
    return destination


def open_to_look(settings: Settings) -> Destination:
    """Open the destination as `open_bound` does, but bind and make no store."""
    if not settings.store_path.exists():
        return open_destination(settings.destination_url)
    with Store(settings.store_path) as store:
        destination = open_destination(settings.destination_url)
        try:
            _news(destination, settings, store)
        except BaseException:
            destination.close()
            raise
    return destination


def _news(destination: Destination, settings: Settings, store: Store) -> Binding | None:
    """Return what the store is to keep of the destination, unless it does or there is nothing to keep."""
    here, known = _here(settings, destination.unique_id()), store.binding.get()
    is_settled = known is not None and known.id == here.id
    if not is_settled and not _may_bind(destination, settings, store, known):
        raise _refusal(settings, known, here)
    return here if here.id and here != known else None


def _may_bind(destination: Destination, settings: Settings, store: Store, known: Binding | None) -> bool:
    """Return whether it is certain that the store belongs to a destination whose id it does not know."""
    if not store.operations.have_begun():
        return True
    wrote = store.staging.document_ids()
    if known is None and not wrote:
        return bool(settings.destination) or not _remembers(store)
    # A server gets its id when Rocket.Chat is started on its database, and may be given another one.
    has_same_place = known is None or known.id.startswith(ADDRESS) or known.url == _here(settings, "").url
    return has_same_place and _has(destination, wrote)


def _remembers(store: Store) -> bool:
    """Return whether the store holds anything that is true of one destination only."""
    return store.part_cache.any() or store.pending_files.count() > 0 or store.parts.any_done()


def _refusal(settings: Settings, known: Binding | None, here: Binding) -> SettingsError:
    data, place = settings.data, _shown(here, settings)
    if known is None:
        return SettingsError(
            f"The imports of {data} went into another destination: {place} has nothing of them. Name theirs "
            f"with --destination or CHATFERRY_DESTINATION, or {_ELSEWHERE}."
        )
    if known.url == here.url:
        return SettingsError(
            f"{place} is missing, or is not what the imports of {data} went into. Restore it from a backup, "
            f"or {_ELSEWHERE}."
        )
    return SettingsError(
        f"{data} belongs to {_shown(known, settings)}, and {place} is another destination. Leave out "
        f"--destination and CHATFERRY_DESTINATION, or {_ELSEWHERE}."
    )


def _here(settings: Settings, id: str) -> Binding:
    url = _kept_url(settings)
    kept = without_secrets(url)
    return Binding(id, kept, kept == url)


def _is_missing(url: str) -> bool:
    scheme, _, path = url.partition(":")
    return scheme == "sqlite" and not Path(path.removeprefix("//")).exists()


def _has(destination: Destination, ids: list[str]) -> bool:
    """Return whether the destination has one of the users and rooms."""
    wanted = [id_ for id_ in ids if id_ not in _EVERYWHERE]
    return any(destination.find(lookup, wanted) for lookup in (Lookup.USER_ID, Lookup.ROOM_ID))


def _kept_url(settings: Settings) -> str:
    """Return the URL in the form that leads to the same place from every working directory."""
    scheme, _, path = settings.destination.partition(":")
    if scheme != "sqlite":
        return settings.destination
    place = Path(path.removeprefix("//")).resolve()
    return "" if place == settings.workspace_path.resolve() else f"sqlite:{place}"


def _shown(binding: Binding, settings: Settings) -> str:
    return binding.url or f"the workspace {settings.workspace_path}"
