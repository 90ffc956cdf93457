-- Version 1: operations, staged records, parts, problems and files still to be fetched. Stores were made
-- with these tables before they had a version, some of them with fewer: hence IF NOT EXISTS, here only.
-- `data` columns hold msgpack of the records in records.py and convert/messages.py.

CREATE TABLE IF NOT EXISTS operations (
    number      INTEGER PRIMARY KEY,     -- order of creation
    id          TEXT NOT NULL UNIQUE,
    ts          INTEGER NOT NULL,        -- ms
    updated_at  INTEGER NOT NULL,        -- ms
    valid       INTEGER NOT NULL,
    data        BLOB NOT NULL            -- the whole Operation
);
CREATE INDEX IF NOT EXISTS operations_by_ts ON operations (ts);
CREATE INDEX IF NOT EXISTS operations_by_update ON operations (updated_at, number);
CREATE INDEX IF NOT EXISTS operations_valid ON operations (number) WHERE valid = 1;

-- Users, channels and contacts, in the order in which the archive gave them.
CREATE TABLE IF NOT EXISTS staged (
    operation   TEXT NOT NULL,
    type        TEXT NOT NULL,           -- user, channel or contact
    number      INTEGER NOT NULL,
    import_id   TEXT NOT NULL,
    data        BLOB NOT NULL,
    outcome     TEXT,                    -- NULL until it has been decided
    document_id TEXT,                    -- what stands for it in the destination
    name        TEXT,                    -- username or room name there
    PRIMARY KEY (operation, type, number)
) WITHOUT ROWID;

-- Operations on which the work waits until somebody resumes it.
CREATE TABLE IF NOT EXISTS pauses (
    operation   TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS parts (
    operation   TEXT NOT NULL,
    number      INTEGER NOT NULL,
    channel     TEXT NOT NULL,
    messages    INTEGER NOT NULL,
    data        BLOB NOT NULL,
    done        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (operation, number)
) WITHOUT ROWID;

-- What became of the messages and files of each part.
CREATE TABLE IF NOT EXISTS part_outcomes (
    operation   TEXT NOT NULL,
    part        INTEGER NOT NULL,
    type        TEXT NOT NULL,           -- message or file
    outcome     TEXT NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (operation, part, type, outcome)
) WITHOUT ROWID;

-- What imports of parts left, so that the same part need not be read again: see unchanged.py.
CREATE TABLE IF NOT EXISTS imprints (
    mark        BLOB NOT NULL PRIMARY KEY,
    operation   TEXT NOT NULL,           -- the last one that had such a part
    channel     TEXT NOT NULL,
    data        BLOB NOT NULL            -- an Imprint, deflated
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS problems (
    operation   TEXT NOT NULL,
    phase       INTEGER NOT NULL,        -- see problems.py; repeated work replaces its own
    number      INTEGER NOT NULL,
    data        BLOB NOT NULL,
    PRIMARY KEY (operation, phase, number)
) WITHOUT ROWID;

-- Files of messages. `data` may hold secret addresses: it is never shown.
CREATE TABLE IF NOT EXISTS message_files (
    upload_id   TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    source      TEXT NOT NULL,           -- the operation that brought the file last
    data        BLOB NOT NULL,           -- a PendingFile
    PRIMARY KEY (upload_id, message_id)
) WITHOUT ROWID;

-- Resumable uploads. One that is complete has an operation with the same id.
CREATE TABLE IF NOT EXISTS uploads (
    id          TEXT PRIMARY KEY,
    data        BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS message_files_by_message ON message_files (message_id);

-- Addresses of avatars that hold a secret: the user's document has them without it.
CREATE TABLE IF NOT EXISTS avatar_addresses (
    user_id     TEXT PRIMARY KEY,
    url         TEXT NOT NULL
) WITHOUT ROWID;

-- What became of each file of a message, and of each avatar (of the user `id`, with no message), when an
-- operation fetched bytes. Files of which none has brought the bytes are pending.
CREATE TABLE IF NOT EXISTS fetches (
    id          TEXT NOT NULL,           -- an upload_id, or a user's _id
    message_id  TEXT NOT NULL,
    operation   TEXT NOT NULL,           -- which fetched, or tried to
    outcome     TEXT NOT NULL,
    PRIMARY KEY (id, message_id, operation)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fetches_by_operation ON fetches (operation, outcome);
