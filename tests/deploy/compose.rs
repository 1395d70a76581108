//! `docker-compose.yml`, as the compose tool itself resolves it for each profile. Nothing is started here: docs/containers.md tells
//! what was, by hand.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::Value;

use crate::dockerfile::{said_by, words_of};
use crate::support::{path, run, said, text};
use crate::tools::debian13;

/// The profiles, and the services of each.
const PROFILES: [(&str, &[&str]); 4] = [
    ("misskey", &["hikyaku"]),
    ("rabbitmq", &["ingest", "postgres", "rabbitmq", "worker"]),
    ("monitoring", &["grafana", "prometheus"]),
    ("demo", &["demo"]),
];
/// Seconds that hikyaku needs at most to end: `server.shutdown_grace_s`, and 10 for what comes after.
const TO_END_S: u64 = 15 + 10;

/// The secrets, as the command at the head of the file makes them.
fn secrets() -> Vec<(String, String)> {
    let file = text("docker-compose.yml");
    let command = file.lines().find_map(|line| line.strip_prefix("#   for name in ")).expect("a command");
    let command = format!("cd \"$FOLDER\" && for name in {command} && cat .env");
    let folder = tempfile::tempdir().expect("a folder");
    let made = run(Command::new("bash").args(["-c", &command]).env("FOLDER", folder.path()));
    let pairs =
        String::from_utf8_lossy(&made.stdout).lines().filter_map(|line| line.split_once('=').map(own)).collect();
    assert!(made.status.success(), "{}", said(&made));
    pairs
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Runs the compose tool on the file, with these variables and no other secrets.
fn compose(args: &[&str], variables: &[(String, String)]) -> Output {
    let mut compose = debian13("libexec/docker/cli-plugins/docker-compose");
    compose.arg("--file").arg(path("docker-compose.yml")).args(["--env-file", "/dev/null"]).args(args);
    for name in ["HIKYAKU_ADMIN_TOKEN", "RABBITMQ_PASSWORD", "POSTGRES_PASSWORD", "COMPOSE_PROFILES"] {
        compose.env_remove(name);
    }
    run(compose.envs(variables.iter().cloned()))
}

/// The services of a profile, resolved.
fn services(profile: &str) -> serde_json::Map<String, Value> {
    let output = compose(&["--profile", profile, "config", "--format", "json"], &secrets());
    assert!(output.status.success() && output.stderr.is_empty(), "{profile}: {}", said(&output));
    let resolved: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    resolved["services"].as_object().expect("services").clone()
}

/// Every service of every profile.
fn all() -> Vec<(String, Value)> {
    PROFILES.iter().flat_map(|(profile, _)| services(profile)).collect()
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn each_profile_starts_its_services_and_no_others() {
    for (profile, expected) in PROFILES {
        let services = services(profile);
        let names: BTreeSet<&str> = services.keys().map(String::as_str).collect();
        assert_eq!(names, expected.iter().copied().collect(), "{profile}");
    }
    let output = compose(&["config", "--services"], &secrets());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "", "without a profile nothing");
}

#[test]
fn without_its_secrets_it_says_how_to_make_them() {
    let secrets = secrets();
    for (missing, _) in &secrets {
        let others: Vec<_> = secrets.iter().filter(|(name, _)| name != missing).cloned().collect();
        let output = compose(&["--profile", "misskey", "config", "--quiet"], &others);
        let words = said(&output);
        assert!(!output.status.success() && words.contains(missing), "{missing}: {words}");
        assert!(words.contains("put it into .env, as the head of docker-compose.yml says"), "{missing}: {words}");
    }
}

#[test]
fn no_secret_stands_in_the_file_and_each_is_made_anew() {
    let (made, again) = (secrets(), secrets());
    assert_eq!(made.len(), 3);
    for ((name, secret), (_, other)) in made.iter().zip(&again) {
        let is_of_a_url = secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert!(secret.len() == 64 && secret != other && is_of_a_url, "{name}={secret}");
    }
    // A value that is secret differs when the secrets do.
    let of = |secrets: &[(String, String)]| {
        let output = compose(&["--profile", "*", "config", "--format", "json"], secrets);
        let resolved: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        resolved["services"].clone()
    };
    let (one, two) = (of(&made), of(&again));
    let mut secret = 0;
    for (service, resolved) in one.as_object().expect("services") {
        for (name, value) in resolved["environment"].as_object().into_iter().flatten() {
            let value = value.as_str().expect("a text");
            let is_secret =
                ["_TOKEN", "_PASS", "_PASSWORD", "SECRET"].iter().any(|end| name.ends_with(end)) || value.contains('@');
            if is_secret {
                assert_ne!(
                    value,
                    two[service]["environment"][name].as_str().expect("a text"),
                    "{service}: {name} is {value}"
                );
                secret += 1;
            }
        }
    }
    assert!(secret >= 8, "{secret} secrets are looked at");
}

#[test]
fn every_container_has_one_version_and_may_do_little_and_use_so_much() {
    let all = all();
    assert_eq!(all.len(), 8);
    for (name, service) in all {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no version"));
        let numbers = tag.trim_start_matches('v').split('-').next().unwrap_or_default();
        assert!(
            numbers.split('.').count() >= 2 && numbers.split('.').all(|n| n.parse::<u32>().is_ok()),
            "{name}: {image}"
        );
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(list(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(service["cap_add"].is_null() && service["privileged"].is_null(), "{name}");
        assert_eq!(list(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert!(service["mem_limit"].is_string() && service["pids_limit"].is_number(), "{name} has no bounds");
        assert_eq!(service["logging"]["options"]["max-size"], "10m", "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
        }
    }
}

#[test]
fn every_container_that_stays_has_a_health_check_and_time_to_end() {
    for (name, service) in all() {
        let is_ours = !service["build"].is_null();
        if name == "demo" {
            assert_eq!(service["restart"], "no", "its exit code is the answer");
            continue;
        }
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        let test = list(&service["healthcheck"]["test"]);
        if is_ours {
            assert!(test.is_empty(), "{name} has the image's");
            let grace =
                service["stop_grace_period"].as_str().and_then(|grace| grace.strip_suffix('s')).expect("seconds");
            assert!(grace.parse::<u64>().expect("seconds") > TO_END_S, "{name}: {grace} s");
        } else {
            assert!(test.len() > 1 && test[0] == "CMD", "{name}: {test:?}");
        }
    }
    assert_eq!(words_of("HEALTHCHECK"), ["hikyaku", "check", "--health"]);
    assert!(text("hikyaku.example.toml").contains(&format!("\nshutdown_grace_s = {}\n", TO_END_S - 10)));
}

#[test]
fn hikyakus_containers_are_built_from_the_dockerfile_and_reached_where_it_listens() {
    let port = said_by("EXPOSE").concat();
    let [volume] = said_by("VOLUME").try_into().expect("one volume");
    let user = said_by("USER").concat();
    for (name, service) in all().into_iter().filter(|(_, service)| !service["build"].is_null()) {
        assert_eq!(service["build"]["dockerfile"], "deploy/Dockerfile", "{name}");
        assert_eq!(service["image"], format!("hikyaku:{}", env!("CARGO_PKG_VERSION")), "{name}");
        for published in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(published["target"].to_string(), port, "{name}");
        }
        // Where it writes: a volume, or memory that is its user's.
        let volumes = service["volumes"].as_array().into_iter().flatten();
        let is_kept = volumes.filter(|mounted| mounted["type"] == "volume").any(|mounted| mounted["target"] == *volume);
        let (uid, gid) = user.split_once(':').expect("user and group");
        let in_memory = format!("{volume}:uid={uid},gid={gid},mode=0700");
        let is_in_memory = list(&service["tmpfs"]).iter().any(|mounted| mounted.starts_with(&in_memory));
        assert!(is_kept || is_in_memory, "{name} cannot write to {volume}");
        assert_eq!(is_kept, name == "hikyaku", "{name}");
    }
}

#[test]
fn everything_that_is_mounted_is_there() {
    let mut mounted = 0;
    for (name, service) in all() {
        for volume in service["volumes"].as_array().into_iter().flatten().filter(|volume| volume["type"] == "bind") {
            let source = volume["source"].as_str().expect("a path");
            assert!(path(source).exists(), "{name}: {source} is not there");
            assert_eq!(volume["read_only"], true, "{name}: {source}");
            mounted += 1;
        }
    }
    assert!(mounted >= 5, "{mounted} are looked at");
    let settings = services("misskey")["hikyaku"]["secrets"][0]["target"].clone();
    assert_eq!(settings, format!("{}/hikyaku.toml", said_by("WORKDIR")[1]), "where hikyaku looks for it");
}
