//! Misskey: whether it is there, who it is, what its clock shows, and what must be set there so that it can reach us.

use std::net::IpAddr;

use url::{Host, Url};

use super::clock;
use crate::cli::Finding;
use crate::clock::SharedClock;
use crate::config::Settings;
use crate::decide::AddressPolicy;
use crate::misskey::{About, Misskey};

const ABOUT: &str = "misskey";

/// What is found.
pub(super) async fn look(settings: &Settings, time: &SharedClock) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(url) = &settings.misskey.url {
        findings.extend(of_misskey(settings, url, time).await);
    }
    if let Some(here) = &settings.misskey.ingest_url {
        findings.push(of_way_here(&here.url).await);
    }
    if settings.misskey.ingest.is_empty() && (settings.misskey.url.is_some() || settings.misskey.ingest_url.is_some()) {
        findings.push(Finding::warning(
            ABOUT,
            "there is no [[misskey.ingest]], so what Misskey sends here is answered 503",
            "set one with the secret that Misskey's webhooks to hikyaku have: docs/misskey.md",
        ));
    }
    findings
}

async fn of_misskey(settings: &Settings, url: &Url, time: &SharedClock) -> Vec<Finding> {
    let misskey = match Misskey::new(url, &settings.outbound.authorities) {
        Ok(misskey) => misskey,
        Err(error) => return vec![Finding::of_error(ABOUT, &error)],
    };
    let before = time.now();
    let about = match misskey.about().await {
        Ok(about) => about,
        Err(error) => {
            let mend = "is misskey.url right, and does Misskey run? Deliveries do not depend on it; people's tokens, and what Misskey \
                        gave up, do";
            return vec![Finding::warning(ABOUT, format!("{}: {error}", misskey.origin()), mend)];
        }
    };
    let mut findings = vec![Finding::ok(ABOUT, format!("Misskey {} at {}", about.version, misskey.origin()))];
    findings.extend(of_name(&misskey.origin(), &about));
    findings.extend(about.now.map(|now| {
        // The header has whole seconds: it may have been any moment of that one.
        clock::compare("Misskey's", now, now.plus(std::time::Duration::from_millis(999)), before, time.now())
    }));
    if let Some(token) = &settings.misskey.token
        && let Err(error) = misskey.whoami(token).await
    {
        let mend =
            "make a new one, of a moderator, with the permissions read:account and read:admin:queue: docs/misskey.md";
        findings.push(Finding::error(ABOUT, format!("misskey.token: {error}"), mend));
    }
    findings
}

/// What its events have as their `server`, and what ours have that lack one, is to be the same.
fn of_name(origin: &str, about: &About) -> Option<Finding> {
    let uri = about.uri.as_deref()?.trim_end_matches('/');
    (uri != origin).then(|| {
        Finding::warning(
            ABOUT,
            format!("it calls itself {uri}, and misskey.url is {origin}"),
            "receivers are told misskey.url as the server of events that do not say theirs: set it to what Misskey calls itself",
        )
    })
}

/// Misskey sends nothing to private addresses unless it is told to.
async fn of_way_here(url: &Url) -> Finding {
    let what = format!("Misskey is to reach hikyaku at {url}");
    let port = url.port_or_known_default().unwrap_or(0);
    let addresses: Vec<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => match tokio::net::lookup_host((name, port)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(error) => {
                return Finding::warning(
                    ABOUT,
                    format!("{what}, and that name is not found here: {error}"),
                    "Misskey asks DNS and does not look into /etc/hosts: `getent hosts` where Misskey runs tells whether it is known",
                );
            }
        },
        None => Vec::new(),
    };
    let is_private = |address: &&IpAddr| AddressPolicy::default().check(**address, port).is_err();
    let mut private: Vec<String> = addresses.iter().filter(is_private).map(network).collect();
    private.sort();
    private.dedup();
    if private.is_empty() {
        return Finding::ok(ABOUT, what);
    }
    Finding::ok(ABOUT, format!("{what}, which is a private address")).hint(format!(
        "Misskey sends nothing there unless allowedPrivateNetworks in its .config/default.yml has {}, and it was restarted since: \
         docs/misskey.md. That cannot be seen from here",
        private.join(" and ")
    ))
}

fn network(address: &IpAddr) -> String {
    format!("'{address}/{}'", if address.is_ipv4() { 32 } else { 128 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_misskey_keeps_from_is_told_as_its_setting_needs_it() {
        for (url, network) in [
            ("http://172.28.0.10:8787/ingest/misskey", "'172.28.0.10/32'"),
            ("http://[fd00::7]:8787/ingest/misskey", "'fd00::7/128'"),
            ("http://127.0.0.1:8787/ingest/misskey", "'127.0.0.1/32'"),
        ] {
            let finding = of_way_here(&url.parse().expect("a URL")).await;
            let hint = finding.mend.expect("a hint");
            assert!(hint.contains(network) && hint.contains("allowedPrivateNetworks"), "{hint}");
        }
        let public = of_way_here(&"https://9.9.9.9/ingest/misskey".parse().expect("a URL")).await;
        assert_eq!(public.mend, None);
    }
}
