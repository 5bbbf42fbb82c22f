"""Serve a model with Ray: `python -m deploy.ray --model smollm2-135m-instruct`.

Without a cluster it starts Ray on this machine and ends it at Ctrl+C or SIGTERM, after the answers that are in
progress. With `--address` it hands the application to a cluster, which goes on without this process.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path

# Ray reads these when it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from chatsite.engine.serving.chat_call import CallLimits
from deploy.ray.deployment import ReplicaSettings, ScalingSettings, build_application

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = "chatsite"
OBJECT_STORE_BYTES = 100 << 20


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options of the command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.ray", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--model", default="smollm2-135m-instruct", help="a name of the catalog, a Hub repository, a folder"
    )
    parser.add_argument(
        "--models-dir", default=str(ROOT / "instance" / "models"), help="where weights are, on each machine"
    )
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "int8"])
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 means as many as --cpus")
    parser.add_argument("--max-calls", type=int, default=32, help="calls that a replica takes on; more get a 429")
    parser.add_argument("--max-new-tokens", type=int, default=4096, help="the longest answer")
    parser.add_argument("--tokens-per-second", type=float, default=40.0, help="the pace of the scripted model")
    parser.add_argument("--min-replicas", type=int, default=1)
    parser.add_argument("--max-replicas", type=int, default=1)
    parser.add_argument("--target-calls", type=float, default=8.0, help="calls of a replica above which another starts")
    parser.add_argument("--upscale-seconds", type=float, default=10.0)
    parser.add_argument("--downscale-seconds", type=float, default=300.0)
    parser.add_argument("--drain-seconds", type=float, default=120.0, help="how long a replica may end its answers")
    parser.add_argument("--cpus", type=float, default=1.0, help="processors that Ray keeps free for a replica")
    parser.add_argument("--gpus", type=float, default=0.0, help="graphics cards that Ray keeps free for a replica")
    parser.add_argument(
        "--host", default="127.0.0.1", help="Ray asks for no key: leave it where only the site reaches it"
    )
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("--address", help="a cluster that runs already, such as auto; else one starts here")
    return parser.parse_args(arguments)


def start_ray(options: argparse.Namespace) -> None:
    """Join the cluster, or start one on this machine alone; open the port for HTTP."""
    if options.address:
        # The other machines have chatsite, but not this folder.
        ray.init(address=options.address, runtime_env={"py_modules": [str(ROOT / "deploy")]})
    else:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, log_to_driver=False)
    serve.start(http_options=HTTPOptions(host=options.host, port=options.port))


def main() -> None:
    """Start the application, say where it is, and wait for the end."""
    options = parse_arguments()
    stopped = threading.Event()
    start_ray(options)
    limits = CallLimits(max_new_tokens=options.max_new_tokens)
    serve.run(
        build_application(
            ReplicaSettings(
                model=options.model,
                models_dir=options.models_dir,
                precision=options.precision,
                threads=options.threads or max(1, round(options.cpus)),
                max_calls=options.max_calls,
                limits=limits,
                tokens_per_second=options.tokens_per_second,
            ),
            ScalingSettings(
                min_replicas=options.min_replicas,
                max_replicas=options.max_replicas,
                target_calls=options.target_calls,
                upscale_seconds=options.upscale_seconds,
                downscale_seconds=options.downscale_seconds,
                drain_seconds=options.drain_seconds,
                cpus=options.cpus,
                gpus=options.gpus,
            ),
        ),
        name=APPLICATION,
        route_prefix="/",
    )
    print(f"Serving {options.model} at http://{options.host}:{options.port}/v1", flush=True)
    if options.address:
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    # Deleted first, because its replicas end their answers then, which a shutdown cuts off.
    serve.delete(APPLICATION)
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
