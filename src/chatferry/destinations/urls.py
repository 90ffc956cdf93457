"""URLs of destinations, as they may be kept and shown. Pure."""

import re

_SECRET_OPTION = re.compile("[a-z_]*(password|passphrase|authmechanismproperties)=", re.IGNORECASE)


def without_secrets(url: str) -> str:
    """Return the URL without the name and password in it, and without options that hold secrets.

    A name without a password stays: it is needed to log in by certificate, and is no secret.
    """
    scheme, slashes, rest = url.partition("://")
    place, question_mark, query = rest.partition("?")
    login, _, address = place.rpartition("@")
    if ":" in login:
        place = address
    options = [option for option in query.split("&") if not _SECRET_OPTION.match(option)]
    return scheme + slashes + place + (question_mark if any(options) else "") + "&".join(options)
