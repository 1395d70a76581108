//! The history's tables in PostgreSQL. They are as those of a file (`super::super::sqlite::schema`), for the same reason: what is noted
//! for a delivery costs a row, and hardly anything beside it. Several write at the same time, so
//!
//! - a row is named by the moment at which its event was taken in and the end of its id ([`super::place`]), and nobody has to
//!   look for a place that is free;
//! - a mark that is found missing is added by whoever adds a row, and is removed only while nobody adds any ([`super::marks`]).

use super::{bodies, retention};

/// The name of the part.
pub(super) const PART: &str = "history";

pub(in crate::record::history) const STEPS: &[&str] = &[FIRST_STEP, bodies::STEP, SPARSE_STEP, retention::STEP];

const FIRST_STEP: &str = r#"
    CREATE TABLE deliveries (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        delivery_id TEXT COLLATE "C" NOT NULL UNIQUE,
        event_id TEXT COLLATE "C" NOT NULL,
        type TEXT COLLATE "C" NOT NULL,
        user_id TEXT COLLATE "C",
        source TEXT COLLATE "C" NOT NULL,
        webhook TEXT COLLATE "C" NOT NULL,
        accepted_at BIGINT NOT NULL,
        generation INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        parks INTEGER NOT NULL,
        state TEXT COLLATE "C" NOT NULL,
        reason TEXT COLLATE "C",
        changed_at BIGINT NOT NULL,
        due_at BIGINT
    );
    CREATE INDEX deliveries_by_time ON deliveries (accepted_at, number);
    CREATE INDEX deliveries_by_event ON deliveries (event_id);
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook, accepted_at, number);
    CREATE INDEX deliveries_by_type ON deliveries (type, accepted_at, number);
    CREATE INDEX deliveries_by_state ON deliveries (state, accepted_at, number) WHERE state <> 'delivered';
    CREATE INDEX deliveries_by_change ON deliveries (changed_at);
    CREATE TABLE attempts (
        delivery BIGINT NOT NULL, -- the number of its row in deliveries
        generation INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        started_at BIGINT NOT NULL,
        took_us BIGINT NOT NULL,
        outcome TEXT COLLATE "C" NOT NULL,
        status INTEGER,
        error TEXT NOT NULL,
        response TEXT NOT NULL,
        worker TEXT NOT NULL,
        PRIMARY KEY (delivery, generation, attempt)
    );
    CREATE TABLE history_rows (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        deliveries BIGINT NOT NULL,
        attempts BIGINT NOT NULL
    );
    INSERT INTO history_rows VALUES (1, 0, 0);
"#;

