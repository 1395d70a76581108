//! PostgreSQL as the store: whether it is there, of a version that is supported, with our schema or room for it, and lets us in.

use crate::cli::Finding;
use crate::clock::SharedClock;
use crate::postgres::{CONNECTIONS_MAX, Postgres, PostgresLook, PostgresUrl};
use crate::record::{HISTORY_SCHEMA_PART, SCHEMA_PARTS};
use crate::registry;
use crate::telemetry::Telemetry;

use super::clock;

const ABOUT: &str = "store";
/// The oldest PostgreSQL that hikyaku is made for.
const OLDEST: i32 = 130_000;

/// What is found at `url`.
pub(super) async fn look(url: &PostgresUrl, time: &SharedClock) -> Vec<Finding> {
    let telemetry = match Telemetry::shared() {
        Ok(telemetry) => telemetry,
        Err(error) => return vec![Finding::of_error(ABOUT, &error)],
    };
    let before = time.now();
    match Postgres::new(url.clone(), telemetry).look().await {
        Ok(seen) => {
            let mut findings = findings(url, &seen);
            findings.push(clock::compare("PostgreSQL's", seen.now, seen.now, before, time.now()));
            findings
        }
        Err(error) => vec![Finding::of_error(ABOUT, &error)],
    }
}

fn findings(url: &PostgresUrl, seen: &PostgresLook) -> Vec<Finding> {
    let what = format!("PostgreSQL {} at {url}", seen.version);
    let mut findings = vec![if seen.version_number < OLDEST {
        Finding::error(ABOUT, what, format!("hikyaku needs PostgreSQL {} or later: upgrade it", OLDEST / 10_000))
    } else {
        Finding::ok(ABOUT, what)
    }];
    if seen.is_read_only {
        findings.push(Finding::error(
            ABOUT,
            "it takes no changes: it is a standby, or set to read only",
            "let store.url lead to the primary; with several hosts in it, the one that takes changes is found",
        ));
    }
    findings.push(of_rights(url, seen));
    if seen.has_schema && !seen.forbidden_tables.is_empty() {
        findings.push(Finding::error(
            ABOUT,
            format!("the user {} may not read and change the tables {}", seen.user, seen.forbidden_tables.join(", ")),
            format!(
                "`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {}`, or let the user own them",
                url.schema(),
                seen.user
            ),
        ));
    }
    findings.extend(of_schema(url, seen));
    findings.extend(of_connections(seen));
    findings
}

fn of_rights(url: &PostgresUrl, seen: &PostgresLook) -> Finding {
    let (schema, user) = (url.schema(), &seen.user);
    match (seen.has_schema, seen.may_create) {
        (true, true) => Finding::ok(ABOUT, format!("the schema {schema} is there, and {user} may make tables in it")),
        (false, true) => Finding::ok(ABOUT, format!("the schema {schema} is not there, and {user} may make it"))
            .hint("`hikyaku serve` makes it"),
        (true, false) => Finding::error(
            ABOUT,
            format!("the schema {schema} is there, and {user} may not make tables in it"),
            format!("`ALTER SCHEMA {schema} OWNER TO {user}`, or `GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}`"),
        ),
        (false, false) => Finding::error(
            ABOUT,
            format!("there is no schema {schema}, and {user} may not make it"),
            format!("`CREATE SCHEMA {schema} AUTHORIZATION {user}`, as an administrator of the database"),
        ),
    }
}

fn of_schema(url: &PostgresUrl, seen: &PostgresLook) -> Option<Finding> {
    let known = |part: &str| {
        let mut known = SCHEMA_PARTS.into_iter().chain([registry::SCHEMA_PART, HISTORY_SCHEMA_PART]);
        known.find(|known| known.name == part).map(|known| known.postgres_steps)
    };
    let newer = super::files::newer(&format!("PostgreSQL at {url}"), &seen.parts, known);
    if newer.is_some() {
        return newer;
    }
    let older = seen.parts.iter().any(|(part, steps)| known(part).is_some_and(|known| *steps < known));
    older.then(|| {
        Finding::ok(ABOUT, "its tables are of an older hikyaku")
            .hint("the next start of `serve` brings them up to date (of one that runs, the log says why it did not), after which an older one refuses them: docs/upgrading.md")
    })
}

fn of_connections(seen: &PostgresLook) -> Option<Finding> {
    let (allowed, used) = seen.connections;
    let needed = i64::try_from(CONNECTIONS_MAX).unwrap_or(i64::MAX) + 1;
    (i64::from(allowed) - used < needed).then(|| {
        Finding::warning(
            ABOUT,
            format!("of its {allowed} connections {used} are in use, and one hikyaku may need {needed}"),
            "raise max_connections, or see in pg_stat_activity who has them",
        )
    })
}
