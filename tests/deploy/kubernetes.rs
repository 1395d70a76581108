//! `deploy/kubernetes`: kustomize builds it, the definitions of Kubernetes, KEDA and the Prometheus Operator accept it, its parts fit
//! together, and the program answers the probes when it is started as the manifests say. Nothing is applied: there is no cluster.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::dockerfile::said_by;
use crate::support::{PATIENCE, Running, path, program, run, said, text};
use crate::tools::{debian13, node, pypi};

/// The oldest Kubernetes that has all that is used (`preStop.sleep`), and the newest whose definitions the checker has.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];
/// What docs/kubernetes.md has people apply.
const OVERLAYS: [&str; 2] = ["single", "cluster"];
/// Seconds after `server.shutdown_grace_s` within which hikyaku has ended.
const TO_CLOSE_S: u64 = 10;

/// YAML as JSON, a document each.
fn documents(yaml: &[u8]) -> Vec<Value> {
    let script = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let mut python = Command::new("/usr/bin/python3");
    let mut python = python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
    python.stdin.take().expect("piped").write_all(yaml).expect("read");
    serde_json::from_slice(&python.wait_with_output().expect("its end").stdout).expect("JSON")
}

/// What kustomize makes of a folder of `deploy/kubernetes`, as YAML.
fn built(overlay: &str, components: &[&str]) -> Vec<u8> {
    let folder = tempfile::Builder::new().prefix("overlay-").tempdir_in(path("deploy/kubernetes")).expect("a folder");
    let mut kustomization = format!("resources:\n  - ../{overlay}\n");
    if !components.is_empty() {
        kustomization += "components:\n";
        components.iter().for_each(|component| kustomization += &format!("  - ../components/{component}\n"));
    }
    fs::write(folder.path().join("kustomization.yaml"), kustomization).expect("written");
    let output = run(debian13("bin/kustomize").arg("build").arg(folder.path()));
    assert!(output.status.success() && output.stderr.is_empty(), "{overlay}: {}", said(&output));
    output.stdout
}

/// The objects of an overlay, with the components that it can have.
fn objects(overlay: &str) -> Vec<Value> {
    documents(&built(overlay, components(overlay)))
}

fn components(overlay: &str) -> &'static [&'static str] {
    if overlay == "cluster" { &["monitoring", "keda"] } else { &["monitoring"] }
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn is_of_kubernetes(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().expect("a version");
    !version.contains("coreos.com") && !version.contains("keda.sh")
}

fn labels(object: &Value) -> BTreeSet<(String, String)> {
    let pairs = object.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect()
}

/// The names of the deployments whose pods `selector` selects.
fn selected(objects: &[Value], selector: &Value) -> Vec<String> {
    let wanted = labels(selector);
    let pods = of_kind(objects, "Deployment");
    let pods =
        pods.filter(|deployment| labels(&deployment["spec"]["template"]["metadata"]["labels"]).is_superset(&wanted));
    pods.map(|deployment| deployment["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn kubernetes_own_definitions_accept_every_object() {
    for overlay in OVERLAYS {
        let folder = tempfile::tempdir().expect("a folder");
        let objects: Vec<Value> = objects(overlay).into_iter().filter(is_of_kubernetes).collect();
        let mut files = Vec::new();
        for (number, object) in objects.iter().enumerate() {
            let file = folder.path().join(format!("{number}.yaml"));
            fs::write(&file, object.to_string()).expect("written");
            files.push(file);
        }
        for version in VERSIONS {
            let output =
                run(pypi("kubernetes-validate").args(["--strict", "--kubernetes-version", version]).args(&files));
            let words = said(&output);
            assert!(output.status.success(), "{overlay}, {version}:\n{words}");
            assert_eq!(words.matches(" passed for resource ").count(), objects.len(), "{overlay}, {version}:\n{words}");
        }
    }
}

#[test]
fn the_definitions_of_keda_and_of_the_prometheus_operator_accept_the_rest() {
    let mut objects: Vec<Value> = objects("cluster").into_iter().filter(|object| !is_of_kubernetes(object)).collect();
    let kinds: BTreeSet<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["PrometheusRule", "ScaledObject", "ServiceMonitor", "TriggerAuthentication"]));
    // That the checker finds something, too.
    objects.push(json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "wrong"},
                        "spec": {"scaleTargetRef": {"name": "x"}, "minReplicaCount": "two", "triggers": []}}));
    objects.push(
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "misspelt"},
                        "spec": {"selector": {}, "endpoints": [{"intervall": "15s"}]}}),
    );
    let mut node =
        node("validate.mjs").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node");
    let mut stdin = node.stdin.take().expect("piped");
    stdin.write_all(Value::from(objects.clone()).to_string().as_bytes()).expect("read");
    drop(stdin);
    let output = node.wait_with_output().expect("its end");
    let words = said(&output);
    assert_eq!(words.matches(": valid\n").count(), objects.len() - 2, "{words}");
    assert!(words.contains("ScaledObject wrong: ") && words.contains("minReplicaCount"), "{words}");
    assert!(words.contains("ServiceMonitor misspelt: unknown: spec.endpoints.0.intervall"), "{words}");
}