/// Rows by their place, with their latest attempt; marks and packs in place of indexes that have an entry for each row. Rows that are
/// there wait to be packed by whoever writes.
const SPARSE_STEP: &str = r#"
    CREATE TABLE placed (
        accepted_at BIGINT NOT NULL,
        tie BIGINT NOT NULL, -- the last 60 bits of delivery_id
        changed_at BIGINT NOT NULL,
        due_at BIGINT,
        started_at BIGINT,
        took_us BIGINT,
        generation INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        parks INTEGER NOT NULL,
        last_generation INTEGER, -- of the latest attempt; null: none was made
        last_attempt INTEGER,
        status INTEGER,
        delivery_id TEXT COLLATE "C" NOT NULL,
        event_id TEXT COLLATE "C" NOT NULL,
        type TEXT COLLATE "C" NOT NULL,
        user_id TEXT COLLATE "C",
        source TEXT COLLATE "C" NOT NULL,
        webhook TEXT COLLATE "C" NOT NULL,
        state TEXT COLLATE "C" NOT NULL,
        reason TEXT COLLATE "C",
        outcome TEXT COLLATE "C",
        error TEXT,
        response TEXT,
        worker TEXT,
        PRIMARY KEY (accepted_at, tie)
    );
    CREATE TEMPORARY TABLE ties ON COMMIT DROP AS
        SELECT number, (SELECT sum((strpos('abcdefghijklmnopqrstuvwxyz234567', substr(delivery_id, 24 + i, 1)) - 1)::BIGINT << (60 - 5 * i))
            FROM generate_series(1, 12) i)::BIGINT AS tie FROM deliveries;
    CREATE UNIQUE INDEX ON ties (number);
    ANALYZE ties;
    CREATE TEMPORARY TABLE latest ON COMMIT DROP AS
        SELECT DISTINCT ON (delivery) * FROM attempts ORDER BY delivery, generation DESC, attempt DESC;
    CREATE UNIQUE INDEX ON latest (delivery);
    ANALYZE latest;
    INSERT INTO placed
        SELECT accepted_at, tie, changed_at, due_at, started_at, took_us, d.generation, attempts, parks, l.generation, attempt, status,
            delivery_id, event_id, type, user_id, source, webhook, state, reason, outcome, error, response, worker
        FROM deliveries d JOIN ties USING (number) LEFT JOIN latest l ON l.delivery = number
        ORDER BY accepted_at, tie;
    CREATE TABLE earlier_attempts (
        accepted_at BIGINT NOT NULL,
        tie BIGINT NOT NULL, -- these two are those of the row in deliveries
        generation INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        started_at BIGINT NOT NULL,
        took_us BIGINT NOT NULL,
        outcome TEXT COLLATE "C" NOT NULL,
        status INTEGER,
        error TEXT NOT NULL,
        response TEXT NOT NULL,
        worker TEXT NOT NULL,
        PRIMARY KEY (accepted_at, tie, generation, attempt)
    );
    INSERT INTO earlier_attempts
        SELECT accepted_at, tie, a.generation, a.attempt, a.started_at, a.took_us, a.outcome, a.status, a.error, a.response, a.worker
        FROM attempts a JOIN deliveries d ON d.number = a.delivery JOIN ties USING (number)
        JOIN latest l ON l.delivery = a.delivery AND (l.generation, l.attempt) <> (a.generation, a.attempt);
    DROP TABLE attempts, deliveries;
    ALTER TABLE placed RENAME TO deliveries;
    ALTER INDEX placed_pkey RENAME TO deliveries_pkey;
    CREATE INDEX deliveries_by_state ON deliveries (state, accepted_at, tie) WHERE state <> 'delivered';
    CREATE INDEX deliveries_changed_late ON deliveries (changed_at) WHERE changed_at > accepted_at + 60000;
    CREATE TABLE webhook_marks (
        marked TEXT COLLATE "C" NOT NULL, -- a webhook
        slot BIGINT NOT NULL, -- accepted_at of a delivery to it, without its last 2 bits
        PRIMARY KEY (marked, slot)
    );
    INSERT INTO webhook_marks SELECT DISTINCT webhook, accepted_at >> 2 FROM deliveries;
    CREATE TABLE type_marks (marked TEXT COLLATE "C" NOT NULL, slot BIGINT NOT NULL, PRIMARY KEY (marked, slot));
    INSERT INTO type_marks SELECT DISTINCT type, accepted_at >> 2 FROM deliveries;
    CREATE TABLE id_packs (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        entries BYTEA NOT NULL -- of deliveries, in order: 4 bytes FNV-1a of the id, 8 bytes accepted_at
    );
    CREATE TABLE event_packs (number BIGINT PRIMARY KEY, entries BYTEA NOT NULL); -- the same of events' ids
    -- Hashes are not compressed in vain.
    ALTER TABLE id_packs ALTER COLUMN entries SET STORAGE EXTERNAL;
    ALTER TABLE event_packs ALTER COLUMN entries SET STORAGE EXTERNAL;
    CREATE TABLE unpacked (accepted_at BIGINT NOT NULL, tie BIGINT NOT NULL, PRIMARY KEY (accepted_at, tie)); -- in no pack yet
    INSERT INTO unpacked SELECT accepted_at, tie FROM deliveries;
    CREATE VIEW attempts AS
        SELECT accepted_at, tie, last_generation AS generation, last_attempt AS attempt, started_at, took_us, outcome, status, error, response,
            worker FROM deliveries WHERE last_attempt IS NOT NULL
        UNION ALL SELECT accepted_at, tie, generation, attempt, started_at, took_us, outcome, status, error, response, worker
        FROM earlier_attempts;
    UPDATE history_rows SET deliveries = (SELECT count(*) FROM deliveries), attempts = (SELECT count(*) FROM attempts);
"#;
