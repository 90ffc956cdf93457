"""Authentication: sessions, access tokens, permissions and rate limits."""
