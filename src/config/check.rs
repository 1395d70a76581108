//! Settings that are each allowed but do not go together. One rule a line, each naming both settings and a way out.
//!
//! Pure: no file is looked at, so two names of one file that differ by a link pass here.

use std::path::{Component, Path};

use super::{Problem, Settings};
use crate::decide::Forbidden;
use crate::model::Webhook;

impl Settings {
    /// Everything that does not go together; to be asked again after flags have changed fields.
    ///
    /// Limits of single settings are not looked at: those are checked where a value is read.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = self.check_delivery();
        problems.extend(self.check_sizes());
        problems.extend(self.check_places());
        problems.extend(self.check_misskey());
        problems.extend(self.check_webhooks());
        problems
    }

    fn check_misskey(&self) -> Vec<Problem> {
        let misskey = &self.misskey;
        let mut problems = Vec::new();
        if misskey.token.is_some() && misskey.url.is_none() {
            problems.push(Problem::between(
                &["misskey.token", "misskey.url"],
                "it is set, and misskey.url is not: nobody knows which Misskey it is for; set that too".to_owned(),
            ));
        }
        if misskey.token.is_some() && misskey.ingest_url.is_none() {
            problems.push(Problem::between(
                &["misskey.token", "misskey.ingest_url"],
                "it is set, and misskey.ingest_url is not: of what Misskey gave up, nobody can tell what was for us; set that \
                 too"
                    .to_owned(),
            ));
        }
        problems
    }

    fn check_webhooks(&self) -> Vec<Problem> {
        let addresses = self.delivery.addresses();
        let forbidden =
            self.webhooks.iter().filter_map(|webhook| Some((webhook, addresses.check_url(&webhook.url).err()?)));
        let problem = |(webhook, forbidden): (&Webhook, Forbidden)| {
            let what = format!("the url of the webhook {}: {forbidden}", webhook.id);
            Problem::between(&["webhooks", "delivery.allowed_private_networks"], what)
        };
        forbidden.map(problem).collect()
    }

    fn check_delivery(&self) -> Vec<Problem> {
        let (delivery, queue) = (&self.delivery, &self.queue);
        let mut problems = Vec::new();
        if self.server.shutdown_grace < delivery.timeout {
            problems.push(Problem::between(
                &["server.shutdown_grace_s", "delivery.timeout_ms"],
                format!(
                    "it is {} s, and delivery.timeout_ms is {}: attempts in flight would be cut off at shutdown; \
                     raise this one or lower that one",
                    self.server.shutdown_grace.as_secs(),
                    delivery.timeout.as_millis()
                ),
            ));
        }
        if delivery.concurrency > queue.prefetch {
            problems.push(Problem::between(
                &["delivery.concurrency", "queue.prefetch"],
                format!(
                    "it is {}, and queue.prefetch is {}: a worker cannot send more than it holds; lower this one or \
                     raise that one",
                    delivery.concurrency, queue.prefetch
                ),
            ));
        }
        if delivery.slots_per_webhook > delivery.concurrency {
            problems.push(Problem::between(
                &["delivery.slots_per_webhook", "delivery.concurrency"],
                format!(
                    "it is {}, and delivery.concurrency is {}: one webhook cannot have more requests in flight than \
                     all together; lower this one or raise that one",
                    delivery.slots_per_webhook, delivery.concurrency
                ),
            ));
        }
        problems
    }

    fn check_sizes(&self) -> Vec<Problem> {
        let event_bytes_max = self.ingest.event_bytes_max;
        let mut problems = Vec::new();
        if self.ingest.request_bytes_max < event_bytes_max {
            problems.push(Problem::between(
                &["ingest.request_bytes_max", "ingest.event_bytes_max"],
                format!(
                    "it is {}, and ingest.event_bytes_max is {event_bytes_max}: the largest event must fit into a \
                     request; raise this one or lower that one",
                    self.ingest.request_bytes_max
                ),
            ));
        }
        if self.queue.prefetch_bytes < event_bytes_max {
            problems.push(Problem::between(
                &["queue.prefetch_bytes", "ingest.event_bytes_max"],
                format!(
                    "it is {}, and ingest.event_bytes_max is {event_bytes_max}: a worker must be able to hold the \
                     largest event; raise this one or lower that one",
                    self.queue.prefetch_bytes
                ),
            ));
        }
        problems
    }

    fn check_places(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let (queue_file, store_file) = (self.queue.url.file(), self.store.url.file());
        if queue_file.is_none() && store_file.is_some() && !self.queue.single_host {
            problems.push(Problem::between(
                &["queue.single_host", "queue.url", "store.url"],
                "it is false, while queue.url is RabbitMQ and store.url is a file: workers on several hosts would each \
                 know other webhooks, and lose events; set it to true if this host is the only one that works on this \
                 queue, or let them share a store: store.url = \"postgres://user:password@host:5432/database\""
                    .to_owned(),
            ));
        }
        let is_queue = |file: &Path| queue_file.is_some_and(|queue| is_same_file(queue, file));
        if store_file.is_some_and(is_queue) {
            problems.push(Problem::between(
                &["store.url", "queue.url"],
                "it names the same file as queue.url: they must be two files, so that neither waits for the other"
                    .to_owned(),
            ));
        }
        if self.history.enabled && self.store.url.history().as_deref().is_some_and(is_queue) {
            problems.push(Problem::between(
                &["queue.url", "store.url", "history.enabled"],
                "it names the file of the history, which lies beside that of store.url: name another".to_owned(),
            ));
        }
        if self.server.metrics_listen == Some(self.server.listen) && self.server.listen.port() != 0 {
            problems.push(Problem::between(
                &["server.metrics_listen", "server.listen"],
                "it is the same address as server.listen; leave it empty to have the metrics there".to_owned(),
            ));
        }
        problems
    }
}

/// Whether both name one file, but for `.` in the path and links.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let named = |component: &Component<'_>| *component != Component::CurDir;
    a.components().filter(named).eq(b.components().filter(named))
}
