-- One row for each time an alert fired. Times are milliseconds since the Unix epoch.
CREATE TABLE episodes (
    id            INTEGER PRIMARY KEY,
    fingerprint   INTEGER NOT NULL,          -- xxh3-64 of the alert's labels, as a signed integer
    starts_ms     INTEGER NOT NULL,
    ends_ms       INTEGER,                   -- NULL while it fires
    rule          TEXT    NOT NULL,
    host          TEXT    NOT NULL,
    series        INTEGER,                   -- id of the series, signed; NULL for an alert of a host
    labels        TEXT    NOT NULL,          -- JSON object
    annotations   TEXT    NOT NULL,          -- JSON object, in order
    generator_url TEXT    NOT NULL,
    peak_score    REAL    NOT NULL,
    pattern       INTEGER NOT NULL,
    UNIQUE (fingerprint, starts_ms)
) STRICT;

CREATE INDEX episodes_open ON episodes (starts_ms) WHERE ends_ms IS NULL;
CREATE INDEX episodes_ended ON episodes (ends_ms);
CREATE INDEX episodes_started ON episodes (starts_ms);

-- Every change of an episode.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    episode INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    at_ms   INTEGER NOT NULL,
    state   TEXT    NOT NULL                 -- firing, resolved
) STRICT;

CREATE INDEX events_episode ON events (episode);