#[test]
fn every_pod_may_do_as_little_as_the_image_needs() {
    let [user, group] =
        said_by("USER").concat().split(':').map(|id| id.parse::<u32>().expect("a number")).collect::<Vec<_>>()[..]
    else {
        panic!("user and group")
    };
    for (overlay, expected) in OVERLAYS.into_iter().zip([1, 2]) {
        let objects = objects(overlay);
        let namespace = of_kind(&objects, "Namespace").next().expect("a namespace of its own");
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        assert_eq!(of_kind(&objects, "Deployment").count(), expected, "{overlay}");
        for deployment in of_kind(&objects, "Deployment") {
            let (name, pod) = (&deployment["metadata"]["name"], &deployment["spec"]["template"]["spec"]);
            let security = &pod["securityContext"];
            assert_eq!(
                (&security["runAsNonRoot"], &security["seccompProfile"]["type"]),
                (&json!(true), &json!("RuntimeDefault"))
            );
            for (field, id) in [("runAsUser", user), ("runAsGroup", group), ("fsGroup", group)] {
                assert_eq!(security[field], id, "{name}: {field}");
            }
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            let [container] = pod["containers"].as_array().expect("containers").as_slice() else {
                panic!("{name}: one")
            };
            let allowed = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                                 "capabilities": {"drop": ["ALL"]}});
            assert_eq!(container["securityContext"], allowed, "{name}");
            let resources = &container["resources"];
            assert!(resources["requests"]["cpu"].is_string() && resources["requests"]["memory"].is_string(), "{name}");
            assert!(resources["limits"]["memory"].is_string(), "{name}");
            let version = format!(":{}", env!("CARGO_PKG_VERSION"));
            assert!(
                container["image"].as_str().expect("an image").ends_with(&version),
                "{name}: {}",
                container["image"]
            );
        }
    }
}

#[test]
fn no_secret_stands_in_a_manifest_and_the_document_says_how_to_make_each() {
    let page = text("docs/kubernetes.md");
    for overlay in OVERLAYS {
        let objects = objects(overlay);
        assert_eq!(of_kind(&objects, "Secret").count(), 0, "{overlay}");
        for deployment in of_kind(&objects, "Deployment") {
            let pod = &deployment["spec"]["template"]["spec"];
            for variable in pod["containers"][0]["env"].as_array().expect("variables") {
                let name = variable["name"].as_str().expect("a name");
                let is_secret = ["TOKEN", "URL", "KEY"].iter().any(|end| name.ends_with(end));
                assert_eq!(variable["value"].is_null(), is_secret, "{name}");
                if is_secret {
                    let of = &variable["valueFrom"]["secretKeyRef"];
                    assert_eq!(of["name"], "hikyaku");
                    let key = of["key"].as_str().expect("a key");
                    assert!(page.contains(&format!("--from-literal={key}=")), "docs/kubernetes.md does not make {key}");
                }
            }
            for volume in
                pod["volumes"].as_array().expect("volumes").iter().filter(|volume| !volume["secret"].is_null())
            {
                let name = volume["secret"]["secretName"].as_str().expect("a name");
                assert!(
                    page.contains(&format!("create secret generic {name} ")),
                    "docs/kubernetes.md does not make {name}"
                );
            }
        }
        for asked in
            of_kind(&objects, "TriggerAuthentication").flat_map(|found| found["spec"]["secretTargetRef"].as_array())
        {
            let name = asked[0]["name"].as_str().expect("a name");
            assert!(
                page.contains(&format!("create secret generic {name} ")),
                "docs/kubernetes.md does not make {name}"
            );
        }
    }
}

