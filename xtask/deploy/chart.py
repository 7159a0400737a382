"""Renders the chart in deploy/kubernetes/chart, and checks what comes of it: chart.py [--write]

Each file in ci is rendered and validated. Each file in refused is refused with the text after `# expect:`. The manifests of
ci/default.yaml are those in deploy/kubernetes/manifests; --write writes them.
"""

import pathlib
import re
import sys

import kubernetes_validate
import yaml
from helm_python.chart import Chart, lint

ROOT = pathlib.Path(__file__).resolve().parents[2] / "deploy/kubernetes"
CHART = ROOT / "chart"
MANIFESTS = ROOT / "manifests"
# The oldest and the newest version of Kubernetes, and two between.
VERSIONS = ["1.25", "1.29", "1.33", "1.37"]
# Resources of operators, for which there is no schema.
WITHOUT_SCHEMA = {"PodMonitor"}
# Hooks and jobs fail upgrades, a generated secret changes with each render, and a moving tag is no version.
FORBIDDEN = re.compile(r"helm\.sh/hook|kind: (Job|CronJob|Secret)\b|:latest\b")
# What the policy "restricted" of Pod Security demands of a pod.
RESTRICTED_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
RESTRICTED_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def contains(whole, part):
    return all(whole.get(name) == value for name, value in part.items())


def check_pod(pod, file):
    assert contains(pod["securityContext"], RESTRICTED_POD), f"{file}: {pod['securityContext']}"
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False, file
    for container in pod["containers"]:
        security = container["securityContext"]
        assert contains(security, RESTRICTED_CONTAINER) and security["readOnlyRootFilesystem"] is True, f"{file}: {security}"
        resources = container["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"], f"{file}: {resources}"
        environment = {variable["name"]: variable["value"] for variable in container["env"]}
        drain = sum(int(environment.get(f"GATEPOST_GATEWAY__DRAIN_{name}_MS", 0)) for name in ["DELAY", "TIMEOUT"])
        assert pod["terminationGracePeriodSeconds"] * 1000 > drain, f"{file}: the drain takes {drain} ms"


def render(chart, values):
    rendered = chart.render(values=yaml.safe_load(values.read_text()), name="gatepost", namespace="default")
    names = sorted(name for name, text in rendered.items() if name.endswith(".yaml") and text.strip())
    return {name.removeprefix("gatepost/templates/"): rendered[name].strip() + "\n" for name in names}


def check_rendered(manifests, file):
    for text in manifests.values():
        forbidden = FORBIDDEN.search(text)
        assert not forbidden, f"{file}: {forbidden}"
        for resource in yaml.safe_load_all(text):
            if resource and resource["kind"] == "Deployment":
                check_pod(resource["spec"]["template"]["spec"], file)
            if resource and resource["kind"] not in WITHOUT_SCHEMA:
                for version in VERSIONS:
                    kubernetes_validate.validate(resource, version, strict=True)


def check_refused(chart, file):
    expected = file.read_text().split("\n")[0].removeprefix("# expect: ")
    try:
        render(chart, file)
    except Exception as error:
        assert expected in str(error), f"{file}: {error}"
    else:
        raise AssertionError(f"{file} is not refused")


def check_manifests(manifests, write):
    resources = "".join(f"  - {name}\n" for name in manifests)
    files = dict(manifests)
    files["kustomization.yaml"] = f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{resources}"
    if write:
        MANIFESTS.mkdir(exist_ok=True)
        for file in MANIFESTS.iterdir():
            file.unlink()
        for name, text in files.items():
            (MANIFESTS / name).write_text(text)
    found = {file.name: file.read_text() for file in MANIFESTS.iterdir()}
    assert found == files, "deploy/kubernetes/manifests is not what the chart renders: run cargo xtask manifests"


def main():
    chart = Chart.load(CHART)
    for file in sorted((CHART / "ci").iterdir()):
        result = lint(CHART, values=yaml.safe_load(file.read_text()), strict=True)
        assert not result["errors"], f"{file}: {result}"
        manifests = render(chart, file)
        check_rendered(manifests, file)
        if file.name == "default.yaml":
            check_manifests(manifests, "--write" in sys.argv)
    for file in sorted((CHART / "refused").iterdir()):
        check_refused(chart, file)


main()
