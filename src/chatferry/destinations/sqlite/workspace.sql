-- The embedded workspace: one table per Rocket.Chat collection, and in `doc` the document as relaxed
-- Extended JSON. The other columns repeat what documents are looked up and read in order by.

CREATE TABLE IF NOT EXISTS users (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS rocketchat_livechat_contact (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS rocketchat_room (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS rocketchat_subscription (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL,
    rid TEXT,
    uid TEXT -- of the user; texts as they are, other values as the bytes of their JSON
);

-- A room's subscriptions; a user has one of each room.
CREATE UNIQUE INDEX IF NOT EXISTS rocketchat_subscription_of ON rocketchat_subscription (rid, uid);

CREATE TABLE IF NOT EXISTS rocketchat_uploads (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS rocketchat_avatars (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS rocketchat_permissions (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

-- The workspaces that archives came from, and which documents their import ids stand for: see origins.py.
CREATE TABLE IF NOT EXISTS chatferry_origins (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS chatferry_links (
    _id TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS rocketchat_message (
    _id TEXT NOT NULL PRIMARY KEY,
    rid TEXT,
    ts TEXT, -- ISO 8601 in UTC without the "Z": sorts as time does
    tmid TEXT,
    digest BLOB NOT NULL, -- of the source; empty for a message that no import wrote
    doc TEXT NOT NULL
);

-- A room's messages in order, and how many they are.
CREATE INDEX IF NOT EXISTS rocketchat_message_in_room ON rocketchat_message (rid, ts);

-- A thread's replies.
CREATE INDEX IF NOT EXISTS rocketchat_message_in_thread ON rocketchat_message (tmid) WHERE tmid IS NOT NULL;

-- What users, contacts and rooms are found by besides their _id: see `keys` in rules.py.
CREATE TABLE IF NOT EXISTS chatferry_keys (
    collection TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    _id TEXT NOT NULL,
    PRIMARY KEY (collection, field, value, _id)
) WITHOUT ROWID;

-- The bytes of files, in chunks as GridFS cuts them.
CREATE TABLE IF NOT EXISTS "rocketchat_uploads.chunks" (
    files_id TEXT NOT NULL,
    n INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (files_id, n)
);

CREATE TABLE IF NOT EXISTS "rocketchat_avatars.chunks" (
    files_id TEXT NOT NULL,
    n INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (files_id, n)
);

-- What is to be known of the workspace itself. Its id tells it from every other one.
CREATE TABLE IF NOT EXISTS chatferry_about (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT OR IGNORE INTO chatferry_about (name, value) VALUES ('id', lower(hex(randomblob(16))));
