//! What can be wrong with RabbitMQ, in words for whoever runs it.

use lapin::ErrorKind;

/// Why RabbitMQ did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// No connection, and none could be made.
    #[error(
        "RabbitMQ cannot be reached: {why}. Check that it runs, and that queue.url names the right host, port and user; `hikyaku check` \
         looks at it from here"
    )]
    Away {
        /// What the last try came to.
        why: String,
    },
    /// RabbitMQ was reached and does not want us.
    #[error(
        "RabbitMQ refuses the connection: {why}. Check user, password and virtual host in queue.url, and that the user has \
         configure, write and read permission on names that begin with queue.prefix"
    )]
    Refused {
        /// RabbitMQ's words.
        why: String,
    },
    /// An exchange or a queue of ours exists, and is not as it must be.
    #[error(
        "{kind} `{name}` exists in RabbitMQ with {argument} = {theirs}, and hikyaku needs {ours}. Something else declared it, \
         or a policy or another version did: drain and delete `{name}`, or set another queue.prefix, and start again"
    )]
    Clash {
        /// Exchange or queue.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The argument that differs.
        argument: String,
        /// The value that hikyaku declares.
        ours: String,
        /// The value that RabbitMQ has.
        theirs: String,
    },
    /// A memory or disk alarm: RabbitMQ takes nothing until it is over.
    #[error("RabbitMQ takes no messages for now: {why}")]
    Blocked {
        /// RabbitMQ's words.
        why: String,
    },
    /// The message was handed over and the answer did not come: it may be stored or not.
    #[error("RabbitMQ did not confirm, so it is unknown whether the message is stored: {why}")]
    Unknown {
        /// What happened instead.
        why: String,
    },
    /// RabbitMQ said no.
    #[error(
        "RabbitMQ did not take the message (a negative confirm): a queue is full, or has lost its majority of nodes"
    )]
    Nacked,
    /// A file that `queue.url` names.
    #[error("the file {path} of queue.url cannot be used: {why}")]
    File {
        /// The file.
        path: String,
        /// The system's words, or what is wrong with what is in it.
        why: String,
    },
    /// Both sides do not come to speak TLS.
    #[error(
        "RabbitMQ cannot be spoken to over TLS: {why}. Check that the port is the one for TLS, that RabbitMQ's certificate is \
         valid for the host in queue.url and signed by cacertfile (without it, by an authority that this system trusts), \
         and, where RabbitMQ wants a client's certificate, certfile and keyfile"
    )]
    Tls {
        /// The TLS library's words.
        why: String,
    },
    /// Anything else that RabbitMQ or the connection said.
    #[error("RabbitMQ: {why}")]
    Other {
        /// The words.
        why: String,
    },
}

impl BrokerError {
    /// Whether waiting does not mend it: someone has to change something.
    pub(super) fn is_for_a_person(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Clash { .. } | Self::File { .. } | Self::Tls { .. })
    }

    pub(super) fn other(what: impl std::fmt::Display) -> Self {
        Self::Other { why: what.to_string() }
    }

    /// What took longer than it may.
    pub(super) fn too_slow(what: &str, limit: std::time::Duration) -> Self {
        Self::Other { why: format!("no answer to {what} within {} ms", limit.as_millis()) }
    }

    /// What connecting came to.
    pub(super) fn of_connecting(error: &lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(_) | ErrorKind::AuthProviderError(_) => Self::Refused { why: words(error) },
            ErrorKind::IOError(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                Self::Tls { why: words(error) }
            }
            _ => Self::Away { why: words(error) },
        }
    }
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        Self::Other { why: words(&error) }
    }
}

/// Whether the other side ended the connection without a word.
pub(super) fn is_hung_up(error: &lapin::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ErrorKind::IOError(io)
        if matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
}

/// RabbitMQ's own words where there are some, else lapin's.
pub(super) fn words(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
            "the connection was lost before that was done".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Reads RabbitMQ's words about a declaration that differs from what is there (reply code 406, the same from 3.10 to 4.3):
///
/// ```text
/// PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '1000' of type 'signedint'
/// ```
pub(super) fn clash(kind: &'static str, name: &str, words: &str) -> Option<BrokerError> {
    let (_, rest) = words.split_once("inequivalent arg '")?;
    let (argument, rest) = rest.split_once('\'')?;
    let (_, values) = rest.split_once("received ")?;
    let (ours, theirs) = values.split_once(" but current is ")?;
    Some(BrokerError::Clash {
        kind,
        name: name.to_owned(),
        argument: argument.to_owned(),
        ours: value(ours),
        theirs: value(theirs),
    })
}

/// `the value '1000' of type 'signedint'`, `'false'` or `none`, as a value.
fn value(words: &str) -> String {
    match words.split('\'').nth(1) {
        Some(value) => format!("`{value}`"),
        None => words.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clash_names_the_queue_the_argument_both_values_and_the_way_out() {
        let words = "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'hikyaku.work' in vhost '/': received \
                     the value '1000000' of type 'long' but current is the value '20' of type 'long'";
        let text = clash("queue", "hikyaku.work", words).expect("a clash").to_string();
        for part in ["queue `hikyaku.work`", "x-delivery-limit = `20`", "needs `1000000`", "queue.prefix"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_call_on_a_channel_that_is_gone_says_that_the_connection_is_lost() {
        let error: lapin::Error = ErrorKind::InvalidChannelState(lapin::ChannelState::Error, "basic.qos").into();
        assert_eq!(BrokerError::from(error).to_string(), "RabbitMQ: the connection was lost before that was done");
    }

    #[test]
    fn an_absent_argument_and_a_flag_are_told_too() {
        let none = clash(
            "queue",
            "q",
            "inequivalent arg 'x-a' for queue 'q' in vhost '/': received none but current is the value '1' of type 'long'",
        );
        assert!(matches!(none, Some(BrokerError::Clash { ref ours, .. }) if ours == "none"), "{none:?}");
        let durable = clash(
            "queue",
            "q",
            "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        );
        assert!(matches!(durable, Some(BrokerError::Clash { ref theirs, .. }) if theirs == "`false`"), "{durable:?}");
        assert_eq!(clash("queue", "q", "NOT_FOUND - no queue 'q'"), None);
    }
}
