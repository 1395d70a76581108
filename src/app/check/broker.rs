//! RabbitMQ: whether it is there, of a version that is supported, with our topology or room for it, and lets us do what we do.

use std::time::Duration;

use crate::app::service::broker_options;
use crate::cli::Finding;
use crate::config::Settings;
use crate::queue::{BrokerLook, BrokerUrl, Queue};

const ABOUT: &str = "queue";
/// The oldest RabbitMQ that hikyaku works with: quorum queues that dead-letter at least once came with it.
const OLDEST: (u32, u32) = (3, 10);
/// The oldest that gets fixes (rabbitmq.com/release-information).
const ADVISED: (u32, u32) = (4, 0);

/// What is found at `url`.
pub(super) async fn look(settings: &Settings, url: &BrokerUrl) -> Vec<Finding> {
    match Queue::look_at_rabbitmq(&broker_options(settings, url)).await {
        Ok(seen) => findings(settings, url, &seen),
        Err(error) => vec![Finding::of_error(ABOUT, &error)],
    }
}

/// How long it may take, once it has answered at all: some hundred questions, one after the other.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(15);

fn findings(settings: &Settings, url: &BrokerUrl, seen: &BrokerLook) -> Vec<Finding> {
    let mut findings = vec![of_version(url, seen.version.as_deref())];
    findings.extend(of_topology(settings, seen));
    findings.extend(of_rights(settings, seen));
    if let Some(why) = &seen.blocked {
        findings.push(Finding::error(
            ABOUT,
            format!("RabbitMQ takes no messages for now: {why}"),
            "free memory or disk on its machine, or raise vm_memory_high_watermark or lower disk_free_limit; `rabbitmqctl status` \
             shows its alarms. Until then events are answered 503 and no attempt is begun",
        ));
    }
    if seen.rejected > 0 {
        findings.push(Finding::warning(
            ABOUT,
            format!("{} messages were rejected and wait for a person", seen.rejected),
            "`hikyaku rejected list` shows them with the reason",
        ));
    }
    findings
}

fn of_version(url: &BrokerUrl, version: Option<&str>) -> Finding {
    let Some(version) = version else {
        return Finding::warning(
            ABOUT,
            format!("{url} does not tell its version"),
            "is that RabbitMQ? Nothing else is tested",
        );
    };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let what = format!("RabbitMQ {version} at {url}");
    let (oldest, advised) = (format!("{}.{}", OLDEST.0, OLDEST.1), format!("{}.{}", ADVISED.0, ADVISED.1));
    if found < OLDEST {
        let why = format!(
            "hikyaku needs {oldest} or later, and {advised} is advised: older ones have no queues that lose nothing"
        );
        Finding::error(ABOUT, what, format!("{why}. Upgrade RabbitMQ"))
    } else if found < ADVISED {
        let hint = format!("it works; {advised} or later is advised, since older ones get no more fixes");
        Finding::ok(ABOUT, what).hint(hint)
    } else {
        Finding::ok(ABOUT, what)
    }
}

fn of_topology(settings: &Settings, seen: &BrokerLook) -> Vec<Finding> {
    let prefix = &settings.queue.prefix;
    if !seen.clashes.is_empty() {
        return seen.clashes.iter().map(|clash| Finding::of_error(ABOUT, clash)).collect();
    }
    let (present, absent) = (seen.present.len(), seen.absent.len());
    vec![match (present, absent) {
        (_, 0) => {
            Finding::ok(ABOUT, format!("all {present} exchanges and queues {prefix}* are there and as they must be"))
        }
        (0, _) => Finding::ok(ABOUT, format!("none of the exchanges and queues {prefix}* is there"))
            .hint("`hikyaku serve` declares them"),
        _ => Finding::warning(
            ABOUT,
            format!("of the exchanges and queues {prefix}*, {absent} are missing: {}", some(&seen.absent)),
            "`hikyaku serve` declares them anew; who deleted them? What lay in them is gone",
        ),
    }]
}

fn of_rights(settings: &Settings, seen: &BrokerLook) -> Vec<Finding> {
    let lacking = [
        ("configure", "declare", &seen.not_configurable),
        ("write", "publish or bind to", &seen.not_writable),
        ("read", "consume or bind from", &seen.not_readable),
    ];
    let pattern = format!("'^{}'", settings.queue.prefix.replace('.', "\\."));
    let finding = |(right, does, names): (&str, &str, &Vec<String>)| {
        (!names.is_empty()).then(|| {
            Finding::error(
                ABOUT,
                format!("the user may not {does} {} (RabbitMQ's right to {right})", some(names)),
                format!(
                    "`rabbitmqctl set_permissions -p VHOST USER {pattern} {pattern} {pattern}`, with those of queue.url"
                ),
            )
        })
    };
    let findings: Vec<_> = lacking.into_iter().filter_map(finding).collect();
    if findings.is_empty() {
        let prefix = &settings.queue.prefix;
        return vec![Finding::ok(
            ABOUT,
            format!("the user may configure, write and read everything that is called {prefix}*"),
        )];
    }
    findings
}

/// The first of `names`, and how many more there are.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Level;

    #[test]
    fn versions_are_told_apart_by_what_they_can() {
        let url = BrokerUrl::parse("amqp://u:hunter2@h").expect("valid");
        for (version, level, is_advised) in [
            ("3.9.29", Level::Error, false),
            ("3.10.8", Level::Ok, false),
            ("3.13.7", Level::Ok, false),
            ("4.0.5", Level::Ok, true),
            ("4.3.6+1", Level::Ok, true),
            ("unreadable", Level::Error, false),
        ] {
            let finding = of_version(&url, Some(version));
            assert_eq!((finding.level, finding.mend.is_none()), (level, is_advised), "{version}: {finding:?}");
            assert!(!finding.what.contains("hunter2"));
        }
        assert_eq!(of_version(&url, None).level, Level::Warning);
    }

    #[test]
    fn a_part_of_the_topology_that_is_gone_is_named() {
        let seen = BrokerLook {
            present: vec!["hikyaku.work".to_owned()],
            absent: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(),
            ..BrokerLook::default()
        };
        let findings = of_topology(&Settings::default(), &seen);
        assert!(findings[0].what.contains("5 are missing: a, b, c and 2 more"), "{findings:?}");
    }
}
