"""Speaks to a model server with tritonclient, unmodified, and prints what it heard as JSON lines.

    triton_calls.py HOST:PORT FOLDER-OF-IDENTITY SERVER-NAME TOKEN all | until FILE

`all` makes every call of the protocol once; `until` predicts without a pause until FILE exists.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

SHAPE = [2, 2, 3]


def main() -> None:
    url, folder, name, token, what, *rest = sys.argv[1:]
    held = Path(folder)
    client = triton.InferenceServerClient(
        url,
        ssl=True,
        root_certificates=str(held / "bundle.pem"),
        private_key=str(held / "key.pem"),
        certificate_chain=str(held / "cert.pem"),
        channel_args=[("grpc.ssl_target_name_override", name)],
    )
    headers = {"authorization": f"Bearer {token}"}
    if what == "all":
        everything(client, headers)
    else:
        until(client, headers, Path(rest[0]))


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def infer(client: triton.InferenceServerClient, headers: dict, *, version: str = "", array: np.ndarray = None):
    values = np.arange(12, dtype=np.float32).reshape(SHAPE) if array is None else array
    tensor = triton.InferInput("input", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    return client.infer("wave", [tensor], model_version=version, headers=headers, request_id="r1")


def everything(client: triton.InferenceServerClient, headers: dict) -> None:
    say(live=client.is_server_live(), ready=client.is_server_ready())
    say(model=client.is_model_ready("wave", headers=headers), none=client.is_model_ready("none", headers=headers))
    say(server=client.get_server_metadata(headers=headers, as_json=True))
    say(metadata=client.get_model_metadata("wave", headers=headers, as_json=True))
    result = infer(client, headers)
    say(
        output=result.as_numpy("output").tolist(),
        version=result.get_response().model_version,
        id=result.get_response().id,
    )
    say(second=infer(client, headers, version="2").as_numpy("output").ravel().tolist()[:3])
    say(statistics=client.get_inference_statistics("wave", headers=headers, as_json=True))
    say(index=client.get_model_repository_index(headers=headers, as_json=True))
    client.unload_model("wave", headers=headers)
    say(unloaded=client.is_model_ready("wave", headers=headers), why=refused(lambda: infer(client, headers)))
    client.load_model("wave", headers=headers)
    say(loaded=client.is_model_ready("wave", headers=headers))
    say(shape=refused(lambda: infer(client, headers, array=np.zeros((1, 3, 3), np.float32))))
    say(huge=refused(lambda: infer(client, headers, array=np.zeros((4_200_000, 2, 3), np.float32))))
    say(stranger=refused(lambda: infer(client, {})))


def refused(call) -> list:
    try:
        call()
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
    return ["nothing", ""]


def until(client: triton.InferenceServerClient, headers: dict, end: Path) -> None:
    seen, calls, errors = [], 0, []
    while not end.exists():
        try:
            result = infer(client, headers)
            version = result.get_response().model_version
            expected = np.arange(12, dtype=np.float32) * int(version)
            assert (result.as_numpy("output").ravel() == expected).all(), "another version's answer"
            if not seen or seen[-1] != version:
                seen.append(version)
                say(version=version)
        except Exception as error:  # every failure counts
            errors.append(repr(error))
        calls += 1
    say(calls=calls, errors=errors[:5], seen=seen)


main()
