//! Which dead letters a request means.
//!
//! | parameter | is |
//! |---|---|
//! | `webhook`, `event`, `type`, `reason` | those to this webhook, of this event, of this type, given up for this reason |
//! | `status` | those whose last attempt was answered with this HTTP status |
//! | `id` | these deliveries, at most 100, with commas between |
//! | `since`, `until` | those given up at this moment or later, before this moment |
//! | `all` | `true`: every one; for what changes something, which must say what it means |
//! | `dryRun` | `true`: only tells how many |

use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::api::operators::deliveries::moment;
use crate::api::operators::params::{Params, in_query, quoted};
use crate::api::operators::problem::{Mistake, Problem};
use crate::model::{DeathReason, DeliveryId, EventId, EventType, Timestamp, WebhookId, described};
use crate::record::Filter;

/// HTTP statuses that an answer may have.
const STATUSES: std::ops::RangeInclusive<u32> = 100..=999;

/// Ids that one request may name.
const IDS_MAX: usize = 100;

/// The parameters that say which, as the document has them.
pub(super) fn which() -> Vec<Parameter> {
    vec![
        in_query("webhook", "Those to this webhook.", described::token()),
        in_query("event", "Those of the event with this id.", described::id()),
        in_query("type", "Those of this event type.", described::id()),
        in_query("reason", "Those given up for this reason.", described::death_reason()),
        in_query("status", "Those whose last attempt was answered with this HTTP status.", described::status()),
        in_query("since", "Those given up at this moment, or at this age, or later.", described::moment_or_age()),
        in_query("until", "Those given up before this moment.", described::moment_or_age()),
        in_query("id", "These deliveries, at most 100, with commas between.", described::delivery_ids()),
    ]
}

/// The parameters of what changes something.
pub(in crate::api::operators) struct MeantParams;

impl utoipa::IntoParams for MeantParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = which();
        parameters.push(in_query("all", "Every one; needed where nothing else says which.", described::flag()));
        parameters.push(in_query("dryRun", "Only tells how many.", described::flag()));
        parameters
    }
}

/// What a request that changes something asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) filter: Filter,
    pub(super) is_dry: bool,
}

impl Meant {
    /// Reads it; nothing is meant by saying nothing.
    pub(super) fn read(query: Option<&str>, now: Timestamp) -> Result<Self, Problem> {
        let mut params = Params::of(query);
        let filter = filter_of(&mut params, now);
        let all = params.get("all", flag).unwrap_or(false);
        let is_dry = params.get("dryRun", flag).unwrap_or(false);
        params.finish()?;
        let detail = match (filter == Filter::default(), all) {
            (true, false) => {
                "say which dead letters (webhook, event, type, reason, status, since, until, id), or all=true"
            }
            (false, true) => "give either all=true or which dead letters, not both",
            _ => return Ok(Self { filter, is_dry }),
        };
        Err(Problem::mistakes(vec![Mistake { parameter: "all".to_owned(), detail: detail.to_owned() }]))
    }
}

/// The parameters that say which.
pub(super) fn filter_of(params: &mut Params, now: Timestamp) -> Filter {
    let reason = |text: &str| {
        let names = || DeathReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ");
        DeathReason::from_name(text).ok_or_else(|| format!("{} is none of {}", quoted(text), names()))
    };
    let moment = |text: &str| moment(text, now);
    Filter {
        webhook: params.get("webhook", WebhookId::new),
        event: params.get("event", EventId::new),
        kind: params.get("type", EventType::new),
        reason: params.get("reason", reason),
        status: params.whole("status", STATUSES).and_then(|status| u16::try_from(status).ok()),
        since: params.get("since", moment),
        until: params.get("until", moment),
        ids: params.get("id", ids).unwrap_or_default(),
    }
}

fn ids(text: &str) -> Result<Vec<DeliveryId>, String> {
    let ids: Vec<_> = text.split(',').collect();
    if ids.len() > IDS_MAX {
        return Err(format!("it has {} ids, and {IDS_MAX} are allowed", ids.len()));
    }
    ids.iter().map(|id| DeliveryId::from_text(id).map_err(|error| format!("{}: {error}", quoted(id)))).collect()
}

/// `true` or `false`.
pub(in crate::api::operators) fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{} is neither true nor false", quoted(text)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_774_960_496_789);

    #[test]
    fn what_is_meant_is_read() {
        let (one, other) = ("msg_5ytoxm3jgm6es4gna34r7fkcv3hbpamg", "msg_aytoxm3jgm6es4gna34r7fkcv3hbpamg");
        let query = format!(
            "webhook=wh1&event=e1&type=note&reason=refused&status=404&since=2h&until=2026-03-31T12:34:56Z&id={one},{other}&dryRun=true"
        );
        let filter = Filter {
            webhook: WebhookId::new("wh1").ok(),
            event: EventId::new("e1").ok(),
            kind: EventType::new("note").ok(),
            reason: Some(DeathReason::Refused),
            status: Some(404),
            since: Some(NOW.minus(Duration::from_secs(7200))),
            until: Some(Timestamp::from_millis(1_774_960_496_000)),
            ids: [one, other].map(|id| DeliveryId::from_text(id).expect("an id")).to_vec(),
        };
        assert_eq!(Meant::read(Some(&query), NOW).expect("right"), Meant { filter, is_dry: true });
        let all = Meant { filter: Filter::default(), is_dry: false };
        assert_eq!(Meant::read(Some("all=true"), NOW).expect("right"), all);
    }

    #[test]
    fn each_mistake_names_its_parameter_and_nothing_is_meant_by_saying_nothing() {
        for (query, parameter, words) in [
            ("", "all", "say which dead letters"),
            ("all=false", "all", "say which dead letters"),
            ("all=true&reason=gone", "all", "not both"),
            ("all=yes", "all", "neither true nor false"),
            ("webhook=a%20b", "webhook", "it has the character ' '"),
            ("event=", "event", "it is empty"),
            ("type=%0a", "type", "control character"),
            ("reason=bored", "reason", "none of gone, refused"),
            ("status=-404", "status", "no whole number from 100 to 999"),
            ("since=yesterday", "since", "nor an age like 2h"),
            ("until=1774960496789", "until", "nor an age like 2h"),
            ("id=msg_x", "id", "\\\"msg_x\\\""),
            (&format!("id=a{}", ",a".repeat(100)), "id", "101 ids, and 100 are allowed"),
            ("all=true&dryRun=1", "dryRun", "neither true nor false"),
            ("all=true&limit=5", "limit", "there is no such parameter"),
            ("state=dead", "state", "there is no such parameter"),
        ] {
            let told = format!("{:?}", Meant::read(Some(query), NOW).expect_err(query));
            assert!(told.contains(&format!("parameter: {parameter:?}")) && told.contains(words), "{query}: {told}");
        }
    }
}
