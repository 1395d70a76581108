//! `/v1/dead-letters...`: deliveries that were given up, for whoever looks after them.
//!
//! | path | does |
//! |---|---|
//! | `GET /v1/dead-letters` | a page of them, newest first ([`looking`]) |
//! | `GET /v1/dead-letters/{id}` | one with its body, its attempts and what became of it before |
//! | `POST /v1/dead-letters/replay`, `/purge` | puts back to work, or deletes, those that are meant ([`acting`]) |
//! | `POST /v1/dead-letters/{id}/replay`, `DELETE /v1/dead-letters/{id}` | the same with one |
//! | `GET /v1/dead-letters/export`, `POST /v1/dead-letters/import` | NDJSON, as a stream ([`files`]) |

pub(super) mod acting;
mod asked;
pub(super) mod files;
pub(super) mod looking;

use axum::http::StatusCode;

pub(super) use self::asked::flag;
use super::problem::Problem;
use crate::model::{DeliveryId, WebhookId};
use crate::operate::OperateError;
use crate::record::RecordError;

fn no_letter(id: &DeliveryId) -> Problem {
    let detail = format!(
        "no dead letter has the delivery id {id}: it is not given up, or was purged, or is past dead_letters.retention_s; \
         GET /v1/deliveries/{id} tells what the history has of it"
    );
    Problem::of(StatusCode::NOT_FOUND, detail)
}

/// That nothing can be sent to its webhook any more.
pub(super) fn to_deleted(id: &DeliveryId, webhook: &WebhookId) -> Problem {
    let detail =
        format!("the delivery {id} cannot be sent again: its webhook {webhook} is deleted, and it would be dropped");
    Problem::of(StatusCode::CONFLICT, detail)
}

/// Why it was not done.
pub(super) fn failed(error: &OperateError) -> Problem {
    match error {
        OperateError::Record(error) => record_failed(error),
        OperateError::Queue(error) => Problem::unavailable(error),
        OperateError::Registry(error) => Problem::unavailable(error),
        OperateError::NothingErased { .. } | OperateError::ErasedInPart { .. } => Problem::unavailable(error),
    }
}

fn record_failed(error: &RecordError) -> Problem {
    match error {
        RecordError::ReplayPresent => Problem::of(StatusCode::CONFLICT, error.to_string()),
        RecordError::Damaged { .. } => Problem::of(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        error => Problem::unavailable(error),
    }
}
