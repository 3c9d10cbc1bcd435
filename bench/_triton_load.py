"""The client half of bench/predict.py, for the environment that has tritonclient: told by JSON, answers in JSON."""

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

told = json.loads(sys.argv[1])
HEADERS = {"authorization": f"Bearer {told['token']}"}


def client() -> triton.InferenceServerClient:
    folder = Path(told["folder"])
    return triton.InferenceServerClient(
        told["url"],
        ssl=True,
        root_certificates=str(folder / "bundle.pem"),
        private_key=str(folder / "key.pem"),
        certificate_chain=str(folder / "cert.pem"),
        channel_args=[("grpc.ssl_target_name_override", told["server"]), ("grpc.use_local_subchannel_pool", 1)],
    )


def request() -> triton.InferInput:
    tensor = triton.InferInput("input", told["shape"], "FP32")
    tensor.set_data_from_numpy(np.random.default_rng(0).standard_normal(told["shape"]).astype(np.float32))
    return tensor


def alone() -> list[float]:
    calls, tensor, took = client(), request(), []
    for number in range(told["calls"] + 50):
        began = time.perf_counter()
        calls.infer(told["model"], [tensor], headers=HEADERS)
        if number >= 50:  # the first ones warm up
            took.append(time.perf_counter() - began)
    return took


def together() -> float:
    """Windows a second: requests of one window, so many in flight at a time."""
    calls, tensor = client(), request()
    lock, done, errors = threading.Semaphore(told["clients"]), [], []
    until = time.perf_counter() + told["seconds"]
    began = time.perf_counter()

    def ended(result: object, error: object) -> None:
        (errors if error else done).append(error)
        lock.release()

    while time.perf_counter() < until:
        lock.acquire()
        calls.async_infer(told["model"], [tensor], ended, headers=HEADERS)
    for _ in range(told["clients"]):
        lock.acquire()
    if errors:
        raise SystemExit(f"{len(errors)} failed, the first: {errors[0]}")
    return len(done) / (time.perf_counter() - began)


json.dump({"seconds": alone(), "rate": together()}, sys.stdout)
