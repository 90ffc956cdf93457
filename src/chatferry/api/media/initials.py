"""The avatar of a user without one: the first letter of the username on a colour, as in Rocket.Chat."""

from xml.sax.saxutils import escape

_COLOURS = (
    *("#F44336", "#E91E63", "#9C27B0", "#673AB7", "#3F51B5", "#2196F3", "#03A9F4", "#00BCD4", "#009688"),
    *("#4CAF50", "#8BC34A", "#CDDC39", "#FFC107", "#FF9800", "#FF5722", "#795548", "#9E9E9E", "#607D8B"),
)


def initials_svg(username: str) -> bytes:
    """Return an SVG image for a username."""
    letter = next((sign for sign in username if sign.isalnum()), "?").upper()
    colour = _COLOURS[len(username) % len(_COLOURS)]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">'
        f'<rect width="100%" height="100%" fill="{colour}"/>'
        '<text x="50%" y="50%" dy="0.36em" text-anchor="middle" pointer-events="none" fill="#ffffff" '
        "font-family=\"'Helvetica', 'Arial', 'Lucida Grande', 'sans-serif'\" font-size=\"125\">"
        f"{escape(letter)}</text></svg>"
    ).encode()
