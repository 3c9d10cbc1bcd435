"""Asks a served model for the years that it never saw, with tritonclient as it comes from PyPI.

    foretell.py HOST:PORT CERTIFICATES SERVER-NAME TEST.csv MEAN STD     (the token is read from standard input)

Runs in an environment of its own: tritonclient needs another protobuf than automesh.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

WINDOW = 33
BARS = 40


def main() -> None:
    """Prints truth and prediction of each year, and how far off both are on average."""
    address, certificates, server, file, mean, std = sys.argv[1:]
    token = sys.stdin.readline().strip()
    with open(file, newline="", encoding="utf-8") as rows:
        table = [(int(row["year"]), float(row["sunspots"])) for row in csv.DictReader(rows)]
    scaled = np.array([value for _, value in table], dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, WINDOW)[:-1, :, np.newaxis]

    client = connected(address, Path(certificates), server)
    tensor = triton.InferInput("input", list(windows.shape), "FP32")
    tensor.set_data_from_numpy(np.ascontiguousarray(windows))
    answer = client.infer("sunspots", [tensor], headers={"authorization": f"Bearer {token}"})

    def real(values: np.ndarray) -> np.ndarray:
        return values * float(std) + float(mean)

    foretold = real(answer.as_numpy("output").ravel())
    truth, before = real(scaled[WINDOW:]), real(scaled[WINDOW - 1 : -1])
    years = [year for year, _ in table][WINDOW:]
    report(years, truth, foretold)
    print(f"\nversion {answer.get_response().model_version} answered {len(years)} windows in one call")
    print(f"mean error of the model        {np.abs(foretold - truth).mean():5.1f} sunspots")
    print(f"of saying `as the year before` {np.abs(before - truth).mean():5.1f} sunspots")


def connected(address: str, certificates: Path, server: str) -> triton.InferenceServerClient:
    """A client over mutual TLS."""
    return triton.InferenceServerClient(
        address,
        ssl=True,
        root_certificates=str(certificates / "bundle.pem"),
        private_key=str(certificates / "key.pem"),
        certificate_chain=str(certificates / "cert.pem"),
        channel_args=[("grpc.ssl_target_name_override", server)],
    )


def report(years: list[int], truth: np.ndarray, foretold: np.ndarray) -> None:
    """A line for each year: `o` is the truth, `+` the prediction."""
    most = max(truth.max(), foretold.max())
    print(f"{'year':>6}{'truth':>8}{'model':>8}")
    for year, true, said in zip(years, truth, foretold, strict=True):
        line = [" "] * (BARS + 1)
        line[int(BARS * max(true, 0) / most)] = "o"
        line[int(BARS * max(said, 0) / most)] = "+"
        print(f"{year:>6}{true:>8.1f}{said:>8.1f}  {''.join(line).rstrip()}")


if __name__ == "__main__":
    main()
