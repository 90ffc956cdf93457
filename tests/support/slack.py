"""A person, a channel and a message as Slack exports them."""

HELLO = {"type": "message", "user": "U0ALICE01", "text": "hello", "ts": "1600000200.000100"}
ALICE = {"id": "U0ALICE01", "name": "alice", "profile": {"real_name": "Alice", "email": "alice@example.org"}}
PLANS = {"id": "C0PLANS01", "name": "plans", "created": 1600000000, "creator": "U0ALICE01", "members": []}
DAY = "plans/2020-09-13.json"
