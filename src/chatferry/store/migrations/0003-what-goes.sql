-- What stays of staged records when they are removed at the end of their operation.
CREATE TABLE staged_outcomes (
    operation   TEXT NOT NULL,
    type        TEXT NOT NULL,           -- user, channel or contact
    outcome     TEXT NOT NULL,           -- '' where none was decided
    count       INTEGER NOT NULL,
    PRIMARY KEY (operation, type, outcome)
) WITHOUT ROWID;

-- Ids of users and rooms that imports found or made, some for each import: they tell the destination of this store.
CREATE TABLE traces (
    number      INTEGER PRIMARY KEY,
    document_id TEXT NOT NULL UNIQUE
);

-- Imprints held the secret addresses of files. Without an imprint a part is read again.
DELETE FROM imprints;
