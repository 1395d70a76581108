//! The words of hikyaku as types: events, webhooks, deliveries, their ids, and what can become of them.
//!
//! Data comes in as bytes ([`Event::parse`]) or rows and goes out to every other module. The types refuse nonsense when
//! they are made, so nobody downstream checks again. An event's body is opaque bytes here.
//!
//! This module does no I/O, reads no clock and draws no random numbers.

mod body;
mod client_certificate;
mod decimal;
mod delivery;
pub mod described;
mod event;
mod event_error;
mod fate;
mod filter;
mod format;
mod ids;
mod known_types;
mod nearest;
mod operator;
mod parse;
mod peer;
mod person;
mod rate_limit;
mod receipt;
mod signing;
mod streak;
mod subscribable;
mod time;
mod token;
mod trace;
mod visible;
mod webhook;

pub use body::Body;
pub use client_certificate::{
    CLIENT_CERTIFICATE_BYTES_MAX, CLIENT_KEY_BYTES_MAX, ClientCertificate, ClientCertificateError, path_of_pem,
};
pub use decimal::Decimal;
pub use delivery::{Delivery, LAST_ERROR_BYTES_MAX, LastFailure, Message, Target};
pub use event::{Event, SERVER_BYTES_MAX};
pub use event_error::{EventError, JsonKind};
pub use fate::{
    DeactivationReason, DeathReason, DeliveryState, DropReason, IngestRefusal, Outcome, ParkReason, ReplayKind,
};
pub use filter::{
    Condition, FILTER_PATH_CHARS_MAX, FILTER_PATH_STEPS_MAX, FILTER_TEXT_CHARS_MAX, FILTER_TEXTS_MAX, FILTER_TYPES_MAX,
    FILTER_VALUES_MAX, FILTERS_MAX, FilterError, Pointer, Scalar, Test, Texts,
};
pub use format::{Format, check_format};
pub use ids::{DeliveryId, DeliveryIdError, EventId, EventType, ID_BYTES_MAX, IdError, Source, UserId, WebhookId};
pub use known_types::{Audience, KnownType, Sender, WEBHOOK_DEACTIVATED, known_type, known_types};
pub use nearest::nearest;
pub use operator::{ADMIN, Access, Operator, OperatorName, TOKENS_MAX, Tokens};
pub use parse::{Arrival, Draft};
pub use peer::Peer;
pub use person::Person;
pub use rate_limit::{RATE_BURST, RATE_PER_SECOND, RateLimit, RateLimitError};
pub use receipt::{RECEIPT_BYTES, ReceiptKey};
pub use signing::{
    PREVIOUS_SIGNING_MAX, Previous, SIGNING_GRACE, SIGNING_GRACE_S, Signers, Signing, SigningChange, SigningKey,
    check_signing_key, check_signing_secret,
};
pub use streak::Streak;
pub use subscribable::{Subscribable, is_note_of};
pub use time::{MomentError, Timestamp};
pub use token::TokenHash;
pub use trace::{SpanId, TraceContext, TraceId};
pub use webhook::{
    ATTEMPT_TIMEOUT_MS, Deactivation, MAX_AGE_S, NAME_CHARS_MAX, Options, Origin, Owner, RETRIES_MAX, RETRY_WAIT_S,
    SECRET_CHARS_MAX, Secret, Status, URL_CHARS_MAX, Webhook, WebhookError, check_name, check_secret, check_source,
    check_stored_name, check_url, each_once,
};
