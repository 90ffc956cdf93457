"""Names of rooms: what a destination allows in them, by Rocket.Chat's own settings."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from slugify import slugify

PATTERN = "UTF8_Channel_Names_Validation"
"""Rocket.Chat's setting: the regular expression that names of rooms match."""
ANY = "UI_Allow_room_names_with_special_chars"
"""Rocket.Chat's setting: rooms are shown under any name, beside which they have a plain one."""
SETTINGS = (PATTERN, ANY)

_PLAIN = r"[0-9a-zA-Z\-_.]+"
_SEPARATORS = re.compile(r"[\s!-,/:-@\[-^`{-~]+")  # white space and ASCII's punctuation, without - _ .


class RoomNames(Struct, frozen=True):
    """Which names rooms may have. `shows_any`: rooms are shown under any name, whatever their own."""

    pattern: re.Pattern[str] = re.compile(_PLAIN)
    shows_any: bool = False

    def fitted(self, name: str) -> str:
        """Return a name as a room may have it, as much of it as may be; "" if nothing of it may."""
        if self.pattern.fullmatch(name):
            return name
        if not name.isascii():
            hyphenated = _SEPARATORS.sub("-", name).strip("-")
            if self.pattern.fullmatch(hyphenated):
                return hyphenated
        return str(slugify(name, separator="-", lowercase=False, regex_pattern=r"[^0-9a-zA-Z\-_.]+"))


def room_names(settings: Mapping[str, Any]) -> RoomNames:
    """Return which names rooms may have; by Rocket.Chat's defaults if Python cannot read the expression."""
    try:
        with warnings.catch_warnings(action="ignore"):
            pattern = re.compile(str(settings.get(PATTERN) or _PLAIN))
    except (re.error, RecursionError, OverflowError):
        pattern = re.compile(_PLAIN)
    return RoomNames(pattern, settings.get(ANY) is True)
