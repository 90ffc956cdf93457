"""The ids of subscriptions."""

from functools import lru_cache

from chatferry.ids import derived_hex, derived_id


def subscription_id(room_id: str, user_id: str) -> str:
    """Return the id of a subscription. Ids of one room begin alike: databases keep them side by side."""
    return _begin_hex(room_id) + derived_hex("subscription", room_id, user_id)[8:]


def direct_subscription_id(room_id: str, user_id: str) -> str:
    """Return the id of a subscription of a direct room."""
    return _begin(room_id) + derived_id("subscription", room_id, user_id)[5:]


@lru_cache(maxsize=1000)
def _begin_hex(room_id: str) -> str:
    return derived_hex("subscriptions", room_id)[:8]


@lru_cache(maxsize=1000)
def _begin(room_id: str) -> str:
    return derived_id("subscriptions", room_id)[:5]
