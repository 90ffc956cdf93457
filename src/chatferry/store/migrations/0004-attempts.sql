-- Operations that are being worked on. A row that is there when the work begins tells of a process that died.
CREATE TABLE attempts (
    operation   TEXT PRIMARY KEY,
    place       TEXT NOT NULL,           -- how far it was when the work began
    deaths      INTEGER NOT NULL         -- processes that died there, one after another
) WITHOUT ROWID;
