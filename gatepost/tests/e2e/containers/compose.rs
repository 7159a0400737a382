//! `deploy/compose`, with the commands of its README as they stand there.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::readme::blocks;

use super::engine::{Engine, IMAGE, ROOT, run};

/// Limits that a machine with few privileges may set, for the services that ask for more.
const LIMITS: [(&str, &str); 2] = [
    ("compose.yaml", "services:\n  gatepost:\n    ulimits: {nofile: 1024, nproc: 1024}\n"),
    (
        "compose.redis.yaml",
        "services:\n  gateway-1: &limits\n    ulimits: {nofile: 1024, nproc: 1024}\n  gateway-2: *limits\n",
    ),
];
/// Requests to both gateways until a file `done` exists. Prints each status that is not 200.
const LOAD: &str = r#"
while [ ! -e done ]; do
    status=$(curl --silent --insecure --output body --write-out '%{http_code}' https://api.localhost/ \
        --header "authorization: Bearer $(cat key)")
    echo >>requests
    [ "$status" = 200 ] || { echo "$status"; cat body; }
done
"#;

/// A copy of `deploy` in which a test works.
struct Workplace {
    engine: Engine,
    path: String,
}

impl Workplace {
    fn prepare(engine: Engine) -> Self {
        engine.build_image();
        engine.build_others();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", engine.programs());
        for directory in ["compose", "redis"] {
            let from = Path::new(ROOT).join("deploy").join(directory);
            let to = engine.path("deploy").join(directory);
            fs::create_dir_all(&to).unwrap();
            for file in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        fs::create_dir(engine.path("limits")).unwrap();
        for (file, limits) in LIMITS {
            fs::write(engine.path("limits").join(file), limits).unwrap();
        }
        Self { engine, path }
    }

    /// Returns a shell in the directory of the compositions.
    fn shell(&self, script: &str) -> Command {
        let mut command = self.engine.command("sh", &["-euc", script]);
        command.current_dir(self.engine.path("deploy/compose")).env("PATH", &self.path);
        command.env("LIMITS", self.engine.path("limits")).env("GATEPOST_IMAGE", IMAGE);
        for name in ["API", "CADDY", "VALKEY"] {
            command.env(format!("{name}_IMAGE"), format!("localhost/{}", name.to_lowercase()));
        }
        command
    }

    fn run(&self, script: &str) -> String {
        run(&mut self.shell(script))
    }

    /// Asserts that nothing is left after everything was removed.
    fn assert_empty(&self) {
        for list in ["ps --all --quiet", "volume ls --quiet", "pod ps --quiet"] {
            assert_eq!(self.engine.podman(&list.split(' ').collect::<Vec<_>>()), "", "{list}");
        }
        assert_eq!(self.engine.podman(&["network", "ls", "--format={{.Name}}"]), "podman");
    }
}

/// Returns the commands of a section of the README, block by block.
fn commands(section: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(ROOT).join("deploy/compose/README.md")).unwrap();
    let text = readme.split("\n## ").find(|text| text.starts_with(section)).unwrap();
    blocks(text).into_iter().map(str::to_owned).collect()
}

#[test]
fn one_host_is_protected_as_its_readme_says() {
    let test = "containers::compose::one_host_is_protected_as_its_readme_says";
    let Some(engine) = Engine::enter(test) else { return };
    let workplace = Workplace::prepare(engine);
    let [start, backup] = &commands("One host")[..] else { panic!("a block that this test does not know") };
    assert!(workplace.run(start).ends_with("hello from the API"));
    let status = "curl --silent --output body --write-out '%{http_code}'";
    assert_eq!(workplace.run(&format!("{status} http://localhost:8080/")), "401");
    // The admin API knows the names of this host, and no web page that has another one.
    assert_eq!(workplace.run(&format!("{status} http://localhost:8081/projects")), "401");
    assert_eq!(workplace.run(&format!("{status} http://localhost:8081/projects --header 'host: a.example'")), "421");
    workplace.run(backup);
    assert!(workplace.engine.path("deploy/compose/backup.redb").exists());
    let remove = &commands("Removing everything")[0];
    workplace.run(remove.lines().next().unwrap());
    workplace.assert_empty();
}

#[test]
fn two_gateways_are_protected_and_restarted_as_their_readme_says() {
    let test = "containers::compose::two_gateways_are_protected_and_restarted_as_their_readme_says";
    let Some(engine) = Engine::enter(test) else { return };
    let workplace = Workplace::prepare(engine);
    let [start, create, restart] = &commands("Two gateways")[..] else {
        panic!("a block that this test does not know")
    };
    workplace.run(start);
    // The next story begins with the key of this one.
    let listed = workplace.run(&format!("{create}\nprintf %s \"$KEY\" >key"));
    assert!(listed.contains("hello from the API"), "{listed}");
    assert!(listed.contains("gateway-1:8080") && listed.contains("gateway-2:8080"), "{listed}");
    let refused = "curl --silent --insecure --output body --write-out '%{http_code}' https://api.localhost/";
    assert_eq!(workplace.run(refused), "401");
    if cfg!(feature = "long") {
        let load = start_load(&workplace);
        workplace.run(restart);
        workplace.run("touch done");
        let failed = load.wait_with_output().unwrap();
        let requests = fs::read_to_string(workplace.engine.path("deploy/compose/requests")).unwrap().lines().count();
        assert_eq!(String::from_utf8_lossy(&failed.stdout), "", "of {requests} requests");
        assert!(requests > 100, "{requests}");
    }
    let remove = &commands("Removing everything")[0];
    workplace.run(remove.lines().nth(1).unwrap());
    workplace.assert_empty();
}

fn start_load(workplace: &Workplace) -> Child {
    workplace.shell(LOAD).stdout(Stdio::piped()).spawn().unwrap()
}
