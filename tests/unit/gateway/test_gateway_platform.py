"""Routes of data and models: files as bodies, verbs behind literals, the open inference protocol under /v2."""

import json
from typing import Any

import pytest

from gateway.descriptors import load_catalog, own_descriptors
from gateway.routing import parse_path
from gateway.site import Site, build_site


@pytest.fixture(scope="module")
def site() -> Site:
    return build_site(load_catalog(own_descriptors()))


def found(site: Site, method: str, path: str) -> Any:
    match = site.routes.match(method, parse_path(path.encode()))
    assert match is not None, path
    return match


@pytest.mark.parametrize(
    ("method", "path", "rpc", "captures"),
    [
        ("POST", "/api/v1/data/process", "ProcessData", {}),
        ("POST", "/api/v1/data/uploads", "UploadFile", {}),
        ("GET", "/api/v1/data/data_1", "GetDataset", {"data_id": "data_1"}),
        ("GET", "/api/v1/data/d/versions/2/parts/train", "DownloadDataset", {"version": "2", "part": "train"}),
        ("POST", "/api/v1/models/train", "StartTraining", {}),
        ("POST", "/api/v1/models/train:watch", "TrainModel", {}),
        ("POST", "/api/v1/models:compare", "CompareVersions", {}),
        ("POST", "/api/v1/models/m:predict", "Predict", {"model_id": "m"}),
        ("GET", "/api/v1/models/m/versions/3/files/plots/loss.png", "ExportModel", {"name": "plots/loss.png"}),
        ("GET", "/api/v1/runs/run_1:watch", "WatchTraining", {"run_id": "run_1"}),
        ("GET", "/v2", "GetServerMetadata", {}),
        ("GET", "/v2/health/ready", "CheckReady", {}),
        ("GET", "/v2/models/m/ready", "CheckModelReady", {"model_name": "m"}),
        ("POST", "/v2/models/m/versions/champion/infer", "Infer", {"model_name": "m", "model_version": "champion"}),
    ],
)
def test_requests_reach_their_rpc(site: Site, method: str, path: str, rpc: str, captures: dict[str, str]) -> None:
    match = found(site, method, path)
    assert match.target.rpc.full_name.rpartition(".")[2] == rpc
    assert captures.items() <= match.captures.items()


def test_a_training_that_is_watched_is_another_route_than_one_that_is_started(site: Site) -> None:
    started, watched = (found(site, "POST", f"/api/v1/models/train{verb}").target for verb in ("", ":watch"))
    assert (started.streams, watched.streams) == (False, True)


def test_the_open_inference_protocol_keeps_its_names_in_and_out(site: Site) -> None:
    match = found(site, "POST", "/v2/models/iris/infer")
    body = {"id": "1", "inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [[0.5, 2]]}]}
    request: Any = match.target.binder.bind(match.captures, b"", json.dumps(body).encode())
    assert (request.model_name, request.inputs[0].shape) == ("iris", [1, 2])
    reply = site_message(site, "automesh.model.v1.InferResponse", model_name="iris", model_version="3", id="1")
    shown = json.loads(match.target.json(reply))
    assert (shown["model_name"], shown["model_version"], shown["id"]) == ("iris", "3", "1")
    assert "modelName" not in shown


def site_message(site: Site, name: str, **fields: Any) -> Any:
    catalog = load_catalog(own_descriptors())
    made = catalog.message_class(catalog.pool.FindMessageTypeByName(name))(**fields)
    target = next(each for each in site.endpoints if each.rpc.response.full_name == name)
    return target.response(made.SerializeToString())


def test_an_upload_takes_its_name_from_the_query_and_its_body_as_it_is(site: Site) -> None:
    target = found(site, "POST", "/api/v1/data/uploads").target
    first: Any = target.binder.bind({}, b"name=a.csv&format=FILE_FORMAT_CSV", b"x,y\n", "text/csv")
    assert (first.name, first.content.content_type, first.content.data) == ("a.csv", "text/csv", b"x,y\n")
    following: Any = target.binder.bind_next(b"1,2\n")
    assert (following.name, following.content.content_type, following.content.data) == ("", "", b"1,2\n")
    stored = site_message(site, "automesh.data.v1.UploadFileResponse", upload={"upload_id": "upload_1"})
    assert json.loads(target.json(stored))["uploadId"] == "upload_1"


def test_the_document_shows_an_upload_as_bytes(site: Site) -> None:
    post = json.loads(site.pages[b"/api/v1/openapi.json"].body)["paths"]["/api/v1/data/uploads"]["post"]
    assert post["requestBody"]["content"] == {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    assert {each["name"] for each in post["parameters"]} == {"name", "format", "sha256"}
