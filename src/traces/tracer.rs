//! Begins traces and spans, decides which traces are recorded, and gives ended spans a place to wait.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::sync::mpsc;
use url::Url;

use super::exporter::Exporting;
use super::span::{Ended, Kind, Span};
use crate::clock::SharedClock;
use crate::model::{SpanId, Timestamp, TraceContext, TraceId};
use crate::outbound::{Authorities, ClientError};
use crate::telemetry::SharedTelemetry;

/// Ended spans that wait to be sent: at most some 8 MiB, and what a busy worker ends in a second.
pub const SPANS_MAX: usize = 8192;
/// The header that says which trace a request belongs to.
const TRACEPARENT: &str = "traceparent";
/// How far the wall clock may be from where our nanoseconds count on, before they begin anew from it. It tells whole milliseconds.
const WALL_APART_MAX_NS: i64 = 5_000_000;

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Collector {
    /// What spans are posted to.
    pub url: Url,
    /// Headers of each request, which may be secrets.
    pub headers: HeaderMap,
    /// How long a request may take.
    pub timeout: Duration,
    /// Who is trusted beside the system's authorities.
    pub authorities: Authorities,
}

/// What is traced, and as whose.
#[derive(Clone, Debug)]
pub struct TracerPolicy {
    /// The share of traces that begin here and are recorded, 0 to 1. One that began elsewhere is recorded if it is there.
    pub sample_ratio: f64,
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`: this process among others.
    pub instance: String,
    /// `messaging.system`.
    pub system: &'static str,
    /// Whether receivers are told.
    pub sends_traceparent: bool,
}

/// Begins spans. Clones share where they go to; the default is off.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

/// What spans that are recorded share.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) policy: TracerPolicy,
    clock: SharedClock,
    /// What must be added to the clock's elapsed nanoseconds to have those since 1970.
    offset_ns: AtomicI64,
    ended: mpsc::Sender<Ended>,
    telemetry: SharedTelemetry,
}

impl Tracer {
    /// Begins to send spans to `collector`. The collector need not be there.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn start(
        policy: TracerPolicy,
        collector: Collector,
        clock: SharedClock,
        telemetry: SharedTelemetry,
    ) -> Result<(Self, Exporting), ClientError> {
        let (sender, waiting) = mpsc::channel(SPANS_MAX);
        let exporting = Exporting::start(&policy, collector, waiting, telemetry.clone())?;
        let recorder = Recorder { policy, clock, offset_ns: AtomicI64::new(i64::MIN), ended: sender, telemetry };
        Ok((Self(Some(Arc::new(recorder))), exporting))
    }

    /// Whether traces are on.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What the queue is called; empty where traces are off.
    pub fn system(&self) -> &'static str {
        self.0.as_ref().map_or("", |recorder| recorder.policy.system)
    }

    /// How long ago `moment` was; nothing where traces are off.
    pub fn since(&self, moment: Timestamp) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |recorder| recorder.clock.now().since(moment))
    }

    /// What a receiver is told of `span`: nothing, unless the settings say that it is.
    pub fn told(&self, span: &Span) -> Option<TraceContext> {
        span.context().filter(|_| self.0.as_ref().is_some_and(|recorder| recorder.policy.sends_traceparent))
    }

    /// Begins a span that comes after `parent`; without one, a trace.
    pub fn begin(&self, kind: Kind, name: impl Into<Cow<'static, str>>, parent: Option<TraceContext>) -> Span {
        let Some(recorder) = &self.0 else { return Span::default() };
        let trace = parent.map_or_else(new_trace, |parent| parent.trace);
        let is_sampled =
            parent.map_or_else(|| is_sampled(trace, recorder.policy.sample_ratio), |parent| parent.is_sampled);
        if !is_sampled {
            let span = parent.map_or_else(|| recorder.new_span(), |parent| parent.span);
            return Span::unsampled(TraceContext { trace, span, is_sampled });
        }
        let context = TraceContext { trace, span: recorder.new_span(), is_sampled };
        Span::recording(Arc::clone(recorder), context, parent.map(|parent| parent.span), kind, name.into())
    }
}

impl Recorder {
    /// Nanoseconds since 1970. They go on with the clock that nobody sets, so that spans of a trace are in order, and follow the wall
    /// clock when that is set.
    pub(super) fn now(&self) -> u64 {
        let elapsed = i64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let wall = self.clock.now().as_millis().saturating_mul(1_000_000);
        let counted = elapsed.saturating_add(self.offset_ns.load(Ordering::Relaxed));
        let now = if counted.saturating_sub(wall).saturating_abs() <= WALL_APART_MAX_NS {
            counted
        } else {
            self.offset_ns.store(wall.saturating_sub(elapsed), Ordering::Relaxed);
            wall
        };
        u64::try_from(now).unwrap_or(0)
    }

    pub(super) fn new_span(&self) -> SpanId {
        SpanId::from_number(fastrand::u64(1..))
    }

    /// Has `ended` sent, or drops it if too many wait.
    pub(super) fn tell(&self, ended: Ended) {
        if self.ended.try_send(ended).is_err() {
            self.telemetry.spans_dropped(1);
        }
    }
}

fn new_trace() -> TraceId {
    TraceId::from_number(fastrand::u128(1..))
}

/// Whether a trace is recorded that begins here: by the chance that its id is, so that others who ask for the same share of traces
/// choose the same ones (OpenTelemetry's consistent probability sampling).
fn is_sampled(trace: TraceId, ratio: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^56")]
    let threshold = ((1.0 - ratio.clamp(0.0, 1.0)) * (1_u64 << 56) as f64) as u64;
    trace.chance() >= threshold
}

/// Which trace a request with `headers` belongs to, if it says so, once and well.
pub fn traceparent(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    match (given.next(), given.next()) {
        (Some(one), None) => TraceContext::parse(one.to_str().ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_traces_are_recorded_as_the_ratio_says_and_always_the_same_ones() {
        let traces: Vec<TraceId> = (0..10_000).map(|_| new_trace()).collect();
        let recorded = |ratio: f64| traces.iter().filter(|trace| is_sampled(**trace, ratio)).count();
        assert_eq!((recorded(0.0), recorded(1.0)), (0, 10_000));
        assert!((2000..3000).contains(&recorded(0.25)), "{}", recorded(0.25));
        assert!(traces.iter().all(|trace| is_sampled(*trace, 0.5) || !is_sampled(*trace, 0.25)));
    }

    #[test]
    fn which_trace_a_request_belongs_to_is_said_once_and_well_or_not_at_all() {
        let one = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let of = |values: &[&str]| {
            let each =
                values.iter().map(|value| (TRACEPARENT.parse().expect("a name"), value.parse().expect("a value")));
            traceparent(&each.collect())
        };
        assert_eq!(of(&[one]), TraceContext::parse(one));
        assert_eq!((of(&[]), of(&["nonsense"]), of(&[one, one])), (None, None, None));
    }

    #[test]
    fn a_tracer_that_is_off_makes_nothing() {
        let tracer = Tracer::default();
        let parent = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let mut span = tracer.begin(Kind::Server, "a step", parent);
        span.text("name", "value");
        assert_eq!((span.context(), span.child(Kind::Internal, "another").context()), (None, None));
        assert_eq!((tracer.is_on(), tracer.told(&span)), (false, None));
    }
}
