"""Who calls: sessions, access tokens, permissions, and how often somebody may try."""