#[test]
fn services_budgets_and_monitors_select_the_pods_that_they_are_for() {
    let both = vec!["hikyaku-ingest".to_owned(), "hikyaku-worker".to_owned()];
    for (overlay, ingest, every) in
        [("single", "hikyaku", vec!["hikyaku".to_owned()]), ("cluster", "hikyaku-ingest", both)]
    {
        let objects = objects(overlay);
        let service = |name: &str| {
            of_kind(&objects, "Service").find(|found| found["metadata"]["name"] == name).expect("it").clone()
        };
        assert_eq!(selected(&objects, &service("hikyaku")["spec"]["selector"]), [ingest], "{overlay}");
        let metrics = service("hikyaku-metrics");
        assert_eq!(selected(&objects, &metrics["spec"]["selector"]), every, "{overlay}");
        for deployment in of_kind(&objects, "Deployment") {
            let name = deployment["metadata"]["name"].as_str().expect("a name");
            assert_eq!(selected(&objects, &deployment["spec"]["selector"]["matchLabels"]), [name], "only its own pods");
        }
        for budget in of_kind(&objects, "PodDisruptionBudget") {
            let name = budget["metadata"]["name"].as_str().expect("a name");
            assert_eq!(selected(&objects, &budget["spec"]["selector"]["matchLabels"]), [name]);
        }
        let monitor = of_kind(&objects, "ServiceMonitor").next().expect("one");
        let watched = labels(&monitor["spec"]["selector"]["matchLabels"]);
        let services =
            of_kind(&objects, "Service").filter(|service| labels(&service["metadata"]["labels"]).is_superset(&watched));
        let services: Vec<&Value> = services.map(|service| &service["metadata"]["name"]).collect();
        assert_eq!(services, ["hikyaku-metrics"], "{overlay}");
        assert_eq!(monitor["spec"]["endpoints"][0]["port"], metrics["spec"]["ports"][0]["name"]);
        let namespaces = objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str());
        assert_eq!(namespaces.collect::<BTreeSet<_>>(), BTreeSet::from(["hikyaku"]), "{overlay}: all in one");
    }
}

#[test]
fn the_address_that_misskey_is_told_of_is_one_and_fixed() {
    let page = text("docs/kubernetes.md");
    for overlay in OVERLAYS {
        let objects = objects(overlay);
        let service = of_kind(&objects, "Service").find(|found| found["metadata"]["name"] == "hikyaku").expect("it");
        let address = service["spec"]["clusterIP"].as_str().expect("a fixed address");
        assert!(page.contains(&format!("- '{address}/32'")), "allowedPrivateNetworks in docs/kubernetes.md");
        assert!(page.contains(&format!("http://{address}:8787/ingest/misskey")), "ingest_url in docs/kubernetes.md");
        let ports: Vec<&Value> =
            service["spec"]["ports"].as_array().expect("ports").iter().map(|port| &port["port"]).collect();
        assert_eq!(ports, [8787], "Misskey's users reach this and nothing else, no metrics either");
    }
}

#[test]
fn kubernetes_waits_until_hikyaku_has_drained() {
    let example = text("hikyaku.example.toml");
    let grace = example.lines().find_map(|line| line.strip_prefix("shutdown_grace_s = ")).expect("the default");
    for overlay in OVERLAYS {
        for deployment in of_kind(&objects(overlay), "Deployment") {
            let pod = &deployment["spec"]["template"]["spec"];
            let sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("seconds");
            let needed = sleep + grace.parse::<u64>().expect("seconds") + TO_CLOSE_S;
            let given = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
            assert!(sleep > 0 && given > needed, "{overlay}: {given} s for {needed} s");
        }
    }
    let single = objects("single");
    let deployment = of_kind(&single, "Deployment").next().expect("one");
    assert_eq!(
        (&deployment["spec"]["strategy"]["type"], &deployment["spec"]["replicas"]),
        (&json!("Recreate"), &json!(1))
    );
}

