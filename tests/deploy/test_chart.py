"""The Helm chart: rendered by Helm itself, judged by Kubernetes' schemas and by what the service reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from presence_svc import __version__
from presence_svc.settings import ENV_PREFIX, Settings
from tests.deploy.conftest import DEPLOY, Helm

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="the extra `deploy` is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CHART = str(DEPLOY / "chart")
KUBERNETES = "1.31"
FOREIGN = {"ServiceMonitor", "PrometheusRule", "HTTPRoute"}  # of operators, not of Kubernetes
EVERYTHING = """
auth: {mode: jwt, existingSecret: presence-auth}
env: {PRESENCE_JWT_JWKS_URL: "https://issuer.example/jwks.json", PRESENCE_TTL: 60}
ingress: {enabled: true, className: n, hosts: [live.example], tls: [{hosts: [live.example], secretName: t}]}
httpRoute: {enabled: true, parentRefs: [{name: gateway}], hostnames: [live.example]}
autoscaling: {enabled: true}
networkPolicy: {enabled: true, ingressFrom: [{podSelector: {matchLabels: {app: web}}}]}
serviceMonitor: {enabled: true}
prometheusRule: {enabled: true}
drain: {delaySeconds: 7.5, spreadSeconds: 5}
"""


def render(helm: Helm, values: str = "{}") -> list[dict[str, Any]]:
    """What Helm makes of the chart with these values. Fails with what Helm says."""
    done = helm("template", "live", CHART, "--set-json", "global={}", *_values(values))
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def _values(text: str) -> list[str]:
    return [part for key, value in yaml.safe_load(text).items() for part in ("--set-json", _json(key, value))]


def _json(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value)}"


def kind(documents: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == name]
    return found


def test_helm_finds_nothing_to_say(helm: Helm) -> None:
    """`helm lint --strict`."""
    done = helm("lint", "--strict", CHART)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", ["{}", EVERYTHING], ids=["defaults", "everything"])
def test_kubernetes_would_take_it(helm: Helm, values: str) -> None:
    """Each document is valid by the schema of its kind, without a field that is not there."""
    documents = render(helm, values)

    own = [document for document in documents if document["kind"] not in FOREIGN]

    assert len(own) >= 4
    for document in own:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_variables_are_settings(helm: Helm) -> None:
    """Each PRESENCE_ variable that the chart sets is one that the service reads."""
    (container,) = kind(render(helm, EVERYTHING), "Deployment")["spec"]["template"]["spec"]["containers"]

    names = {variable["name"] for variable in container["env"]}

    assert {ENV_PREFIX + field.upper() for field in Settings.model_fields} >= names
    assert {"PRESENCE_REDIS_URL", "PRESENCE_AUTH", "PRESENCE_DRAIN_DELAY"} <= names


def test_pods_have_time_to_drain(helm: Helm) -> None:
    """The grace period is longer than delay and spread together."""
    pod = kind(render(helm, EVERYTHING), "Deployment")["spec"]["template"]["spec"]

    assert pod["terminationGracePeriodSeconds"] >= 7.5 + 5 + 10


def test_secrets_are_no_values(helm: Helm) -> None:
    """A password in `env` is refused, and no rendered document holds one."""
    done = helm("template", "live", CHART, "--set", "env.PRESENCE_REDIS_URL=redis://:pw@r")

    assert done.returncode != 0
    assert "PRESENCE_REDIS_URL" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        "replicas=0",
        "auth.mode=none",
        "env.TTL=60",
        "replica=3",
        "ingress.enabled=true",
        "drain.delaySeconds=-1",
    ],
)
def test_wrong_values_are_refused(helm: Helm, wrong: str) -> None:
    """The values' schema names what is wrong before anything is installed."""
    done = helm("template", "live", CHART, "--set", wrong)

    assert done.returncode != 0
    assert "values don't meet the specifications" in done.stderr


def test_no_service_puts_variables_into_pods(helm: Helm) -> None:
    """Service links are off: a Service named presence-... would set PRESENCE_..._PORT in every pod."""
    pod = kind(render(helm), "Deployment")["spec"]["template"]["spec"]

    assert pod["enableServiceLinks"] is False


def test_the_chart_ships_this_version(helm: Helm) -> None:
    """The image's default tag is the version of this checkout."""
    chart = yaml.safe_load((DEPLOY / "chart/Chart.yaml").read_text())

    assert chart["appVersion"] == __version__


def test_rules_go_with_the_chart(helm: Helm) -> None:
    """The PrometheusRule holds the alert rules of the kit, all of them."""
    rule = kind(render(helm, EVERYTHING), "PrometheusRule")

    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
