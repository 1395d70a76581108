//! `hikyaku rejected ...`: what was published to RabbitMQ and was no event, for a person at a shell.
//!
//! Messages come one by one and are written as they come, so a hundred thousand cost no memory. Their texts are whoever's
//! published them: what goes to a terminal has no control characters.

use serde_json::{Value, json};

use super::args::RejectedArgs;
use super::{CliError, LimitArgs, Output, RejectedCommand, Table};
use crate::queue::{Choice, Queue, RejectedMessage, Walked};

/// Characters of a body that the table shows.
const BODY_CHARS_SHOWN: usize = 48;
/// Messages of the table, which is held in memory to align its columns.
const TABLE_ROWS_MAX: u64 = 10_000;

/// Does what `command` says; names in RabbitMQ begin with `prefix`.
///
/// # Errors
/// When an argument is not allowed, or the queue does not do it. What was done before stays done.
pub async fn rejected(
    command: RejectedCommand,
    queue: &Queue,
    prefix: &str,
    output: &mut Output,
) -> Result<(), CliError> {
    match command {
        RejectedCommand::List { filter, limit: LimitArgs { limit }, json } => {
            let filter = Filter::of(&filter, prefix);
            if json {
                list_json(queue, &filter, limit, output).await
            } else {
                list(queue, &filter, limit, output).await
            }
        }
        RejectedCommand::Requeue { filter, all, dry_run } => {
            let filter = chosen(&filter, all, prefix)?;
            if dry_run {
                return tell_count(queue, &filter, "would be put back", output).await;
            }
            requeue(queue, &filter, output).await
        }
        RejectedCommand::Purge { filter, all, dry_run } => {
            let filter = chosen(&filter, all, prefix)?;
            if dry_run {
                return tell_count(queue, &filter, "would be deleted", output).await;
            }
            purge(queue, &filter, output).await
        }
    }
}

/// Which messages; all of them when it says nothing.
struct Filter {
    ids: Vec<String>,
    /// The name, and the name with the prefix.
    from: Option<[String; 2]>,
    /// In lower case.
    reason: Option<String>,
}

impl Filter {
    fn of(args: &RejectedArgs, prefix: &str) -> Self {
        Self {
            ids: args.id.clone(),
            from: args.from.as_ref().map(|name| [name.clone(), format!("{prefix}{name}")]),
            reason: args.reason.as_deref().map(str::to_lowercase),
        }
    }

    fn says_which(&self) -> bool {
        !self.ids.is_empty() || self.from.is_some() || self.reason.is_some()
    }

    fn matches(&self, message: &RejectedMessage) -> bool {
        let is_it = |id: &String| *id == message.id || Some(id) == message.message_id.as_ref();
        let is_from = |names: &[String; 2]| names.contains(&message.from);
        (self.ids.is_empty() || self.ids.iter().any(is_it))
            && self.from.as_ref().is_none_or(is_from)
            && self.reason.as_ref().is_none_or(|words| message.reason.to_lowercase().contains(words))
    }
}

/// The filter of a command that changes things: it says which, or `--all`.
fn chosen(args: &RejectedArgs, all: bool, prefix: &str) -> Result<Filter, CliError> {
    let filter = Filter::of(args, prefix);
    match (filter.says_which(), all) {
        (true, true) => Err(CliError::Usage("give either --all or which rejected messages, not both".to_owned())),
        (false, false) => {
            Err(CliError::Usage("say which rejected messages (--id, --from, --reason), or --all".to_owned()))
        }
        _ => Ok(filter),
    }
}

fn counted(count: u64) -> String {
    if count == 1 { "1 rejected message".to_owned() } else { format!("{count} rejected messages") }
}

async fn tell_count(queue: &Queue, filter: &Filter, what: &str, output: &mut Output) -> Result<(), CliError> {
    let mut count = 0_u64;
    if filter.says_which() {
        let walked = queue.walk_rejected(|message| {
            count += u64::from(filter.matches(message));
            Choice::Leave
        });
        tell_left(&walked.await?, output);
    } else {
        count = queue.depths().await?.rejected;
    }
    output.line(&format!("{} {what}", counted(count)))
}

/// Says so when there was no time for all.
fn tell_left(walked: &Walked, output: &mut Output) {
    if walked.left > 0 {
        output.note(&format!("{} more were not looked at for want of time; do it again for those", walked.left));
    }
}

