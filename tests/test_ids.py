"""Ids and tokens in Rocket.Chat's forms."""

import re

from chatferry.api.description import examples
from chatferry.ids import ALPHABET, derived_hex, derived_id, hash_token, new_id, new_token

ID = re.compile(f"[{ALPHABET}]{{17}}")
HEX = re.compile("[0-9a-f]{24}")
TOKEN = re.compile("[A-Za-z0-9_-]{43}")


def test_forms() -> None:
    assert len(ALPHABET) == 55
    for _ in range(200):
        assert ID.fullmatch(new_id())
        assert TOKEN.fullmatch(new_token())
    assert ID.fullmatch(derived_id("user", "slack", "U1"))
    assert HEX.fullmatch(derived_hex("room", "slack", "C1"))
    assert ID.fullmatch(examples.USER)
    assert TOKEN.fullmatch(examples.TOKEN)


def test_derived_ids_depend_on_their_source_alone() -> None:
    assert derived_id("user", "slack", "U1") == derived_id("user", "slack", "U1")
    assert derived_id("user", "slack", "U1") != derived_id("user", "slack", "U2")
    assert derived_id("a", "bc") != derived_id("ab", "c")
    assert len({derived_hex(str(number)) for number in range(10_000)}) == 10_000


def test_tokens_are_kept_as_meteor_keeps_them() -> None:
    # base64 of SHA-256, with padding: openssl dgst -sha256 -binary | base64
    assert hash_token("abc") == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
