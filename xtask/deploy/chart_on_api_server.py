"""Installs, upgrades, rolls back and uninstalls the chart on a real API server: chart_on_api_server.py PROGRAMS

The server of Debian is of Kubernetes 1.20, older than what the chart supports: the two versions of resources that it lacks
are replaced by their predecessors, in a copy of the chart and of the manifests. chart.py checks the current versions. The
server crashes when Helm applies a custom resource, so there is no PodMonitor.
"""

import pathlib
import shutil
import sys

import yaml
from api_server import ApiServer
from helm_python import Config

ROOT = pathlib.Path(__file__).resolve().parents[2] / "deploy/kubernetes"
# What the server has, by what the chart uses.
PREDECESSORS = {"policy/v1": "policy/v1beta1", "autoscaling/v2": "autoscaling/v2beta2"}
RELEASE = "gatepost"
SECRET = ["--from-literal=master-key=of-the-test", "--from-literal=store-url=redis://redis.internal:6379"]

def copy_for_server(source, target):
    shutil.copytree(source, target)
    for file in target.rglob("*.yaml"):
        text = file.read_text().replace('kubeVersion: ">=1.25.0-0"\n', "")
        for version, predecessor in PREDECESSORS.items():
            text = text.replace(f"apiVersion: {version}\n", f"apiVersion: {predecessor}\n")
        file.write_text(text)


def release_objects(server, before):
    """Returns what there is more than before, without the records of Helm."""
    return {name: value for name, value in server.objects().items() if name not in before and "/sh.helm." not in name}


def expected_names(helm):
    """Returns the kinds and names that the manifest of the current revision has."""
    resources = yaml.safe_load_all(helm.status(RELEASE)["manifest"])
    return {(resource["kind"], resource["metadata"]["name"]) for resource in resources if resource}


def names(objects):
    return {(value["kind"], value["metadata"]["name"]) for value in objects.values()}


def check_releases(server, chart):
    """With each file of values, and then the next one."""
    files = sorted((chart / "ci").iterdir())
    before = server.objects()
    for first, second in zip(files, files[1:] + files[:1]):
        without = {"podMonitor": {"enabled": False}}
        values = [yaml.safe_load(file.read_text()) | without for file in (first, second)]
        with Config(namespace="default", kubeconfig_path=server.kubeconfig) as helm:
            assert helm.install(chart, RELEASE, values[0])["status"] == "deployed"
            installed = release_objects(server, before)
            assert names(installed) == expected_names(helm), f"{first.name}: {sorted(installed)}"
            assert helm.upgrade(chart, RELEASE, values[1], reset_values=True)["status"] == "deployed"
            upgraded = release_objects(server, before)
            assert names(upgraded) == expected_names(helm), f"{second.name}: {sorted(upgraded)}"
            assert upgraded != installed
            helm.rollback(RELEASE, version=1)
            back = release_objects(server, before)
            changed = [(back.get(name), value) for name, value in installed.items() if back.get(name) != value]
            assert back.keys() == installed.keys() and not changed, f"{second.name} back to {first.name}: {changed}"
            history = [(entry["revision"], entry["status"]) for entry in helm.history(RELEASE)]
            helm.uninstall(RELEASE)
        assert server.objects() == before, f"{first.name}: left behind: {sorted(set(server.objects()) - set(before))}"
        print(f"{first.name}, {second.name}: {len(installed)} and {len(upgraded)} objects, {history}, nothing left")


def check_manifests(server, manifests):
    """As README says, without Helm: applied twice, they change nothing, and all that they made can be deleted."""
    before = server.objects()
    server.kubectl("apply", "--kustomize", manifests)
    applied = server.objects()
    server.kubectl("apply", "--kustomize", manifests)
    assert server.objects() == applied and len(applied) > len(before)
    server.kubectl("delete", "--wait=true", "--kustomize", manifests)
    assert server.objects() == before, f"left behind: {sorted(set(server.objects()) - set(before))}"
    print(f"manifests: {len(applied) - len(before)} objects applied, nothing left")


def main():
    with ApiServer(sys.argv[1]) as server:
        chart, manifests = server.work / "chart", server.work / "manifests"
        copy_for_server(ROOT / "chart", chart)
        copy_for_server(ROOT / "manifests", manifests)
        server.kubectl("create", "secret", "generic", "gatepost", *SECRET)
        check_releases(server, chart)
        check_manifests(server, manifests)


main()
