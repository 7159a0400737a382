"""An API server of Kubernetes with its etcd on this machine, without nodes: what is applied is checked and stored."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time

TOKEN = "admin-of-the-test"
# Seconds until the server is ready and has made the objects that every cluster has.
START_DEADLINE = 120
STOP_DEADLINE = 30
# They come and go by themselves.
TRANSIENT = {"events", "events.events.k8s.io", "componentstatuses"}
# What the server changes when an object is written again.
CHANGING = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def sorted_by_name(value):
    """Sorts lists that the server merges by name, such as environment variables: their order depends on the past."""
    if isinstance(value, dict):
        return {name: sorted_by_name(member) for name, member in value.items()}
    if isinstance(value, list):
        items = [sorted_by_name(item) for item in value]
        has_names = all(isinstance(item, dict) and "name" in item for item in items)
        return sorted(items, key=lambda item: item["name"]) if has_names else items
    return value


class ApiServer:
    """Runs the programs of a directory, and stops them at the end of a `with` block."""

    def __init__(self, programs):
        self.programs = pathlib.Path(programs).resolve()
        self.processes = []

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.work = pathlib.Path(self.directory.name)
        try:
            self.start()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, error, *_):
        if error:
            print(self.logs())
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.directory.cleanup()

    def start(self):
        etcd, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.run_in_background(
            "etcd", f"--data-dir={self.work / 'etcd'}", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )
        key, port = self.work / "key.pem", free_port()
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self.work / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        self.run_in_background(
            "kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}",
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24",
            f"--cert-dir={self.work}", f"--token-auth-file={self.work / 'tokens.csv'}", "--authorization-mode=RBAC",
            "--service-account-issuer=https://127.0.0.1", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        )
        self.kubeconfig = self.work / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self.configuration(port)))
        self.await_ready()

    def configuration(self, port):
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(self.work / "apiserver.crt")}
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}], "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }

    def run_in_background(self, program, *arguments):
        with open(self.work / f"{program}.log", "w") as log:
            command = [self.programs / program, *arguments]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.work)
        self.processes.append(process)

    def kubectl(self, *arguments, check=True):
        """Runs kubectl, and returns what it prints."""
        command = [self.programs / "kubectl", f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.work / 'cache'}"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.work)}
        result = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, env=environment, cwd=self.work
        )
        if check and result.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, arguments))}: {result.stdout}{result.stderr}")
        return result.stdout

    def await_ready(self):
        deadline = time.monotonic() + START_DEADLINE
        while self.kubectl("get", "--raw", "/readyz", check=False) != "ok":
            self.check_running(deadline)
            time.sleep(0.2)
        self.await_settled()

    def await_settled(self):
        """Waits until the server makes no further objects by itself."""
        deadline, seen = time.monotonic() + START_DEADLINE, [None, None]
        while True:
            names = set(self.objects())
            if "services default/kubernetes" in names and seen == [names, names]:
                return
            self.check_running(deadline)
            seen = [seen[1], names]
            time.sleep(1)

    def check_running(self, deadline):
        ended = [process for process in self.processes if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            raise AssertionError("the API server is not ready")

    def logs(self):
        return "".join(f"{file.name}: {file.read_text()[-6000:]}\n" for file in sorted(self.work.glob("*.log")))

    def objects(self):
        """Returns every object of every kind by its name, without what changes by itself."""
        kinds = set(self.kubectl("api-resources", "--verbs=list", "--output=name").split()) - TRANSIENT
        found = {}
        for kind in sorted(kinds):
            for item in json.loads(self.kubectl("get", kind, "--all-namespaces", "--output=json"))["items"]:
                metadata = {name: value for name, value in item["metadata"].items() if name not in CHANGING}
                name = f"{kind} {metadata.get('namespace', '')}/{metadata['name']}"
                for port in item.get("spec", {}).get("ports", []) if kind == "services" else []:
                    # Allocated each time.
                    port.pop("nodePort", None)
                found[name] = sorted_by_name({**item, "metadata": metadata, "status": None})
        return found
