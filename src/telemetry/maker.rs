//! Makes metrics, each with our prefix and with every label value at zero.

use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Makes metrics and registers them, with every label value at zero.
pub(super) struct Maker(pub(super) Registry);

impl Maker {
    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("hikyaku_{name}"), help)
    }

    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::with_opts(Self::opts(name, help))?)
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = self.register(IntCounterVec::new(Self::opts(name, help), &[label])?)?;
        for value in values {
            counters.with_label_values(&[value]);
        }
        Ok(counters)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::with_opts(Self::opts(name, help))?)
    }

    /// The gauge that is always 1, and says by its labels what a process is.
    pub(super) fn info(&self, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(Self::opts("info", help), labels)?)
    }

    /// One of those that every process has, whose names are Prometheus' own.
    pub(super) fn of_process_counter(&self, name: &str, help: &str) -> Result<Counter, prometheus::Error> {
        self.register(Counter::new(format!("process_{name}"), help)?)
    }

    /// The same, of whole numbers that go up and down.
    pub(super) fn of_process_gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(format!("process_{name}"), help)?)
    }

    /// The same, of seconds.
    pub(super) fn of_process_seconds(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::new(format!("process_{name}"), help)?)
    }

    pub(super) fn seconds(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::with_opts(Self::opts(name, help))?)
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        let gauges = self.register(IntGaugeVec::new(Self::opts(name, help), &[label])?)?;
        for value in values {
            gauges.with_label_values(&[value]);
        }
        Ok(gauges)
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(buckets.to_vec());
        let histograms = self.register(HistogramVec::new(opts, &[label])?)?;
        for value in values {
            histograms.with_label_values(&[value]);
        }
        Ok(histograms)
    }
}
