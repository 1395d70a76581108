//! One step of an event's way, from when it begins until it is ended or dropped.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use super::names;
use super::tracer::Recorder;
use crate::model::{Event, SpanId, TraceContext, TraceId};

/// Bytes of a text in a span: ids have 128.
const TEXT_BYTES_MAX: usize = 256;

/// What a span is to those around it (OTLP's `SpanKind`, by its numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A step within us.
    Internal = 1,
    /// Answers a request.
    Server = 2,
    /// Makes a request.
    Client = 3,
    /// Puts something into a queue.
    Producer = 4,
    /// Takes something out of a queue.
    Consumer = 5,
}

/// A step under way. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span(State);

#[derive(Debug, Default)]
enum State {
    /// Traces are off.
    #[default]
    Off,
    /// The trace is not recorded, and whoever comes after is told so.
    Unsampled(TraceContext),
    Recording(Box<Recording>),
}

#[derive(Debug)]
struct Recording {
    recorder: Arc<Recorder>,
    ended: Ended,
}

/// A step that has ended, as it is told to the collector.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    pub(super) context: TraceContext,
    pub(super) parent: Option<SpanId>,
    pub(super) kind: Kind,
    pub(super) name: Cow<'static, str>,
    /// Nanoseconds since 1970.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) is_failed: bool,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(Cow<'static, str>),
    Number(i64),
}

impl Span {
    pub(super) fn unsampled(context: TraceContext) -> Self {
        Self(State::Unsampled(context))
    }

    pub(super) fn recording(
        recorder: Arc<Recorder>,
        context: TraceContext,
        parent: Option<SpanId>,
        kind: Kind,
        name: Cow<'static, str>,
    ) -> Self {
        let began = recorder.now();
        let ended =
            Ended { context, parent, kind, name, began, ended: began, attributes: Vec::new(), is_failed: false };
        Self(State::Recording(Box::new(Recording { recorder, ended })))
    }

    /// What those know it by that come after it; nothing where traces are off.
    pub fn context(&self) -> Option<TraceContext> {
        match &self.0 {
            State::Off => None,
            State::Unsampled(context) => Some(*context),
            State::Recording(recording) => Some(recording.ended.context),
        }
    }

    /// The trace, if it is recorded: for log lines.
    pub fn trace(&self) -> Option<TraceId> {
        match &self.0 {
            State::Off | State::Unsampled(_) => None,
            State::Recording(recording) => Some(recording.ended.context.trace),
        }
    }

    /// A step within this one.
    #[must_use]
    pub fn child(&self, kind: Kind, name: impl Into<Cow<'static, str>>) -> Self {
        match &self.0 {
            State::Off => Self::default(),
            State::Unsampled(context) => Self::unsampled(*context),
            State::Recording(recording) => {
                let Recording { recorder, ended } = &**recording;
                let context = TraceContext { span: recorder.new_span(), ..ended.context };
                Self::recording(Arc::clone(recorder), context, Some(ended.context.span), kind, name.into())
            }
        }
    }

    /// Notes the number `value` under `name`.
    pub fn number(&mut self, name: &'static str, value: impl TryInto<i64>) {
        if let State::Recording(recording) = &mut self.0 {
            recording.ended.attributes.push((name, Value::Number(value.try_into().unwrap_or(i64::MAX))));
        }
    }

    /// Notes the word `value`, which is of a closed list, under `name`.
    pub fn word(&mut self, name: &'static str, value: &'static str) {
        if let State::Recording(recording) = &mut self.0 {
            recording.ended.attributes.push((name, Value::Text(Cow::Borrowed(value))));
        }
    }

    /// Notes `value` under `name`, cut to 256 bytes.
    pub fn text(&mut self, name: &'static str, value: impl Display) {
        if let State::Recording(recording) = &mut self.0 {
            let mut text = value.to_string();
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            recording.ended.attributes.push((name, Value::Text(Cow::Owned(text))));
        }
    }

    /// Notes which event it is about.
    pub fn of_event(&mut self, event: &Event) {
        if let State::Recording(_) = &self.0 {
            self.text(names::MESSAGE, &event.id);
            self.text(names::EVENT, &event.id);
            self.text(names::EVENT_TYPE, &event.kind);
            self.text(names::SOURCE, &event.source);
            self.number(names::BODY_SIZE, event.body.bytes().len());
        }
    }

    /// Notes that it is a POST to `route` that is called `request` and was answered `status`.
    pub fn answered(&mut self, route: &'static str, request: &str, status: u16) {
        if let State::Recording(_) = &self.0 {
            self.word(names::METHOD, "POST");
            self.word(names::ROUTE, route);
            self.number(names::STATUS, status);
            if !request.is_empty() {
                self.text(names::REQUEST, request);
            }
            if status >= 500 {
                self.failed("not_stored");
            }
        }
    }

    /// Notes that it failed; `why` is of a closed list.
    pub fn failed(&mut self, why: &'static str) {
        if let State::Recording(recording) = &mut self.0 {
            recording.ended.is_failed = true;
            recording.ended.attributes.push((names::ERROR, Value::Text(Cow::Borrowed(why))));
        }
    }

    /// Leaves nothing of it.
    pub fn discard(&mut self) {
        self.0 = State::Off;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let State::Recording(recording) = std::mem::take(&mut self.0) {
            recording.tell();
        }
    }
}

impl Recording {
    fn tell(self) {
        let Self { recorder, mut ended } = self;
        ended.ended = recorder.now().max(ended.began);
        recorder.tell(ended);
    }
}
