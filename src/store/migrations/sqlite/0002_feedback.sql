-- Why sinks were never told of an episode: budget, false_discovery, feedback; NULL where they were.
ALTER TABLE episodes ADD COLUMN suppressed TEXT;

CREATE INDEX episodes_series ON episodes (series, starts_ms);

-- What people said of anomalies.
CREATE TABLE feedback (
    id         INTEGER PRIMARY KEY,
    said_ms    INTEGER NOT NULL,
    series     INTEGER,                      -- id of the series, signed; NULL for a host
    about_ms   INTEGER NOT NULL,             -- the moment that is meant
    alert      TEXT,                         -- id of the episode; NULL where there was none
    rule       TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    pattern    INTEGER NOT NULL,
    peak_score REAL    NOT NULL,
    verdict    TEXT    NOT NULL,             -- false_alarm, confirmed, expected
    comment    TEXT    NOT NULL
) STRICT;

CREATE INDEX feedback_said ON feedback (said_ms);
CREATE INDEX feedback_alert ON feedback (alert);

-- Windows that models must not learn from.
CREATE TABLE strikes (
    id        INTEGER PRIMARY KEY,
    made_ms   INTEGER NOT NULL,
    selectors TEXT    NOT NULL,              -- JSON list
    start_ms  INTEGER NOT NULL,
    end_ms    INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    state     TEXT    NOT NULL,              -- pending, applied, failed, removing
    series    INTEGER NOT NULL,              -- series that learned anew
    problem   TEXT    NOT NULL
) STRICT;

-- State that is kept whole, by name.
CREATE TABLE kept (
    name  TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    state BLOB    NOT NULL
) STRICT;
