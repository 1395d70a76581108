//! A dead letter as a row of PostgreSQL's, written and read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Body, DeathReason, Delivery, DeliveryId, Event, LastFailure, Person, UserId, WebhookId};
use crate::postgres::{PostgresError, Row, Session};
use crate::record::dead_letters::{BodySize, DeadLetter, Summary};
use crate::record::postgres::{
    EVENT_COLUMNS, integer, read_column, read_count, read_event, read_failure, read_moment, read_name, read_text,
    within, without_nul,
};

/// The columns of a [`Summary`].
pub(super) const SUMMARY_COLUMNS: &str = "event_id, type, user_id, source, server, created_at, accepted_at, \
    body_bytes, delivery_id, generation, webhook, reason, died_at, attempts, since, \
    last_outcome, last_status, last_error";

/// The columns of a [`DeadLetter`].
pub(super) const LETTER_COLUMNS: &str = "event_id, type, user_id, source, server, created_at, accepted_at, \
    body, delivery_id, generation, webhook, reason, died_at, attempts, since, \
    last_outcome, last_status, last_error";

/// Where in such a row what follows the event begins.
const REST: usize = EVENT_COLUMNS;

const ADD: &str = "
    INSERT INTO dead_letters AS kept (delivery_id, generation, webhook, reason, died_at, event_id, type, user_id, source, server,
        created_at, accepted_at, attempts, last_outcome, last_status, last_error, since, body)
    SELECT delivery_id, generation, webhook, reason, died_at, event_id, type, user_id, source, server, created_at, accepted_at,
        attempts, last_outcome, last_status, last_error, since, body
    FROM unnest($1::TEXT[], $2::INTEGER[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::TEXT[], $7::TEXT[], $8::TEXT[],
        $9::TEXT[], $10::TEXT[], $11::BIGINT[], $12::BIGINT[], $13::INTEGER[], $14::TEXT[], $15::INTEGER[], $16::TEXT[],
        $17::BIGINT[], $18::BYTEA[], $19::BYTEA[]) AS given (delivery_id, generation, webhook, reason, died_at, event_id, type,
        user_id, source, server, created_at, accepted_at, attempts, last_outcome, last_status, last_error, since, body, person)
    WHERE NOT EXISTS (
        SELECT 1 FROM replays WHERE replays.delivery_id = given.delivery_id AND replays.generation > given.generation
    ) AND NOT EXISTS (
        SELECT 1 FROM forgotten WHERE forgotten.person = given.person AND forgotten_at >= given.accepted_at
    )
    ON CONFLICT (delivery_id) DO UPDATE SET
        number = excluded.number, generation = excluded.generation, webhook = excluded.webhook, reason = excluded.reason,
        died_at = excluded.died_at, event_id = excluded.event_id, type = excluded.type, user_id = excluded.user_id,
        source = excluded.source, server = excluded.server, created_at = excluded.created_at,
        accepted_at = excluded.accepted_at, attempts = excluded.attempts, last_outcome = excluded.last_outcome,
        last_status = excluded.last_status, last_error = excluded.last_error, since = excluded.since, body = excluded.body
    WHERE excluded.generation > kept.generation
";

const REMOVE: &str = "
    WITH named AS (
        SELECT * FROM unnest($1::TEXT[], $2::INTEGER[]) AS named (delivery_id, generation)
    ), held AS MATERIALIZED (
        SELECT delivery_id, generation FROM dead_letters WHERE delivery_id IN (SELECT delivery_id FROM named)
        ORDER BY delivery_id FOR UPDATE
    )
    DELETE FROM dead_letters USING held, named
    WHERE dead_letters.delivery_id = held.delivery_id AND dead_letters.generation = held.generation
        AND named.delivery_id = held.delivery_id AND named.generation = held.generation
";

/// Adds the letters, all or none, but for those of which the same generation or a later one is there or was put to work, and those
/// of somebody who was forgotten. Tells how many it adds.
pub(super) async fn add(session: &mut Session, letters: Vec<DeadLetter>) -> Result<u64, PostgresError> {
    // In the order of their ids, each once: what is there already is changed once by a statement.
    let mut latest: BTreeMap<DeliveryId, DeadLetter> = BTreeMap::new();
    for letter in letters {
        match latest.get(&letter.id) {
            Some(known) if known.delivery.generation >= letter.delivery.generation => {}
            _ => drop(latest.insert(letter.id.clone(), letter)),
        }
    }
    let letters = || latest.values();
    let texts = |of: fn(&DeadLetter) -> &str| letters().map(of).collect::<Vec<&str>>();
    let optional = |of: fn(&DeadLetter) -> Option<&str>| letters().map(of).collect::<Vec<Option<&str>>>();
    let numbers = |of: fn(&DeadLetter) -> i64| letters().map(of).collect::<Vec<i64>>();
    let counts = |of: fn(&DeadLetter) -> u32| letters().map(of).map(integer).collect::<Vec<i32>>();
    let last = |letter: &'_ DeadLetter| -> Option<LastFailure> { letter.delivery.last.clone() };
    let outcomes = optional(|letter| letter.delivery.last.as_ref().map(|last| last.outcome.as_str()));
    let statuses: Vec<Option<i32>> = letters().map(|letter| last(letter)?.status.map(i32::from)).collect();
    let errors: Vec<_> = letters().map(|letter| Some(without_nul(&last(letter)?.error).into_owned())).collect();
    let bodies: Vec<&[u8]> = letters().map(|letter| &letter.event.body.bytes()[..]).collect();
    let person = |event: &Event| Some(Person::of(&event.source, event.user.as_ref()?).bytes().to_vec());
    let persons: Vec<Option<Vec<u8>>> = letters().map(|letter| person(&letter.event)).collect();
    session
        .execute(
            ADD,
            &[
                &texts(|letter| letter.id.as_str()),
                &counts(|letter| letter.delivery.generation),
                &texts(|letter| letter.delivery.webhook.as_str()),
                &texts(|letter| letter.reason.as_str()),
                &numbers(|letter| letter.died_at.as_millis()),
                &texts(|letter| letter.event.id.as_str()),
                &texts(|letter| letter.event.kind.as_str()),
                &optional(|letter| letter.event.user.as_ref().map(UserId::as_str)),
                &texts(|letter| letter.event.source.as_str()),
                &optional(|letter| letter.event.server.as_deref()),
                &numbers(|letter| letter.event.created_at.as_millis()),
                &numbers(|letter| letter.event.accepted_at.as_millis()),
                &counts(|letter| letter.delivery.attempts),
                &outcomes,
                &statuses,
                &errors,
                &numbers(|letter| letter.delivery.since.as_millis()),
                &bodies,
                &persons,
            ],
        )
        .await
}

/// Removes the letters of those deliveries and generations, and tells how many there were.
pub(super) async fn remove(session: &mut Session, letters: &[(DeliveryId, u32)]) -> Result<u64, PostgresError> {
    let ids: Vec<&str> = letters.iter().map(|(id, _)| id.as_str()).collect();
    let generations: Vec<i32> = letters.iter().map(|(_, generation)| integer(*generation)).collect();
    session.execute(REMOVE, &[&ids, &generations]).await
}

/// Reads a row of [`SUMMARY_COLUMNS`].
pub(super) fn read_summary(row: &Row) -> Result<Summary, String> {
    read(row, |row, column| within(row, column, read_column::<i32>(row, column)?).map(BodySize))
}

/// Reads a row of [`LETTER_COLUMNS`].
pub(super) fn read_letter(row: &Row) -> Result<DeadLetter, String> {
    read(row, |row, column| Ok(Body::from_checked(Bytes::from(read_column::<Vec<u8>>(row, column)?))))
}

fn read<B>(row: &Row, body: impl FnOnce(&Row, usize) -> Result<B, String>) -> Result<DeadLetter<B>, String> {
    let event = read_event(row, 0, body)?;
    let webhook = read_text(row, REST + 2, WebhookId::new)?;
    let id = DeliveryId::of(&event.id, &webhook);
    if id.as_str() != read_column::<&str>(row, REST)? {
        return Err(format!("delivery_id: of its event_id and webhook it would be {id}"));
    }
    Ok(DeadLetter {
        id,
        event: Arc::new(event),
        delivery: Delivery {
            webhook,
            generation: read_count(row, REST + 1)?,
            attempts: read_count(row, REST + 5)?,
            parks: 0,
            since: read_moment(row, REST + 6)?,
            last: read_failure(row, REST + 7)?,
        },
        reason: read_name(row, REST + 3, DeathReason::from_name)?,
        died_at: read_moment(row, REST + 4)?,
    })
}
