//! `deploy/kubernetes`. No cluster is here: the schemas of several versions hold the objects, and what one file counts on
//! in another, or in the server, is compared.

use super::{file, python_tool, root, said, yaml};
use crate::support::{Server, Settings, cli};
use serde_json::Value;
use std::{fs, process::Command};

const OBJECTS: [&str; 7] = [
    "serviceaccount",
    "configmap",
    "secret.example",
    "statefulset",
    "service",
    "ingress",
    "networkpolicy",
];
/// The oldest that anybody still supports, some between, and the newest.
const VERSIONS: [&str; 4] = ["1.28", "1.31", "1.34", "1.37"];

fn object(name: &str) -> Option<Value> {
    Some(yaml(&format!("deploy/kubernetes/{name}.yaml"))?.remove(0))
}

#[test]
fn every_object_fits_every_version() {
    let Some(validate) = python_tool("kubernetes-validate") else { return };
    let files = OBJECTS.map(|it| root().join(format!("deploy/kubernetes/{it}.yaml")));
    for version in VERSIONS {
        let mut command = Command::new(&validate);
        command.args(["--strict", "--quiet", "-k", version]).args(&files);
        said(&command.output().unwrap());
    }
    // It finds something: one replica too many words.
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("wrong.yaml");
    fs::write(
        &wrong,
        file("deploy/kubernetes/statefulset.yaml").replace("replicas: 1", "replica: 1"),
    )
    .unwrap();
    let output = Command::new(&validate).args(["--strict", "--quiet"]).arg(wrong).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn every_file_is_held_or_named_here() {
    let Some(kustomization) = object("kustomization") else { return };
    let mut resources: Vec<_> =
        kustomization["resources"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for it in &resources {
        assert!(root().join("deploy/kubernetes").join(it).exists(), "{it}");
    }
    resources.sort_unstable();
    assert_eq!(
        resources,
        ["configmap.yaml", "service.yaml", "serviceaccount.yaml", "statefulset.yaml"]
    );
    assert_eq!(kustomization["images"][0]["newTag"], env!("CARGO_PKG_VERSION"));
    for entry in fs::read_dir(root().join("deploy/kubernetes")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".yaml");
        let known = OBJECTS.contains(&stem) || ["kustomization", "servicemonitor"].contains(&stem);
        assert!(known, "no schema holds {name}");
        // Which namespace, says whoever applies them.
        assert!(!file(&format!("deploy/kubernetes/{name}")).contains("\n  namespace:"), "{name}");
    }
}

#[test]
fn the_files_fit_together() {
    let Some(set) = object("statefulset") else { return };
    let pod = &set["spec"]["template"];
    let labels = &pod["metadata"]["labels"];
    let container = &pod["spec"]["containers"][0];
    let port = &container["ports"][0]["name"];
    assert_eq!(set["spec"]["replicas"], 1, "the store has one writer");
    assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
    let service = object("service").unwrap();
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(service["metadata"]["name"], set["spec"]["serviceName"]);
    assert_eq!(&service["spec"]["ports"][0]["targetPort"], port);
    let name = &service["spec"]["ports"][0]["name"];
    let ingress = object("ingress").unwrap();
    let backend = &ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(backend["name"], service["metadata"]["name"]);
    assert_eq!(&backend["port"]["name"], name);
    let policy = object("networkpolicy").unwrap();
    assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], labels);
    assert_eq!(
        policy["spec"]["ingress"][0]["ports"][0]["port"],
        container["ports"][0]["containerPort"]
    );
    let monitor = object("servicemonitor").unwrap();
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]);
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(&endpoint["port"], name);
    assert_eq!(endpoint["honorLabels"], true, "labels of pushes must win");
    let token = &container["env"][2]["valueFrom"]["secretKeyRef"];
    let secret = object("secret.example").unwrap();
    assert_eq!(token["name"], secret["metadata"]["name"]);
    assert!(secret["stringData"][token["key"].as_str().unwrap()].is_string());
    let volumes = pod["spec"]["volumes"].as_array().unwrap().iter();
    let claims = set["spec"]["volumeClaimTemplates"].as_array().unwrap().iter();
    let mut there: Vec<_> =
        volumes.map(|it| &it["name"]).chain(claims.map(|it| &it["metadata"]["name"])).collect();
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mut mounted: Vec<_> = mounts.iter().map(|it| &it["name"]).collect();
    there.sort_by_key(|it| it.to_string());
    mounted.sort_by_key(|it| it.to_string());
    assert_eq!(mounted, there);
}

/// Streams say that they live more often than the proxy loses patience.
#[test]
fn the_ingress_lets_streams_live() {
    let Some(ingress) = object("ingress") else { return };
    let annotation = |name: &str| {
        let name = format!("nginx.ingress.kubernetes.io/{name}");
        ingress["metadata"]["annotations"][name].as_str().unwrap().to_owned()
    };
    for it in ["proxy-read-timeout", "proxy-send-timeout"] {
        assert!(annotation(it).parse::<u32>().unwrap() >= 3600);
    }
    assert_eq!(annotation("proxy-buffering"), "off");
}

/// What the Pod Security Standard `restricted` asks for.
#[test]
fn the_pod_is_restricted() {
    let Some(set) = object("statefulset") else { return };
    let spec = &set["spec"]["template"]["spec"];
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(spec["securityContext"]["runAsUser"], 65532, "the user of the image");
    assert_eq!(spec["securityContext"]["fsGroup"], 65532, "who may write the volume");
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(spec["automountServiceAccountToken"], false);
    let own = &spec["containers"][0]["securityContext"];
    assert_eq!(own["allowPrivilegeEscalation"], false);
    assert_eq!(own["readOnlyRootFilesystem"], true);
    assert_eq!(own["capabilities"]["drop"], serde_json::json!(["ALL"]));
    for it in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(spec.get(it).is_none());
    }
    for it in spec["volumes"].as_array().unwrap() {
        assert!(it.get("hostPath").is_none(), "{it}");
    }
}

/// The server takes the settings of the `ConfigMap` and the environment, and answers what the probes ask.
#[test]
fn the_probes_are_answered() {
    let Some(set) = object("statefulset") else { return };
    let config = object("configmap").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("observatory.yml");
    fs::write(&path, config["data"]["observatory.yml"].as_str().unwrap()).unwrap();
    let output = cli(&["config", "check", path.to_str().unwrap()], &Settings::new(), "");
    said(&output);
    let settings = Settings::new().flag("--config").flag(path.to_str().unwrap());
    let server = Server::start_with(settings.token("0123456789abcdef"));
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    for (probe, path) in [
        ("startupProbe", "/-/healthy"),
        ("readinessProbe", "/-/ready"),
        ("livenessProbe", "/openapi.json"),
    ] {
        assert_eq!(container[probe]["httpGet"]["path"], path, "{probe}");
        assert_eq!(container[probe]["httpGet"]["port"], "http", "{probe}");
        server.client().get(path).expect(200);
    }
    let grace = set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
    assert!(grace > Some(30), "shutdown.grace is 30s");
    let args: Vec<_> =
        container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(args, ["serve", "--config", "/etc/observatory/observatory.yml"]);
}
