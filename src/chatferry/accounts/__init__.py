"""Accounts of a workspace: passwords, login tokens, roles, and what a new workspace starts with."""

from chatferry.accounts.passwords import hash_password, is_password, needs_second_factor, set_password
from chatferry.accounts.people import user_named, user_of_login
from chatferry.accounts.roles import (
    existing_roles,
    first_administrator,
    roles_of,
    starter_named,
)
from chatferry.accounts.tokens import (
    TokenRules,
    issue_personal_token,
    issue_token,
    personal_tokens,
    revoke_personal_token,
    revoke_token,
    user_of_token,
    user_with_token,
)
from chatferry.accounts.workspace import (
    add_admin,
    admin_settings,
    administrator,
    ensure_admin,
    found_workspace,
    open_workspace,
    unused_admin_settings,
)

__all__ = [
    "TokenRules",
    "add_admin",
    "admin_settings",
    "administrator",
    "ensure_admin",
    "existing_roles",
    "first_administrator",
    "found_workspace",
    "hash_password",
    "is_password",
    "issue_personal_token",
    "issue_token",
    "needs_second_factor",
    "open_workspace",
    "personal_tokens",
    "revoke_personal_token",
    "revoke_token",
    "roles_of",
    "set_password",
    "starter_named",
    "unused_admin_settings",
    "user_named",
    "user_of_login",
    "user_of_token",
    "user_with_token",
]
