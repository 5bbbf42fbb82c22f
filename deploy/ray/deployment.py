"""The deployment: replicas of one model, as many as the load needs, on whatever machines the cluster has."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ray import serve
from ray.serve.config import BackpressureConfig
from starlette.applications import Starlette

from chatsite.engine.catalog.catalog import resolve_entry
from chatsite.engine.local import create_engine
from chatsite.engine.outbox import Outbox
from chatsite.engine.serving.chat_call import CallLimits
from chatsite.engine.serving.engine_service import RETRY_AFTER_SECONDS, EngineService
from deploy.ray.http_app import create_http_app

# Beside the calls that a replica takes on: those that it refuses in JSON, and questions for its list and its health.
SPARE_REQUESTS = 32
HEALTH_PERIOD_SECONDS, HEALTH_TIMEOUT_SECONDS = 2.0, 30.0


@dataclass(frozen=True)
class ReplicaSettings:
    """What each replica is given.

    `model` is a name of the catalog, a repository of the Hub or a folder; `models_dir` the folder of converted weights
    on the machine of the replica, where they are fetched to if they are missing. Each replica takes
    on `max_calls` at once, those included that wait for a place. `tokens_per_second` is the pace of the scripted
    engine.
    """

    model: str
    models_dir: str = "instance/models"
    precision: str = "auto"
    threads: int = 1
    max_calls: int = 32
    limits: CallLimits = field(default_factory=CallLimits)
    tokens_per_second: float = 40.0


@dataclass(frozen=True)
class ScalingSettings:
    """How many replicas there are and what each one gets.

    Another replica is started when each has more than `target_calls` calls in progress for `upscale_seconds`, and one
    is stopped after `downscale_seconds` of less. One that is to stop has `drain_seconds` to end its answers. `cpus` and
    `gpus` are what Ray keeps free for each.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    target_calls: float = 8.0
    upscale_seconds: float = 10.0
    downscale_seconds: float = 300.0
    drain_seconds: float = 120.0
    cpus: float = 1.0
    gpus: float = 0.0


class ChatModel:
    """A replica: one engine, loaded when it starts. Ray asks for its health, and replaces it when it has none."""

    def __init__(self, settings: ReplicaSettings) -> None:
        entry = resolve_entry(settings.model)
        outbox: Outbox = queue.SimpleQueue()
        engine = create_engine(
            entry,
            Path(settings.models_dir),
            thread_count=settings.threads,
            precision=settings.precision,
            tokens_per_second=settings.tokens_per_second,
            outbox=outbox,
        )
        engine.load(lambda progress: None)
        self.service = EngineService(
            engine,
            outbox,
            max_calls=settings.max_calls,
            limits=settings.limits,
            context_tokens=entry.context_tokens,
        )

    def check_health(self) -> None:
        """Raise RuntimeError if the engine has died, upon which Ray starts another replica."""
        if not self.service.is_healthy:
            raise RuntimeError("The engine has died.")


def find_service() -> EngineService:
    """Return the service of the replica in which this is called."""
    replica = cast(ChatModel, serve.get_replica_context().servable_object)
    return replica.service


def build_http_app() -> Starlette:
    """Create the application of a replica. Ray calls this there, so that nothing of this process is copied."""
    return create_http_app(find_service)


def build_application(settings: ReplicaSettings, scaling: ScalingSettings) -> serve.Application:
    """Return what `serve.run` takes: the deployment of one model."""
    deployment: Any = serve.deployment(
        serve.ingress(build_http_app)(ChatModel),
        name=settings.model.replace("/", "--"),
        # A replica refuses in JSON what would wait too long; Ray's own refusals are plain text that clients lose.
        max_ongoing_requests=settings.max_calls + SPARE_REQUESTS,
        max_queued_requests=SPARE_REQUESTS,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=RETRY_AFTER_SECONDS),
        autoscaling_config={
            "min_replicas": scaling.min_replicas,
            "max_replicas": scaling.max_replicas,
            "target_ongoing_requests": scaling.target_calls,
            "upscale_delay_s": scaling.upscale_seconds,
            "downscale_delay_s": scaling.downscale_seconds,
            "metrics_interval_s": 1.0,
            "look_back_period_s": max(2.0, scaling.upscale_seconds),
        },
        health_check_period_s=HEALTH_PERIOD_SECONDS,
        health_check_timeout_s=HEALTH_TIMEOUT_SECONDS,
        graceful_shutdown_timeout_s=scaling.drain_seconds,
        graceful_shutdown_wait_loop_s=0.2,
        ray_actor_options={"num_cpus": scaling.cpus, "num_gpus": scaling.gpus},
    )
    application: serve.Application = deployment.bind(settings)
    return application
