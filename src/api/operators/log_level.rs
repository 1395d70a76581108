//! `GET` and `PUT /v1/log-level`: which lines this process writes, and more or fewer of them until it is started again.
//!
//! | parameter of `PUT` | is |
//! |---|---|
//! | `level` | `error`, `warn`, `info`, `debug` or `trace`; needed |
//!
//! 200: `{"level":"debug"}`, how it is afterwards.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{Object, ObjectBuilder, Required, Type};

use super::by::By;
use super::no_body::NoBody;
use super::params::{Params, in_query};
use super::problem::{Mistake, Problem};
use super::{OperatorsParts, found};
use crate::telemetry::LogLevel;

/// The level of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = LogLevel)]
struct LogLevelShape {
    /// The least important lines that are written: `error`, `warn`, `info`, `debug` (each success) or `trace`.
    #[schema(schema_with = level)]
    level: &'static str,
}

/// A level, as the document has it.
fn level() -> Object {
    let names = LogLevel::ALL.map(|(name, _)| name);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("The least important lines that are written; debug has each success."))
        .enum_values(Some(names))
        .build()
}

/// The parameters, as the document has them.
pub(super) struct LevelParams;

impl utoipa::IntoParams for LevelParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut wanted = in_query("level", "The least important lines that are to be written.", level());
        wanted.required = Required::True;
        vec![wanted]
    }
}

fn read(query: Option<&str>) -> Result<LogLevel, Problem> {
    let names = || LogLevel::ALL.map(|(name, _)| name).join(", ");
    let mut params = Params::of(query);
    let level = params.get("level", |name| {
        LogLevel::of_name(name).ok_or_else(|| format!("there is no such level; there are {}", names()))
    });
    params.finish()?;
    let missing = || Mistake { parameter: "level".to_owned(), detail: format!("say which: {}", names()) };
    level.ok_or_else(|| Problem::mistakes(vec![missing()]))
}

/// Which lines this process writes to its log.
#[utoipa::path(
    get, path = "/v1/log-level", tag = "health", operation_id = "showLogLevel",
    responses((status = 200, description = "The level.", body = LogLevelShape, example = json!({"level": "info"})))
)]
pub(super) async fn show(
    State(parts): State<Arc<OperatorsParts>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Params::of(query.as_deref()).finish()?;
    Ok(found(&LogLevelShape { level: parts.log.level().as_str() }))
}

/// Has this process write more lines to its log, or fewer.
///
/// Until it is started again, or told another level by its settings (SIGHUP). Other processes are asked by themselves.
#[utoipa::path(
    put, path = "/v1/log-level", tag = "health", operation_id = "setLogLevel", params(LevelParams),
    responses((status = 200, description = "The level from now on.", body = LogLevelShape, example = json!({"level": "debug"})))
)]
pub(super) async fn set(
    State(parts): State<Arc<OperatorsParts>>,
    by: By,
    RawQuery(query): RawQuery,
    _: NoBody,
) -> Result<Response, Problem> {
    let level = read(query.as_deref())?;
    let before = parts.log.set(level);
    parts.telemetry.log_level_changed(&by.name(), before, level);
    Ok(found(&LogLevelShape { level: level.as_str() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_named_and_any_other_word_is_told_with_those_there_are() {
        assert_eq!(read(Some("level=debug")).expect("right"), LogLevel::Debug);
        for query in ["", "level=", "level=loud", "level=DEBUG", "level=info&level=warn", "levels=info"] {
            let told = format!("{:?}", read(Some(query)).expect_err(query));
            assert!(told.contains("parameter: \"level"), "{query}: {told}");
        }
    }
}
