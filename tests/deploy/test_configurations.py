"""The configurations for other machines: that they mean what they say, and that the documentation tells no lies."""

from __future__ import annotations

import re
import subprocess
import sys

import yaml

from chatsite.engine.catalog.endpoints import load_endpoints
from chatsite.settings import ROOT

DEPLOY = ROOT / "deploy"
SCALING = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
# Ray is asked in a process of its own, because it changes the process that imports it.
VALIDATE = (
    "import sys, yaml; from ray.serve.schema import ServeDeploySchema as S; S.model_validate(yaml.safe_load(sys.stdin))"
)


def test_the_site_reads_the_endpoint_of_the_cluster() -> None:
    (endpoint,) = load_endpoints(DEPLOY / "ray" / "models.toml")
    assert (endpoint.name, endpoint.url, endpoint.max_answers) == ("cluster", "http://127.0.0.1:8010/v1", 64)


def test_the_site_reads_the_endpoint_of_the_service() -> None:
    """The lines that stand in the head of the service are a file of custom models."""
    service = (DEPLOY / "vllm" / "vllm.service").read_text(encoding="utf-8")
    lines = re.findall(r"^#   (.*)$", service, re.MULTILINE)
    assert lines[0] == "[gpu]"
    port = re.search(r"--port (\d+)", service)
    assert port
    assert f'endpoint = "http://127.0.0.1:{port[1]}/v1"' in lines
    assert "--host 127.0.0.1" in service


def test_ray_reads_the_configuration_of_the_fleet() -> None:
    text = (DEPLOY / "ray" / "llm.yaml").read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", VALIDATE], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (application,) = yaml.safe_load(text)["applications"]
    (config,) = application["args"]["llm_configs"]
    scaling = config["deployment_config"]["autoscaling_config"]
    assert scaling["target_ongoing_requests"] < config["deployment_config"]["max_ongoing_requests"]


def test_the_command_has_the_options_of_the_documentation() -> None:
    command = [sys.executable, "-m", "deploy.ray", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    known = set(re.findall(r"--[a-z-]+", done.stdout))
    section = SCALING.partition("**The site's own engine**")[2].partition("**vLLM in a Ray cluster**")[0]
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)+|--(?:gpus|cpus|address|model|help)\b", section))
    assert len(named) > 8
    assert named <= known


def test_the_numbers_of_people_are_those_of_the_arithmetic() -> None:
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d,]+) \| (\d+) \| ([\d.]+) \|$", SCALING, re.MULTILINE)
    assert len(rows) == 4
    for row in rows:
        people, questions, tokens, answers, pages = (float(cell.replace(",", "")) for cell in row)
        for told, exact in (
            (questions, people / 1800),
            (tokens, people / 6),
            (pages, people / 600),
            (answers, max(1, people / 180)),
        ):
            assert abs(told - exact) <= max(0.1 * exact, 0.5 if told >= 1 else 0.1)
