//! The manifests for Kubernetes, as the program reads what they give it. `cargo xtask test --only deploy` checks the rest.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::engine::{ROOT, run};
use crate::https_receiver::PYTHON;
use crate::process::{MASTER_KEY, command};

/// Where pods find the secret and the configuration.
const SECRET: &str = "/run/secrets/gatepost/";
const CONFIG: &str = "/etc/gatepost/";
/// Prints all resources of a directory as JSON.
const TO_JSON: &str = "import json, pathlib, sys, yaml
files = sorted(pathlib.Path(sys.argv[1]).glob('*.yaml'))
print(json.dumps([resource for file in files for resource in yaml.safe_load_all(file.read_text()) if resource]))";

#[test]
fn the_program_accepts_what_the_manifests_configure() {
    let directory = tempfile::tempdir().unwrap();
    let here = format!("{}/", directory.path().display());
    let manifests = Path::new(ROOT).join("deploy/kubernetes/manifests");
    let resources: Value =
        serde_json::from_str(&run(Command::new(PYTHON).args(["-c", TO_JSON]).arg(manifests))).unwrap();
    let of_kind = |kind: &'static str| resources.as_array().unwrap().iter().filter(move |one| one["kind"] == kind);
    let config = of_kind("ConfigMap").next().unwrap();
    fs::write(directory.path().join("gatepost.toml"), config["data"]["gatepost.toml"].as_str().unwrap()).unwrap();
    fs::write(directory.path().join("master-key"), MASTER_KEY).unwrap();
    fs::write(directory.path().join("store-url"), "redis://127.0.0.1:6379\n").unwrap();
    let mut commands = Vec::new();
    for deployment in of_kind("Deployment") {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let text = |value: &Value| value.as_str().unwrap().replace(SECRET, &here).replace(CONFIG, &here);
        let arguments: Vec<String> = container["args"].as_array().unwrap().iter().map(text).collect();
        let variables =
            container["env"].as_array().unwrap().iter().map(|one| (text(&one["name"]), text(&one["value"])));
        let options: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
        let mut check = command(directory.path(), &[&["check", "--offline"], &options[..]].concat());
        let output = check.env_remove("GATEPOST_MASTER_KEY").envs(variables).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{arguments:?}: {said}");
        // The command exists, and takes these options.
        run(&mut command(directory.path(), &[&[arguments[0].as_str()], &options[..], &["--help"]].concat()));
        commands.push(arguments[0].clone());
    }
    assert_eq!(commands, ["control-plane", "gateway"]);
}
