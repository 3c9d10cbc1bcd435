"""Predicts one batch with tritonclient, unmodified, and prints the answer as JSON.

triton_predict.py HOST:PORT CERTIFICATES SERVER-NAME MODEL

Standard input: a line with the token, a line with the windows as JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-not-found] # in an environment of its own


def main() -> None:
    address, folder, server, model = sys.argv[1:]
    token, windows = sys.stdin.readline().strip(), np.array(json.loads(sys.stdin.readline()), dtype=np.float32)
    held = Path(folder)
    client = triton.InferenceServerClient(
        address,
        ssl=True,
        root_certificates=str(held / "bundle.pem"),
        private_key=str(held / "key.pem"),
        certificate_chain=str(held / "cert.pem"),
        channel_args=[("grpc.ssl_target_name_override", server)],
    )
    tensor = triton.InferInput("input", list(windows.shape), "FP32")
    tensor.set_data_from_numpy(windows)
    try:
        answer = client.infer(model, [tensor], headers={"authorization": f"Bearer {token}"} if token else {})
    except triton.InferenceServerException as error:
        said = {"status": error.status(), "message": error.message()}
    else:
        said = {"version": answer.get_response().model_version, "output": answer.as_numpy("output").tolist()}
    sys.stdout.write(json.dumps(said))


main()