#[test]
fn keda_scales_the_workers_by_queues_that_there_are_and_nobody_sets_them_back() {
    let objects = objects("cluster");
    let scaled = of_kind(&objects, "ScaledObject").next().expect("one");
    let target = &scaled["spec"]["scaleTargetRef"];
    let worker =
        of_kind(&objects, "Deployment").find(|found| found["metadata"]["name"] == target["name"]).expect("it is there");
    assert_eq!((&target["kind"], &worker["spec"]["replicas"]), (&json!("Deployment"), &Value::Null));
    assert_eq!(worker["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"], "worker");
    let topology = text("docs/wire-format.md") + &text("docs/RUNBOOK.md");
    let triggers = scaled["spec"]["triggers"].as_array().expect("triggers");
    let queues: Vec<&str> = triggers.iter().filter_map(|trigger| trigger["metadata"]["queueName"].as_str()).collect();
    assert_eq!(queues, ["hikyaku.work", "hikyaku.retry"]);
    for queue in queues {
        assert!(topology.contains(queue), "{queue} is in no document");
    }
    let authentication = of_kind(&objects, "TriggerAuthentication").next().expect("one");
    for trigger in triggers {
        assert_eq!(trigger["authenticationRef"]["name"], authentication["metadata"]["name"]);
    }
}

#[test]
fn the_rules_are_those_of_deploy_prometheus() {
    let rules = &documents(&fs::read(path("deploy/prometheus/rules.yml")).expect("rules.yml"))[0]["groups"];
    for overlay in OVERLAYS {
        let objects = objects(overlay);
        let resource = of_kind(&objects, "PrometheusRule").next().expect("one");
        assert!(
            resource["spec"]["groups"] == *rules,
            "deploy/kubernetes/components/monitoring/prometheus-rule.yaml is not as rules.yml"
        );
    }
}

/// A port that is free.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[test]
fn started_as_the_manifest_says_the_program_answers_the_probes() {
    let objects = objects("single");
    let pod = of_kind(&objects, "Deployment").next().expect("one")["spec"]["template"]["spec"].clone();
    let container = &pod["containers"][0];
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("hikyaku.toml");
    fs::write(&settings, "").expect("written");
    let args: Vec<String> =
        container["args"].as_array().expect("arguments").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let mounted = format!("{}/hikyaku.toml", container["volumeMounts"][1]["mountPath"].as_str().expect("a folder"));
    assert!(args.contains(&mounted), "{args:?} is not where the settings are mounted");
    let args: Vec<String> =
        args.into_iter().map(|arg| if arg == mounted { settings.display().to_string() } else { arg }).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();

    let (http, metrics) = (port(), port());
    let mut start = program(folder.path(), &args);
    start.env("HIKYAKU__SERVER__LISTEN", format!("0.0.0.0:{http}"));
    for variable in container["env"].as_array().expect("variables") {
        let name = variable["name"].as_str().expect("a name");
        let value = variable["value"].as_str().unwrap_or("a-token-from-the-secret");
        start.env(name, value.replace(":9787", &format!(":{metrics}")));
    }
    let _running = Running(start.spawn().expect("hikyaku"));
    let named = |port: &Value| if port == "metrics" { metrics } else { http };
    for probe in ["livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        let url = format!("http://127.0.0.1:{}{}", named(&asked["port"]), asked["path"].as_str().expect("a path"));
        let began = Instant::now();
        while !run(Command::new("curl").args(["--silent", "--fail", &url])).status.success() {
            assert!(began.elapsed() < PATIENCE, "{probe}: {url} was not answered well within {PATIENCE:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
    let status = run(Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"])
        .arg(format!("http://127.0.0.1:{http}/metrics")));
    assert_eq!(said(&status), "404", "what Misskey's users could ask has no metrics");
}
