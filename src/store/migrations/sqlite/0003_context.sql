-- Planned quiet, as sources and people told it. Times are milliseconds since the Unix epoch.
CREATE TABLE windows (
    source    TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    subject   TEXT    NOT NULL,              -- JSON
    starts_ms INTEGER NOT NULL,
    ends_ms   INTEGER,                       -- NULL while its end is not known
    reason    TEXT    NOT NULL,
    PRIMARY KEY (source, id)
) STRICT;

-- Problems that other tools found: weak labels for what this service found at the time.
CREATE TABLE problems (
    source       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    subject      TEXT    NOT NULL,           -- JSON
    starts_ms    INTEGER NOT NULL,
    ends_ms      INTEGER,                    -- NULL while it lasts
    name         TEXT    NOT NULL,
    severity     INTEGER NOT NULL,           -- 0 information to 5 disaster
    acknowledged INTEGER NOT NULL,
    PRIMARY KEY (source, id)
) STRICT;

CREATE INDEX problems_started ON problems (starts_ms);
CREATE INDEX problems_ended ON problems (ends_ms);
