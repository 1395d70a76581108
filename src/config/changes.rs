//! What changes when the settings are read again while hikyaku runs: which settings differ, and which of them can change now.
//!
//! What can change now is what is looked up anew each time it is needed, or what is asked by requests to us. The rest is built into
//! files, connections and threads at the start, and needs a restart. The list names every setting; tests keep it so, and the
//! list in `docs/systemd.md` equal to it.

use super::Settings;

/// Settings that differ, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that change now.
    pub now: Vec<&'static str>,
    /// Those that need a restart.
    pub at_restart: Vec<&'static str>,
}

impl Changes {
    /// Whether one that changes now is called so, or lies in the section of that name.
    pub fn has(&self, name: &str) -> bool {
        self.now.iter().any(|changed| *changed == name || changed.split('.').next() == Some(name))
    }
}

/// One setting.
struct Setting {
    name: &'static str,
    /// Whether it can change while hikyaku runs.
    can_change: bool,
    is_same: fn(&Settings, &Settings) -> bool,
    take: fn(&mut Settings, &Settings),
}

/// A line of [`SETTINGS`]: the name, when it changes, and the fields that have it.
macro_rules! setting {
    ($name:literal now $($path:ident).+) => { setting!(@ $name, true, $($path).+) };
    ($name:literal at restart $($path:ident).+) => { setting!(@ $name, false, $($path).+) };
    (@ $name:literal, $can_change:literal, $($path:ident).+) => {
        Setting {
            name: $name,
            can_change: $can_change,
            is_same: |running, read| running.$($path).+ == read.$($path).+,
            take: |running, read| running.$($path).+.clone_from(&read.$($path).+),
        }
    };
}

/// Every setting. `store.encryption_key` stands for the earlier keys too, with which it is kept.
const SETTINGS: &[Setting] = &[
    setting!("server.listen" at restart server.listen),
    setting!("server.metrics_listen" at restart server.metrics_listen),
    setting!("server.admin_token" now server.admin_token),
    setting!("server.tokens" now server.tokens),
    setting!("server.trusted_proxies" now server.trusted_proxies),
    setting!("server.shutdown_grace_s" at restart server.shutdown_grace),
    setting!("queue.url" at restart queue.url),
    setting!("queue.prefix" at restart queue.prefix),
    setting!("queue.single_host" at restart queue.single_host),
    setting!("queue.prefetch" at restart queue.prefetch),
    setting!("queue.prefetch_bytes" at restart queue.prefetch_bytes),
    setting!("queue.bytes_max" at restart queue.bytes_max),
    setting!("store.url" at restart store.url),
    setting!("store.encryption_key" at restart store.seals),
    setting!("misskey.url" at restart misskey.url),
    setting!("misskey.ingest_url" now misskey.ingest_url),
    setting!("misskey.token" now misskey.token),
    setting!("misskey.reconcile_every_s" now misskey.reconcile_every),
    setting!("misskey.extra_types" now misskey.extra_types),
    setting!("misskey.webhook_limit" now misskey.webhook_limit),
    setting!("misskey.ingest" now misskey.ingest),
    setting!("ingest.event_bytes_max" at restart ingest.event_bytes_max),
    setting!("ingest.request_bytes_max" now ingest.request_bytes_max),
    setting!("delivery.concurrency" at restart delivery.concurrency),
    setting!("delivery.slots_per_webhook" at restart delivery.slots_per_webhook),
    setting!("delivery.connections_per_host" at restart delivery.connections_per_host),
    setting!("delivery.breaker_failures" at restart delivery.breaker_failures),
    setting!("delivery.patience_ms" at restart delivery.patience),
    setting!("delivery.foresight" at restart delivery.foresight),
    setting!("delivery.timeout_ms" at restart delivery.timeout),
    setting!("delivery.allowed_private_networks" at restart delivery.allowed_private_networks),
    setting!("delivery.user_agent" at restart delivery.user_agent),
    setting!("delivery.retry_schedule_s" at restart delivery.retry_schedule),
    setting!("delivery.max_age_s" at restart delivery.max_age),
    setting!("delivery.retry_after_max_s" at restart delivery.retry_after_max),
    setting!("delivery.signing_grace_s" now delivery.signing_grace),
    setting!("delivery.deactivate_after_s" at restart delivery.deactivate_after),
    setting!("outbound.ca_files" at restart outbound.authorities),
    setting!("outbound.proxy" at restart outbound.proxy),
    setting!("dead_letters.retention_s" now dead_letters.retention),
    setting!("dead_letters.count_max" now dead_letters.count_max),
    setting!("history.enabled" at restart history.enabled),
    setting!("history.retention_s" now history.retention),
    setting!("history.count_max" now history.count_max),
    setting!("history.response_bytes_max" at restart history.response_bytes_max),
    setting!("history.bodies" at restart history.bodies),
    setting!("history.bodies_retention_s" now history.bodies_retention),
    setting!("history.bodies_bytes_max" now history.bodies_bytes_max),
    setting!("traces.otlp_url" at restart traces.otlp_url),
    setting!("traces.headers" at restart traces.headers),
    setting!("traces.service_name" at restart traces.service_name),
    setting!("traces.sample_ratio" at restart traces.sample_ratio),
    setting!("traces.timeout_ms" at restart traces.timeout),
    setting!("traces.send_traceparent" at restart traces.send_traceparent),
    setting!("log.level" now log.level),
    setting!("log.format" at restart log.format),
    setting!("webhooks" now webhooks),
];