async fn requeue(queue: &Queue, filter: &Filter, output: &mut Output) -> Result<(), CliError> {
    let choose = |message: &RejectedMessage| if filter.matches(message) { Choice::Requeue } else { Choice::Leave };
    let walked = queue.walk_rejected(choose).await?;
    tell_left(&walked, output);
    if let Some(why) = &walked.why {
        let (count, why) = (walked.unreadable, plain(why));
        output.note(&format!("{} would be rejected again and stay; the first because: {why}", counted(count)));
    }
    output.line(&format!("{} put back", counted(walked.requeued)))
}

async fn purge(queue: &Queue, filter: &Filter, output: &mut Output) -> Result<(), CliError> {
    let purged = if filter.says_which() {
        let choose = |message: &RejectedMessage| if filter.matches(message) { Choice::Purge } else { Choice::Leave };
        let walked = queue.walk_rejected(choose).await?;
        tell_left(&walked, output);
        walked.purged
    } else {
        queue.purge_rejected().await?
    };
    output.line(&format!("{} deleted", counted(purged)))
}

async fn list(queue: &Queue, filter: &Filter, limit: u64, output: &mut Output) -> Result<(), CliError> {
    let limit = limit.min(TABLE_ROWS_MAX);
    let mut table = Table::new(&["ID", "REJECTED", "FROM", "BYTES", "MESSAGE ID", "BODY", "REASON"]);
    let mut shown = 0;
    let walked = queue.walk_rejected(|message| {
        if shown == limit {
            return Choice::Stop;
        }
        if filter.matches(message) {
            shown += 1;
            table.row(cells(message));
        }
        Choice::Leave
    });
    let walked = walked.await?;
    table.lines().try_for_each(|line| output.line(&line))?;
    tell_more(&walked, shown, limit, output);
    Ok(())
}

fn tell_more(walked: &Walked, shown: u64, limit: u64, output: &mut Output) {
    match walked.left {
        0 => {}
        left if shown < limit => output.note(&format!("{left} more were not looked at for want of time")),
        left => output.note(&format!("the oldest {limit}; {left} more were not looked at, --limit shows more")),
    }
}

async fn list_json(queue: &Queue, filter: &Filter, limit: u64, output: &mut Output) -> Result<(), CliError> {
    let (mut shown, mut written) = (0, Ok(()));
    let walked = queue.walk_rejected(|message| {
        if shown == limit || written.is_err() {
            return Choice::Stop;
        }
        if filter.matches(message) {
            let begin = if shown == 0 { "[" } else { "," };
            written = output.line(&format!("{begin}{}", document(message)));
            shown += 1;
        }
        Choice::Leave
    });
    let walked = walked.await;
    written?;
    let walked = walked?;
    output.line(if shown == 0 { "[]" } else { "]" })?;
    tell_more(&walked, shown, limit, output);
    Ok(())
}

fn cells(message: &RejectedMessage) -> [String; 7] {
    let start: String = String::from_utf8_lossy(&message.body[..message.body.len().min(4 * BODY_CHARS_SHOWN)])
        .chars()
        .take(BODY_CHARS_SHOWN)
        .collect();
    [
        message.id.clone(),
        message.at.map(|at| at.to_rfc3339()).unwrap_or_default(),
        plain(&message.from),
        message.body.len().to_string(),
        plain(message.message_id.as_deref().unwrap_or_default()),
        plain(&start),
        plain(&message.reason),
    ]
}

/// `text` without control characters, which could do things to a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn document(message: &RejectedMessage) -> Value {
    let mut document = json!({
        "id": message.id,
        "messageId": message.message_id,
        "reason": message.reason,
        "from": message.from,
        "rejectedAt": message.at.map(|at| at.to_rfc3339()),
        "contentType": message.content_type,
        "contentEncoding": message.content_encoding,
        "routingKey": message.routing_key,
        "bytes": message.body.len(),
    });
    // Which of the two is there says which it is.
    match std::str::from_utf8(&message.body) {
        Ok(text) => document["body"] = text.into(),
        Err(_) => document["bodyBase64"] = data_encoding::BASE64.encode(&message.body).into(),
    }
    document
}
