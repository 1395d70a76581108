//! Looks at PostgreSQL and changes nothing there: its version and clock, whether it takes changes, how far our schema has come,
//! and what our user may do.

use super::{Postgres, PostgresError, Session};
use crate::model::Timestamp;

/// What was seen.
#[derive(Clone, Debug)]
pub struct PostgresLook {
    /// Its version in words, such as `15.8`.
    pub version: String,
    /// The same as a number: 150008.
    pub version_number: i32,
    /// Its clock.
    pub now: Timestamp,
    /// Whether it only reads.
    pub is_read_only: bool,
    /// Connections that it allows, and that are in use.
    pub connections: (i32, i64),
    /// Our user.
    pub user: String,
    /// Whether our schema is there.
    pub has_schema: bool,
    /// Whether the user may make what is to be made: the schema or, once that is there, tables in it.
    pub may_create: bool,
    /// Tables of ours that the user may not read and change.
    pub forbidden_tables: Vec<String>,
    /// Each part of the schema, and how many steps it has been through.
    pub parts: Vec<(String, usize)>,
}

const SERVER: &str = "SELECT current_setting('server_version'), current_setting('server_version_num')::int, \
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool, \
    current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), \
    current_user::text";
const SCHEMA: &str = "SELECT n.oid IS NOT NULL, CASE WHEN n.oid IS NULL \
    THEN has_database_privilege(current_database(), 'CREATE') \
    ELSE has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE') END \
    FROM (SELECT 1) AS one LEFT JOIN pg_namespace AS n ON n.nspname = $1";
const FORBIDDEN_TABLES: &str = "SELECT c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind = 'r' AND NOT (has_table_privilege(c.oid, 'SELECT') \
    AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') \
    AND has_table_privilege(c.oid, 'DELETE')) ORDER BY 1";
const HAS_VERSIONS: &str = "SELECT coalesce(has_table_privilege(to_regclass('hikyaku_schema'), 'SELECT'), false)";
const VERSIONS: &str = "SELECT part, version FROM hikyaku_schema ORDER BY part";

/// Each part of the schema, and how many steps it has been through; none that our user may not know.
async fn versions(session: &mut Session) -> Result<Vec<(String, usize)>, PostgresError> {
    if !session.query_opt(HAS_VERSIONS, &[]).await?.is_some_and(|row| row.get(0)) {
        return Ok(Vec::new());
    }
    let steps = |row: &super::Row| usize::try_from(row.get::<_, i32>(1)).unwrap_or(0);
    Ok(session.query(VERSIONS, &[]).await?.iter().map(|row| (row.get(0), steps(row))).collect())
}

impl Postgres {
    /// Checks that the schema has been through no more steps of a part than are `known`. What else may be wrong with it, whoever works
    /// on it is told.
    ///
    /// # Errors
    /// [`PostgresError::Newer`].
    pub async fn refuse_newer(&self, known: &[(&'static str, usize)]) -> Result<(), PostgresError> {
        let Ok(mut session) = self.session().await else { return Ok(()) };
        let found = versions(&mut session).await.unwrap_or_default();
        let newer = |(part, known): &(&'static str, usize)| {
            let (_, found) = found.iter().find(|(name, found)| name == part && found > known)?;
            Some(PostgresError::Newer { place: self.url().to_string(), part, found: *found, known: *known })
        };
        known.iter().find_map(newer).map_or(Ok(()), Err)
    }

    /// Looks at it, and at our schema in it.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub async fn look(&self) -> Result<PostgresLook, PostgresError> {
        let nothing = || PostgresError::Other {
            place: self.url().to_string(),
            why: "a question had no answer; is that PostgreSQL, and not something that speaks like it?".to_owned(),
        };
        let mut session = self.session().await?;
        let server = session.query_opt(SERVER, &[]).await?.ok_or_else(nothing)?;
        let schema_name = self.url().schema().to_owned();
        let schema = session.query_opt(SCHEMA, &[&schema_name]).await?.ok_or_else(nothing)?;
        let has_schema: bool = schema.get(0);
        let (mut forbidden_tables, mut parts) = (Vec::new(), Vec::new());
        if has_schema {
            let rows = session.query(FORBIDDEN_TABLES, &[&schema_name]).await?;
            forbidden_tables.extend(rows.iter().map(|row| row.get::<_, String>(0)));
            parts = versions(&mut session).await?;
        }
        Ok(PostgresLook {
            version: server.get(0),
            version_number: server.get(1),
            now: Timestamp::from_millis(server.get(2)),
            is_read_only: server.get(3),
            connections: (server.get(4), server.get(5)),
            user: server.get(6),
            has_schema,
            may_create: schema.get(1),
            forbidden_tables,
            parts,
        })
    }
}