/// Settings that stand in one field with another: the name, and the one that [`SETTINGS`] has for both.
#[cfg(test)]
const TOLD_WITH: [(&str, &str); 2] =
    [("store.previous_encryption_keys", "store.encryption_key"), ("outbound.proxy_resolves", "outbound.proxy")];

impl Settings {
    /// Which settings of `read` differ from these, with which hikyaku runs.
    pub fn changes(&self, read: &Self) -> Changes {
        let differing = SETTINGS.iter().filter(|setting| !(setting.is_same)(self, read));
        let (now, at_restart): (Vec<&Setting>, Vec<&Setting>) = differing.partition(|setting| setting.can_change);
        let names = |settings: Vec<&Setting>| settings.into_iter().map(|setting| setting.name).collect();
        Changes { now: names(now), at_restart: names(at_restart) }
    }

    /// These, with all of `read` that can change now.
    #[must_use]
    pub fn taking(&self, read: &Self) -> Self {
        let mut next = self.clone();
        for setting in SETTINGS.iter().filter(|setting| setting.can_change) {
            (setting.take)(&mut next, read);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/systemd.md");
    const EXAMPLE: &str = include_str!("../../hikyaku.example.toml");

    /// Every setting of the example, those of a list as the list: `section.key`, or `webhooks`.
    fn of_the_example() -> BTreeSet<String> {
        let (mut section, mut known) = (String::new(), BTreeSet::new());
        for line in EXAMPLE.lines() {
            if let Some(list) = line.strip_prefix("#[[") {
                section = String::new();
                let list = list.trim_end_matches("]]");
                known.insert(list.strip_prefix("webhooks.").map_or(list, |_| "webhooks").to_owned());
            } else if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_owned();
            } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
                known.insert(format!("{section}.{key}"));
            }
        }
        known
    }

    #[test]
    fn every_setting_is_in_the_list_and_no_other() {
        let listed = SETTINGS.iter().map(|setting| setting.name.to_owned());
        let told_with = TOLD_WITH.iter().map(|(name, _)| (*name).to_owned());
        assert_eq!(listed.chain(told_with).collect::<BTreeSet<_>>(), of_the_example());
    }

    #[test]
    fn what_can_change_while_it_runs_stands_in_the_documentation() {
        let (_, table) = DOCUMENT.split_once("<!-- can change -->").expect("its beginning is marked");
        let (table, _) = table.split_once("<!-- needs a restart -->").expect("its end is marked");
        let told: BTreeSet<&str> = table.split('`').skip(1).step_by(2).collect();
        let listed: BTreeSet<&str> =
            SETTINGS.iter().filter(|setting| setting.can_change).map(|setting| setting.name).collect();
        assert_eq!(told, listed);
    }

    #[test]
    fn what_can_change_is_taken_and_the_rest_stays_and_is_named() {
        let running = Settings::default();
        let mut read = Settings::default();
        read.log.level = crate::telemetry::LogLevel::Debug;
        read.dead_letters.retention = Duration::from_secs(60);
        read.delivery.concurrency = 7;
        let changes = running.changes(&read);
        assert_eq!(changes.now, ["dead_letters.retention_s", "log.level"]);
        assert_eq!(changes.at_restart, ["delivery.concurrency"]);
        assert!(changes.has("log") && changes.has("dead_letters.retention_s") && !changes.has("delivery"));
        let next = running.taking(&read);
        assert_eq!((next.log.level, next.delivery.concurrency), (read.log.level, running.delivery.concurrency));
        assert_eq!(next.changes(&read).now, Vec::<&str>::new());
    }
}
